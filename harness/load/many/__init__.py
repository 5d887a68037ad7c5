"""Many generators, one record: slices of one plan, sent by workers that may run anywhere, and merged afterwards."""
