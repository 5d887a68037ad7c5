"""``python -m harness.cli``: the command ``tailgate`` where it is not on the path."""

from harness.cli import main

main()
