"""Print the contents of constraints.txt from what is installed beside this interpreter.

The versions are those of everything that tailgate needs with the extras named on the command line, directly or
not, on the oldest Python that it supports. PyTorch is not followed: neither it nor what only it brings is fixed,
so that a machine may take the build that suits its devices.
"""  # noqa: INP001 - a script beside the other scripts of continuous integration, not a package

import re
import sys
from importlib.metadata import distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

OLDEST_PYTHON = (3, 11)
UNPINNED = frozenset({"torch", "torchvision"})
HEADER = """\
# The exact versions that tailgate is tested with: a constraint on what is installed, not a list to install.
# PyTorch and what only PyTorch brings are left free. Every version here supports Python 3.11 to 3.14.
# Written by `make constraints`, on Python 3.11; not edited by hand.
"""


def closure(project: str, extras: frozenset[str]) -> set[str]:
    """Name every distribution that the project needs with these extras, without following PyTorch."""
    found: set[tuple[str, frozenset[str]]] = set()
    waiting = [(project, extras)]
    while waiting:
        name, wanted = waiting.pop()
        if (name, wanted) in found:
            continue
        found.add((name, wanted))
        for requirement in map(Requirement, distribution(name).requires or ()):
            needed = canonicalize_name(requirement.name)
            marker = requirement.marker
            applies = marker is None or any(marker.evaluate({"extra": extra}) for extra in wanted | {""})
            if applies and needed not in UNPINNED:
                waiting.append((needed, frozenset(requirement.extras)))
    return {name for name, _ in found} - {project}


def main() -> None:
    """Write the constraints to standard output."""
    if sys.version_info[:2] != OLDEST_PYTHON:
        sys.exit(
            f"constraints: got Python {sys.version_info[0]}.{sys.version_info[1]}, expected 3.11, the oldest that "
            "is supported, since newer ones take versions that it cannot. "
            "Run: make clean; make constraints PYTHON=python3.11"
        )
    extras = frozenset(re.split(r"[,\s]+", sys.argv[1]))
    lines = (f"{name}=={distribution(name).version}" for name in sorted(closure("tailgate", extras)))
    sys.stdout.write(HEADER + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
