"""Bodies from files and texts, each with the content type that it is sent with."""

import mimetypes
from pathlib import Path

import orjson

from tailgate.harness.errors import UsageError

OCTETS = "application/octet-stream"
JSON = "application/json"
TEXT = "text/plain; charset=utf-8"


def text_type(text: str) -> str:
    """Return the content type of a text: JSON for an object or an array."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return TEXT
    return JSON if isinstance(value, (dict, list)) else TEXT


def file_type(path: Path) -> str:
    """Return the content type that a file's name says."""
    return mimetypes.guess_type(path.name)[0] or OCTETS


def read_plain(path: Path, by: str) -> bytes:
    """Return what a file holds; raise UsageError, which begins with ``by``, where it cannot be read."""
    file = path.expanduser()
    try:
        # One that is not a regular file, such as a pipe or a device, may have no end.
        if file.exists() and not file.is_file():
            raise UsageError(f"{by}: {path} is not a regular file")
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"{by}: cannot read {path}: {error.strerror}") from None


def read_text(path: Path, by: str) -> str:
    """Return likewise the text of a file in UTF-8, without a mark at its beginning."""
    try:
        return read_plain(path, by).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{by}: {path}, line {line}: expected text in UTF-8") from None
