"""The form of a file of fixed records, which can be read while it grows.

A 16-byte header (a magic, then the format's version and the size of a record, each ``<u4``), then the records. The reader
leaves out a record that was cut short at the end.
"""

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tailgate.harness.errors import LoadError, MeasurementError

_HEADER = struct.Struct("<8sII")


@dataclass(frozen=True, slots=True)
class RecordFile:
    """One form: its name for messages, and what its header says."""

    what: str
    magic: bytes  # 8 bytes
    version: int
    record: np.dtype[Any]

    def header(self) -> bytes:
        """Return what such a file begins with."""
        return _HEADER.pack(self.magic, self.version, self.record.itemsize)

    def read(self, path: Path) -> NDArray[np.void]:
        """Return the records of a file as they were written; raise MeasurementError where it is none."""
        try:
            content = path.read_bytes()
        except OSError as error:
            raise MeasurementError(f"no {self.what} to read at {path}: {error.strerror}") from error
        if not content.startswith(self.header()):
            raise MeasurementError(
                f"{path} is not a file of {self.what} of version {self.version} with {self.record.itemsize}-byte records; "
                f"it begins with {content[: _HEADER.size]!r}"
            )
        whole = (len(content) - _HEADER.size) // self.record.itemsize
        return np.frombuffer(content, self.record, count=whole, offset=_HEADER.size)


class WrittenFile:
    """A file of records that is being written, begun with its header; raise LoadError where the disk takes no more."""

    def __init__(self, path: Path, form: RecordFile) -> None:
        self._path = path
        self._what = form.what
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        self.write(memoryview(form.header()))

    def write(self, rest: memoryview) -> None:
        """Hand whole records to the kernel."""
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            raise LoadError(f"cannot write {self._what} to {self._path}: {error.strerror}") from error

    def close(self) -> None:
        """Close it."""
        os.close(self._descriptor)
