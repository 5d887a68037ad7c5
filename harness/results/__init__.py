"""Plain data that is kept: what a run came to, its file format, and the history of runs."""
