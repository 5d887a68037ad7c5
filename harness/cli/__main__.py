"""``python -m tailgate.harness.cli``: the command ``tailgate`` where it is not on the path."""

from tailgate.harness.cli import main

main()
