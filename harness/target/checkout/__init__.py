"""Revisions of a git repository as targets: a worktree, what it declares, and whose code it runs."""
