"""Logging: one line per event, for people or for machines, on standard error.

Logging neither fails nor waits, also where a disk is full or nobody reads a pipe: lines go into a bounded queue, and one
thread writes. A line without room, or one that cannot be written, is dropped and counted. All that Python writes to
standard error goes this way: structlog's events, the standard library's records and warnings, uncaught exceptions, prints.
"""

import io
import json
import logging
import os
import queue
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, TextIO, cast

import structlog

# Characters that may wait to be written.
MAX_WAITING = 2**20
# At the end of the process, for what still waits.
FLUSH_S = 2.0
# Characters printed to sys.stderr without an end of line, after which it is taken for one.
MAX_PRINTED = 8192


class LogHandler(logging.Handler):
    """Takes lines from any thread without a wait, and writes them to a stream in a thread of its own."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self.dropped = 0
        self._stream = stream
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._waiting = 0
        self._ended = False
        self._process = os.getpid()
        # Not a plain lock: a finaliser that logs may interrupt its own thread while that holds it.
        self._lock = threading.RLock()
        self._thread = threading.Thread(target=self._write_all, name="tailgate-log", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record; where it cannot be formatted, a record that says so."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - whatever a record's own values raise
            line = self.format(_unreadable(record))
        self.put(f"{line}\n")

    def put(self, line: str) -> None:
        """Queue a line, or drop it."""
        if os.getpid() != self._process:  # forked, without the thread that writes
            self._write(line)
            return
        with self._lock:
            full = self._waiting > 0 and self._waiting + len(line) > MAX_WAITING
            if full or self._ended:
                self.dropped += 1
                return
            self._waiting += len(line)
            self._lines.put(line)

    def close(self) -> None:
        """Write what waits, for a bounded time."""
        if isinstance(sys.stderr, Printed):
            sys.stderr.end_line()
        self.end(FLUSH_S)
        super().close()

    def end(self, timeout_s: float) -> bool:
        """Write what waits, and end the thread; False where that takes longer than ``timeout_s``."""
        with self._lock:
            self._ended = True
            self._lines.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _write_all(self) -> None:
        told = 0
        while (line := self._lines.get()) is not None:
            written = self._write(line)
            with self._lock:
                self._waiting -= len(line)
                self.dropped += not written
                dropped, caught_up = self.dropped, self._waiting == 0
            if caught_up and dropped > told and self._write(f"{self.format(_dropped(dropped - told))}\n"):
                told = dropped

    def _write(self, line: str) -> bool:
        try:
            self._stream.write(line)
            self._stream.flush()
        except (OSError, ValueError):  # ValueError: the stream has been closed, or cannot encode the line
            return False
        return True


class Printed:
    """Stands for ``sys.stderr``: what is printed becomes lines of the log, given to ``put`` without their ends."""

    def __init__(self, stream: TextIO, put: Callable[[str], None]) -> None:
        self._stream = stream
        self._put = put
        self._rest = ""
        self._lock = threading.RLock()

    def write(self, text: str) -> int:
        """Put the whole lines, and keep the rest."""
        with self._lock:
            *lines, rest = (self._rest + text).split("\n")
            if len(rest) > MAX_PRINTED:
                lines, rest = [*lines, rest], ""
            # A progress bar returns to the beginning of its line: only what is seen at the end counts.
            self._rest = rest.rpartition("\r")[2]
        for line in lines:
            seen = line.rstrip("\r").rpartition("\r")[2]
            if seen.strip():
                self._put(seen)
        return len(text)

    def end_line(self) -> None:
        """Put what has no end of line yet."""
        if self._rest:
            self.write("\n")

    def writelines(self, lines: list[str]) -> None:
        """Write several pieces of text."""
        self.write("".join(lines))

    def flush(self) -> None:
        """Do nothing: the log's own thread writes, and a piece of a line waits for its end."""

    def __getattr__(self, name: str) -> Any:
        """Return what the stream itself has."""
        return getattr(self._stream, name)


class _Lines:
    """The logger that structlog hands rendered lines to."""

    def __init__(self, put: Callable[[str], None]) -> None:
        self._put = put

    def msg(self, line: str) -> None:
        self._put(f"{line}\n")

    debug = info = warning = warn = error = critical = exception = fatal = log = msg


def configure_logging(log_format: str) -> None:
    """Send all that goes to standard error through the log, as ``console`` or ``json``."""
    # None where the process was started with descriptor 2 closed: then each line is counted as dropped.
    stream = sys.stderr or cast("TextIO", io.TextIOBase())
    as_json = log_format == "json"
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer(serializer=_to_json)
        if as_json
        else structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    processors: list[structlog.types.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *processors],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
    handler = LogHandler(stream)
    handler.setFormatter(formatter)
    handler.start()
    structlog.configure(
        processors=[*processors, renderer],
        logger_factory=lambda *_: _Lines(handler.put),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    warnings.formatwarning = _warning_text
    logging.captureWarnings(True)
    # A damaged photograph or form must not fill the log: its client is told, and it is counted.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
    _log_what_nobody_catches()
    put: Callable[[str], None] = (
        (lambda line: handler.emit(_record("stderr", logging.INFO, line)))
        if as_json
        else (lambda line: handler.put(f"{line}\n"))
    )
    sys.stderr = cast("TextIO", Printed(stream, put))


def refuse(reason: str, log_format: str) -> None:
    """Say why nothing is started; for people without time and level."""
    if log_format == "json":
        structlog.get_logger("tailgate.main").error("cannot start", reason=reason)
    else:
        print(f"tailgate: {reason}", file=sys.stderr)  # noqa: T201 - what a command line says


def close_logging() -> None:
    """Write what waits, for a bounded time.

    Not :func:`logging.shutdown`, which flushes the handlers of others, too. One that kept the former ``sys.stderr`` would wait
    for the lock of its buffer, held by the thread that writes to a pipe nobody reads.
    """
    for each in logging.getLogger().handlers:
        if isinstance(each, LogHandler):
            each.close()


def lines_dropped() -> int | None:
    """Return how many lines were dropped; None where :func:`configure_logging` has not been called."""
    counts = [each.dropped for each in logging.getLogger().handlers if isinstance(each, LogHandler)]
    return sum(counts) if counts else None


def _log_what_nobody_catches() -> None:
    log = logging.getLogger("tailgate.uncaught")

    def in_main(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        log.critical("the process ends by an exception", exc_info=(kind, error, traceback))

    def in_thread(what: threading.ExceptHookArgs) -> None:
        if what.exc_type is not SystemExit:  # which ends a thread in silence
            name = what.thread.name if what.thread else "a thread"
            log.critical("%s ends by an exception", name, exc_info=_exc_info(what))

    def nowhere(what: "sys.UnraisableHookArgs") -> None:
        log.error(
            "%s %r", what.err_msg or "an exception is ignored in", what.object, exc_info=_exc_info(what)
        )

    sys.excepthook, threading.excepthook, sys.unraisablehook = in_main, in_thread, nowhere


def _exc_info(what: Any) -> tuple[type[BaseException], BaseException, TracebackType | None]:
    return what.exc_type, what.exc_value or what.exc_type(), what.exc_traceback


def _record(name: str, level: int, text: str, **more: object) -> logging.LogRecord:
    return logging.makeLogRecord(
        {"name": name, "levelno": level, "levelname": logging.getLevelName(level), "msg": text, **more}
    )


def _dropped(count: int) -> logging.LogRecord:
    return _record(
        "tailgate.logs",
        logging.WARNING,
        f"{count} lines of this log were dropped: they found no room beside those that waited, or could not be written",
    )


def _unreadable(record: logging.LogRecord) -> logging.LogRecord:
    what = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
    text = f"a line of the log cannot be formatted: {what} ({record.pathname}:{record.lineno})"
    return _record(record.name, logging.ERROR, text, exc_info=sys.exc_info())


def _warning_text(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,  # noqa: ARG001
) -> str:
    """Return a warning in one line; the standard library's adds the line of code."""
    return f"{filename}:{lineno}: {category.__name__}: {message}"


def _to_json(event: Mapping[str, Any], **options: Any) -> str:
    """Return JSON of any event; Python's own writes NaN, which is no JSON, and refuses some keys."""
    try:
        return json.dumps(event, allow_nan=False, **options)
    except (TypeError, ValueError, RecursionError):
        return json.dumps(
            {key: value if isinstance(value, str) else repr(value) for key, value in event.items()}
        )
