"""The commands on runs that are kept: which run is meant, and what it holds."""
