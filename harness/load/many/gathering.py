"""The records of many generators become those of one run: one clock, one numbering, one order."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np

from tailgate.harness.load.link import Link
from tailgate.harness.load.records.answers import ANSWERS, Answers, KeptAnswer
from tailgate.harness.load.records.events import EVENT_FILE, EVENTS
from tailgate.harness.load.records.merging import Records, merged
from tailgate.harness.load.records.record_file import RecordFile, WrittenFile
from tailgate.harness.load.records.samples import SAMPLE, SAMPLE_FILE, SAMPLES
from tailgate.harness.load.wire.answer import WholeAnswer

# The fields that are times of the generator's clock; 0 means never.
TIMES = tuple(name for name in SAMPLE.names or () if name.endswith("_ns"))
PARTS = "parts"


class Gathering:
    """Takes what generators recorded, phase by phase, into the files of a slot; within a phase, in the order of requests."""

    def __init__(self, directory: Path, workers: int) -> None:
        self._directory = directory
        self._workers = workers
        self._samples = WrittenFile(directory / SAMPLES, SAMPLE_FILE)
        # Opened with the first stream: most runs have none.
        self._events: WrittenFile | None = None
        (directory / EVENTS).unlink(missing_ok=True)
        self._answers = Answers(directory / ANSWERS)
        # By generator, our number of each of its answers; its numbers begin with 1, and 0 is no answer.
        self._numbers = [[0] for _ in range(workers)]
        self._parts = directory / PARTS

    def take(self, worker: int, link: Link, offset_ns: int) -> None:
        """Receive what one generator recorded of a phase; its clock less the harness's is ``offset_ns``."""
        self._parts.mkdir(exist_ok=True)
        self._take_answers(worker, b"".join(link.records()))
        numbers = np.array(self._numbers[worker], np.uint32)

        def of_samples(records: Records) -> None:
            for name in TIMES:
                records[name] -= np.where(records[name] == 0, 0, offset_ns)
            records["answer"] = numbers[records["answer"]]
            # Each generator counts its connections from 1 on.
            opened = records["connection"] > 0
            records["connection"][opened] = (records["connection"][opened] - 1) * self._workers + worker + 1

        def of_events(records: Records) -> None:
            records["read_ns"] -= offset_ns

        self._keep(self._parts / f"{worker}-{SAMPLES}", SAMPLE_FILE, link.records(), of_samples)
        self._keep(self._parts / f"{worker}-{EVENTS}", EVENT_FILE, link.records(), of_events)

    def merge(self) -> None:
        """Append what was taken to the files, and forget the parts."""
        self._answers.flush()
        for records in self._merged(SAMPLES, SAMPLE_FILE):
            self._samples.write(memoryview(records.tobytes()))
        for records in self._merged(EVENTS, EVENT_FILE):
            self._events = self._events or WrittenFile(self._directory / EVENTS, EVENT_FILE)
            self._events.write(memoryview(records.tobytes()))
        shutil.rmtree(self._parts)

    def close(self) -> None:
        """Close the files."""
        self._samples.close()
        if self._events is not None:
            self._events.close()
        shutil.rmtree(self._parts, ignore_errors=True)

    @property
    def unkept(self) -> int:
        """How many answers found no room."""
        return self._answers.unkept

    def _merged(self, name: str, form: RecordFile) -> Iterator[Records]:
        return merged(sorted(self._parts.glob(f"*-{name}")), form)

    def _take_answers(self, worker: int, lines: bytes) -> None:
        for line in lines.splitlines():
            kept = msgspec.json.decode(line, type=KeptAnswer)
            whole = WholeAnswer(kept.content_type.encode("latin-1"), kept.body, kept.length, kept.crc)
            self._numbers[worker].append(self._answers.number(kept.payload, kept.status, whole))

    def _keep(
        self, path: Path, form: RecordFile, frames: Iterator[bytes], change: Callable[[Records], None]
    ) -> None:
        with contextlib.closing(WrittenFile(path, form)) as part:
            for frame in frames:
                records = np.frombuffer(frame, form.record).copy()
                change(records)
                part.write(memoryview(records.tobytes()))
