"""``tailgate compile``: build the library that ``TAILGATE_EXECUTOR=auto`` finds in the cache.

Run it with the service's settings, on the same kind of processor.
"""

import contextlib
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from tailgate.service.errors import CompileError, ConfigurationError, gist
from tailgate.service.execution import libraries
from tailgate.service.logs import configure_logging, refuse
from tailgate.service.settings import Settings, load_settings, log_format_of

if TYPE_CHECKING:
    from tailgate.service.execution.trials.trial import Prepared


def main() -> int:
    """Return the exit status: 0 when the library is there, 2 when it cannot be made."""
    log_format = log_format_of(os.environ, sys.argv[1:])
    configure_logging(log_format)
    try:
        _make(load_settings(os.environ, sys.argv[1:], program="tailgate compile"))
    except ConfigurationError as error:
        refuse(str(error), log_format)
        return 2
    return 0


def _make(settings: Settings) -> None:
    """Put a library into the cache, where there is none that can be used; ConfigurationError where it cannot be made."""
    # Not at the top: PyTorch takes seconds, and neither the help nor a wrong setting needs it.
    from tailgate.service.execution import compiled  # noqa: PLC0415
    from tailgate.service.execution.trials import selection  # noqa: PLC0415

    log = structlog.get_logger("tailgate.compile")
    directory = selection.require_cache(settings)
    prepared = _prepared(settings)
    selection.require_cpu(prepared.device)
    compiled.require_room(directory)
    libraries.require_own(directory)
    key, program = selection.library_key(settings, prepared.graph, prepared.examples)
    there, unusable = _sorted_out(libraries.found(directory, key))
    if there is not None:
        log.info("already compiled", path=str(there))
        return
    for path, reason in unusable.items():
        log.warning("rebuilding what cannot be used", path=str(path), reason=reason)
    start_s = time.perf_counter()
    if program is None:
        program = selection.export_graph(prepared.graph, prepared.examples, settings.max_batch_size)
    path = compiled.compile_program(program, directory, key)
    for other in unusable.keys() - {path}:
        with contextlib.suppress(OSError):  # a folder of that name is left alone
            other.unlink()
    log.info("compiled", path=str(path), seconds=round(time.perf_counter() - start_s, 1))


def _prepared(settings: Settings) -> "Prepared":
    from tailgate.service.execution.build import prepare  # noqa: PLC0415

    try:
        return prepare(settings)
    except SystemExit as error:
        raise ConfigurationError(f"TAILGATE_MODEL: the factory ended the program ({gist(error)})") from error


def _sorted_out(paths: Iterable[Path]) -> tuple[Path | None, dict[Path, str]]:
    """Return a library that can be used, if there is one, and why the others cannot."""
    unusable = {}
    for path in paths:
        try:
            os.close(libraries.verified(path))
        except CompileError as error:
            unusable[path] = str(error)
        else:
            return path, {}
    return None, unusable


if __name__ == "__main__":
    sys.exit(main())
