"""Records of many generators, merged by phase and request. Memory does not grow with their number.

Each file is in that order already. A block of each file is held. What is not above the least last key of the blocks is
complete, so that it can be sorted and given away.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tailgate.harness.errors import MeasurementError
from tailgate.harness.load.records.record_file import RecordFile

MEMORY_BYTES = 256 * 2**20
# The blocks themselves, their records side by side, these in order, and what the reader makes of them.
_COPIES = 4
# Above every key of a record.
_NO_MORE = np.iinfo(np.uint64).max

Records = NDArray[np.void]
Keys = NDArray[np.uint64]


def merged(paths: Sequence[Path], form: RecordFile, memory_bytes: int = MEMORY_BYTES) -> Iterator[Records]:
    """Yield the records of all files, block by block, in order of phase and request; those of one request stay as they are.

    Raise MeasurementError for a file that is not in that order.
    """
    block = max(1, memory_bytes // (_COPIES * form.record.itemsize * max(1, len(paths))))
    parts = [_Part(path, form, block) for path in paths]
    # The first key that each file has to give, and up to which key it is known.
    firsts = np.array([part.first for part in parts], np.uint64)
    lasts = np.array([part.last for part in parts], np.uint64)
    while firsts.min(initial=_NO_MORE) < _NO_MORE:
        until = lasts.min()
        pieces = []
        for index in np.flatnonzero(firsts <= until).tolist():
            part = parts[index]
            pieces.append(part.take(until))
            firsts[index], lasts[index] = part.first, part.last
        together = np.concatenate(pieces)
        yield together[np.argsort(_keys(together), kind="stable")]


class _Part:
    """One file, of which a block is held."""

    def __init__(self, path: Path, form: RecordFile, block: int) -> None:
        self._path = path
        self._record = form.record
        self._block = block
        self._place = len(form.header())
        self._rows: Records = np.zeros(0, form.record)
        self._keys: Keys = np.zeros(0, np.uint64)
        self._at_end = False
        self._fill()

    @property
    def first(self) -> int:
        """The key of the next record; above all keys where none is left."""
        return int(self._keys[0]) if len(self._keys) else int(_NO_MORE)

    @property
    def last(self) -> int:
        """The key up to which all records are held."""
        return int(_NO_MORE) if self._at_end else int(self._keys[-1])

    def take(self, until: np.uint64) -> Records:
        """Give away the held records up to a key."""
        count = int(np.searchsorted(self._keys, until, "right"))
        taken, self._rows, self._keys = self._rows[:count], self._rows[count:], self._keys[count:]
        # Before it is empty: a last record that waits for the next round would give each round one record.
        if 2 * len(self._rows) <= self._block and not self._at_end:
            self._fill()
        return taken

    def _fill(self) -> None:
        # Opened for each block: a thousand open files are more than most shells allow.
        wanted = self._block - len(self._rows)
        more = np.fromfile(self._path, self._record, wanted, offset=self._place)
        self._place += more.nbytes
        self._at_end = len(more) < wanted
        self._rows = np.concatenate([self._rows, more])
        self._keys = _keys(self._rows)
        if (self._keys[1:] < self._keys[:-1]).any():
            raise MeasurementError(f"{self._path}: its records are not in the order of their requests")


def _keys(records: Records) -> Keys:
    keys: Keys = records["phase"].astype(np.uint64) << np.uint64(32) | records["request"]
    return keys
