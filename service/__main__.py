"""``python -m tailgate.service``: read the settings, serve, exit."""

import os
import sys
import threading
from typing import NoReturn

import structlog

from tailgate.service.errors import ConfigurationError
from tailgate.service.http.server import run
from tailgate.service.logs import close_logging, configure_logging, refuse
from tailgate.service.memory import collect_seldom, keep_freed_memory
from tailgate.service.settings import load_settings, log_format_of, unknown_variables

USAGE_ERROR = 2
# With Python's 5 ms the executor waited for the interpreter lock after batches, while the event loop read requests. On two
# processors 0.1 ms serves 7 % more of MobileNetV3 at 64 pixels, and costs nothing with a model that does nothing.
SWITCH_INTERVAL_S = 0.0001


def main() -> int:
    """Return the exit status: 0 after a stop, 1 after a failed start, 2 for wrong settings."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    collect_seldom()
    keep_freed_memory()  # before the log has its thread
    log_format = log_format_of(os.environ, sys.argv[1:])
    configure_logging(log_format)
    try:
        settings = load_settings(os.environ, sys.argv[1:])
        for warning in unknown_variables(os.environ):
            structlog.get_logger("tailgate.settings").warning(warning)
        return run(settings)
    except ConfigurationError as error:
        refuse(str(error), log_format)
        return USAGE_ERROR


def leave(status: int) -> NoReturn:
    """End the process, also while a thread is in PyTorch or writes a log that nobody reads.

    Such a thread cannot be interrupted, and the interpreter's own end under it can crash.
    """
    close_logging()
    if any(thread.daemon for thread in threading.enumerate()):
        os._exit(status)
    sys.exit(status)


if __name__ == "__main__":
    leave(main())
