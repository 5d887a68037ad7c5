"""``tailgate compile``: build ahead of time what ``TAILGATE_EXECUTOR=auto`` will find in the cache.

It takes the settings of the service, and must be run with the same ones, on the same kind of processor.
"""

import os
import sys
import time

import structlog

from service import compiled
from service.engine import prepare
from service.errors import ConfigurationError
from service.logs import configure_logging, refuse
from service.selection import export_graph, require_cpu
from service.settings import load_settings, log_format_of


def main() -> int:
    """Return the exit status: 0 when the library is there, 2 when it cannot be made."""
    log_format = log_format_of(os.environ, sys.argv[1:])
    configure_logging(log_format)
    try:
        settings = load_settings(os.environ, sys.argv[1:], program="tailgate compile")
        log = structlog.get_logger("tailgate.compile")
        prepared = prepare(settings)
        require_cpu(prepared.device)
        compiled.require_room(settings.cache_dir)
        program = export_graph(prepared.graph, prepared.examples, settings.max_batch_size)
        path = compiled.library_path(settings.cache_dir, compiled.cache_key(program))
        if path.is_file():
            log.info("already compiled", path=str(path))
            return 0
        start_s = time.perf_counter()
        compiled.compile_program(program, path)
        log.info("compiled", path=str(path), seconds=round(time.perf_counter() - start_s, 1))
    except ConfigurationError as error:
        refuse(str(error), log_format)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
