"""What a program left behind that has ended: its exit status in words, and the end of its log."""

import os
import signal
from pathlib import Path

LOG_TAIL_LINES = 30
LOG_TAIL_BYTES = 16_384


def describe_exit(code: int) -> str:
    """Put an exit status into words, such as ``exit status 3`` or ``signal SIGKILL``."""
    number = code - 128 if code > 128 else -code
    try:
        return f"signal {signal.Signals(number).name}"
    except ValueError:
        return f"exit status {code}"


def tail(log: Path, lines: int = LOG_TAIL_LINES) -> str:
    """Return the last lines of a text file, reading no more than its end; empty where there is no file."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - LOG_TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
