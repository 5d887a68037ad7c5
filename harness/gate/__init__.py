"""The gate inside pytest: the plugin, its options, and what a test asks to check a scenario."""
