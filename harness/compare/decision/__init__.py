"""From rows of blocks to a verdict: when to look, exact tests, and which stage moved."""
