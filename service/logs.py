"""Logging: one line an event, for people or for machines, on standard error.

A line that cannot be written is lost, and nothing else: standard error may be a file on a full disk or a pipe that nobody
reads any more, and a thread that answers requests must not end for want of somewhere to say so.
"""

import contextlib
import logging
import sys
import warnings
from typing import TextIO, cast

import structlog


class LossyStream:
    """A text stream that drops what cannot be written, instead of raising.

    Args:
        stream: where lines go.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or drop."""
        # ValueError: the stream has been closed.
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Hand on what has been written, or leave it."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


def configure_logging(log_format: str) -> None:
    """Send structlog's events and the standard library's warnings to standard error.

    Args:
        log_format: ``console`` or ``json``.
    """
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    stream = cast("TextIO", LossyStream(sys.stderr))
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    # A damaged tag in a photograph is no reason to fill the log.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.basicConfig(
        stream=stream, level=logging.WARNING, format="%(asctime)s [%(levelname)s] %(name)s: %(message)s"
    )
