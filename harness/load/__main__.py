"""The generator's own process: ``python -m tailgate.harness.load DIRECTORY``.

It reads plan and settings from the directory, where its records go, and obeys its parent over standard input and output
(:mod:`tailgate.harness.load.link`). The end of standard input ends the process, even in the middle of a phase: it cannot
outlive its parent.
"""

import contextlib
import os
import sys
from pathlib import Path

from tailgate.harness.load.link import over_standard
from tailgate.harness.load.process import obey, until_gone


def main(directory: Path) -> int:
    """Send what the parent asks for until it is gone; return the exit status."""
    with contextlib.closing(over_standard()) as link:
        return until_gone(link, lambda: obey(link, directory, os.environ, lambda _: None))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
