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


def log_note(log: Path) -> str:
    """Return what a message adds of a log, from its next line on: how it ends, or that nothing was written to it."""
    last_words = tail(log)
    return (
        f"\nThe end of its log ({log}):\n{last_words}"
        if last_words
        else f" It wrote nothing to its log ({log})."
    )


def its_log(end: str) -> str:
    """Return what a message adds of a program's log, whose end this is; empty for none."""
    return f"\nits log ends:\n{end}" if end else ""
