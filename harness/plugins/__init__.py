"""Who takes part in a run: the hooks, and what plugins bring through them."""
