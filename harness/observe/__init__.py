"""What is seen while a scenario runs: samples and scrapes by phase, the machine, resources, probes, and the yardstick."""
