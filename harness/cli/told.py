"""What a command tells a program: one JSON document on standard output, whose first field is the version that wrote it."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

import orjson

from tailgate import __version__
from tailgate.harness.results.file import to_json


@contextlib.contextmanager
def output_to_errors() -> Iterator[None]:
    """Let standard output go to standard error within a ``with`` block, that of child processes, too."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def as_json(**said: Any) -> None:
    """Print one document; numbers that are missing or not finite are null."""
    document = {"tailgate_version": __version__} | {name: to_json(value) for name, value in said.items()}
    sys.stdout.write(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode())
