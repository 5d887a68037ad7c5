"""Logging: one line an event, for people or for machines, on standard error."""

import logging
import sys
import warnings

import structlog


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
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # A damaged tag in a photograph is no reason to fill the log.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(asctime)s [%(levelname)s] %(name)s: %(message)s"
    )
