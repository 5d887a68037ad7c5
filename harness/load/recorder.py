"""Samples to disk as they come: packed into a buffer made beforehand, written in chunks, nothing aggregated."""

import os
import struct
from pathlib import Path

from tailgate.harness.errors import LoadError
from tailgate.harness.load.flight import Flight
from tailgate.harness.samples import SAMPLE, Outcome, file_header

# The fields of SAMPLE, in order; a test holds the two together.
_RECORD = struct.Struct("<qqqqqIIIHHHHBBBffffff")
_CHUNK_RECORDS = 256
_U1_MAX, _U4_MAX = 2**8 - 1, 2**32 - 1


class Recorder:
    """Appends records to a file; what is not flushed yet is lost with the process, a chunk at the most.

    All but the constructor raise LoadError where the disk takes no more.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        self._buffer = bytearray(_CHUNK_RECORDS * _RECORD.size)
        self._filled = 0
        assert _RECORD.size == SAMPLE.itemsize
        self._write(file_header())

    def append(self, phase: int, flight: Flight, outcome: Outcome, done_ns: int) -> None:
        """Record how a request ended."""
        stages = flight.stages
        _RECORD.pack_into(
            self._buffer,
            self._filled,
            flight.intended_ns,
            flight.dispatched_ns,
            flight.sent_ns,
            flight.first_byte_ns,
            done_ns,
            flight.request,
            min(flight.bytes_received, _U4_MAX),
            flight.connection,
            phase,
            flight.payload,
            flight.status,
            stages.batch_size,
            outcome,
            min(flight.stale_retries, _U1_MAX),
            flight.behaviour,
            stages.queue_s,
            stages.decode_s,
            stages.compute_s,
            stages.encode_s,
            stages.server_s,
            flight.retry_after_s,
        )
        self._filled += _RECORD.size
        if self._filled == len(self._buffer):
            self.flush()

    def flush(self) -> None:
        """Hand all records to the kernel."""
        if self._filled:
            self._write(memoryview(self._buffer)[: self._filled])
            self._filled = 0

    def close(self) -> None:
        """Flush and close the file."""
        try:
            self.flush()
        finally:
            os.close(self._file)

    def _write(self, data: bytes | memoryview) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            raise LoadError(f"cannot write samples to {self._path}: {error.strerror}") from error
