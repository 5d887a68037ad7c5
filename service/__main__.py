"""``python -m service``: read the settings, serve, exit."""

import os
import sys

import structlog

from service.errors import ConfigurationError
from service.logs import configure_logging
from service.server import run
from service.settings import load_settings, unknown_variables

USAGE_ERROR = 2


def main() -> int:
    """Return the exit status: 0 after a stop, 1 after a failed start, 2 for wrong settings."""
    try:
        settings = load_settings(os.environ, sys.argv[1:])
        configure_logging(settings.log_format)
        for warning in unknown_variables(os.environ):
            structlog.get_logger("tailgate.settings").warning(warning)
        return run(settings)
    except ConfigurationError as error:
        print(f"tailgate: {error}", file=sys.stderr)  # noqa: T201 - the log may not be configured yet
        return USAGE_ERROR


if __name__ == "__main__":
    sys.exit(main())
