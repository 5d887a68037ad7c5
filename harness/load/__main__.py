"""The generator's own process: ``python -m tailgate.harness.load DIRECTORY``.

It reads plan and settings from the directory and prints ``{"event": "ready"}``. For each line ``{"run": i}`` on its
standard input, with ``stretch`` and ``at_ns``, it runs phase i and prints ``{"event": "done", …}``; an error is
``{"event": "error", "message": …}``. The end of standard input ends the process, even in the middle of a phase: it
cannot outlive its parent.
"""

import os
import sys
from pathlib import Path
from typing import Any

import orjson

from tailgate.harness.errors import HarnessError
from tailgate.harness.load.process import ready_sender
from tailgate.harness.load.report import encode_report
from tailgate.harness.load.sending.sender import OrphanedError, Sender


def main(directory: Path) -> int:
    """Serve the parent's commands until it closes standard input; return the exit status."""
    try:
        with ready_sender(directory, os.environ, sys.stdin.fileno()) as sender:
            _obey(sender)
    except OrphanedError:
        return 0
    except HarnessError as error:
        _say("error", {"message": str(error)})
        return 1
    return 0


def _obey(sender: Sender) -> None:
    _say("ready", {})
    with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as commands:
        while line := commands.readline():
            command = orjson.loads(line)
            report = sender.run_phase(command["run"], command["stretch"], command["at_ns"])
            _say("done", encode_report(report))


def _say(event: str, values: dict[str, Any]) -> None:
    os.write(sys.stdout.fileno(), orjson.dumps({"event": event, **values}) + b"\n")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
