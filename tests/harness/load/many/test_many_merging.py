"""Any slicing, and the merge of what the slices recorded: the record of a run by one generator."""

import tempfile
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgate.harness.errors import MeasurementError
from tailgate.harness.load.many.gathering import TIMES, Gathering
from tailgate.harness.load.many.slicing import slice_of
from tailgate.harness.load.records.answers import ANSWERS, KeptAnswer, read_answers
from tailgate.harness.load.records.events import EVENT, EVENT_FILE, read_events
from tailgate.harness.load.records.merging import merged
from tailgate.harness.load.records.samples import SAMPLE, SAMPLE_FILE, SAMPLES, read_samples
from tailgate.harness.scenario.arrivals import ClosedLoop, Poisson
from tailgate.harness.scenario.payloads.payload import Payload
from tailgate.harness.scenario.plan import draw_plan
from tailgate.harness.scenario.scenario import Phase, Scenario

BODIES = [b"cat", b"dog", b"cow"]


class Told:
    """The link of a generator that has recorded this: each stream comes in frames of a few records."""

    def __init__(self, *streams):
        self._streams = [*streams]

    def records(self):
        data, step = self._streams.pop(0)
        yield from (data[at : at + step] for at in range(0, len(data), step))


def run_of_one(plan, rng):
    """Return what one generator might record of a plan: samples, and the events of some of the answers."""
    samples, events = [], []
    for index, phase in enumerate(plan.phases):
        count = len(phase.numbers)
        rows = np.zeros(count, SAMPLE)
        rows["request"], rows["phase"] = phase.numbers, index
        for name in TIMES:
            rows[name] = rng.integers(10**12, 2 * 10**12, count) * rng.integers(0, 2, count)
        rows["answer"] = rng.integers(0, len(BODIES) + 1, count)
        rows["events"] = rng.integers(0, 3, count)
        seen = np.zeros(int(rows["events"].sum()), EVENT)
        seen["request"], seen["phase"] = np.repeat(rows["request"], rows["events"]), index
        seen["read_ns"] = np.sort(rng.integers(10**12, 2 * 10**12, len(seen)))
        samples.append(rows)
        events.append(seen)
    return samples, events


def told_by(rows, seen, plan, index, offset_ns, numbers):
    """Return the link of the generator that has a slice of a plan, by its own clock and its own numbers of answers."""
    mine = rows[np.isin(rows["request"], plan.phases[index].numbers)].copy()
    events = seen[np.isin(seen["request"], mine["request"])].copy()
    for name in TIMES:
        mine[name] += np.where(mine[name] == 0, 0, offset_ns)
    events["read_ns"] += offset_ns
    new = [answer for answer in dict.fromkeys(mine["answer"].tolist()) if answer and answer not in numbers]
    lines = b""
    for answer in new:
        numbers[answer] = len(numbers) + 1
        body = BODIES[answer - 1]
        kept = KeptAnswer(numbers[answer], 0, 200, "text/plain", len(body), 0, body)
        lines += msgspec.json.encode(kept) + b"\n"
    mine["answer"] = [numbers.get(answer, 0) for answer in mine["answer"].tolist()]
    return Told((lines, 10), (mine.tobytes(), 3 * SAMPLE.itemsize), (events.tobytes(), 2 * EVENT.itemsize))


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    closed=st.booleans(),
    workers=st.integers(1, 9),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_slicing_and_merge_is_the_run_of_one(sizes, closed, workers, seed):
    rng = np.random.default_rng(seed)
    laws = [ClosedLoop(3) if closed else Poisson(10.0)] * len(sizes)
    phases = tuple(
        Phase(f"p{at}", law, requests=size) for at, (law, size) in enumerate(zip(laws, sizes, strict=True))
    )
    plan = draw_plan(Scenario("s", "for tests", phases, ()), [Payload("a", b"", "")], 1)
    samples, events = run_of_one(plan, rng)
    offsets_ns = rng.integers(-(10**11), 10**11, workers).tolist()
    numbers = [{} for _ in range(workers)]
    with tempfile.TemporaryDirectory() as folder:
        gathering = Gathering(Path(folder), workers)
        for index in range(len(sizes)):
            for worker in range(workers):
                own = slice_of(plan, worker, workers)
                if own.phases[index].offsets_ns.size:
                    link = told_by(
                        samples[index], events[index], own, index, offsets_ns[worker], numbers[worker]
                    )
                    gathering.take(worker, link, offsets_ns[worker])
            gathering.merge()
        gathering.close()
        found, seen = read_samples(Path(folder) / SAMPLES), read_events(Path(folder))
        path = Path(folder) / ANSWERS
        bodies = {one.number: one.body for one in read_answers(path)} if path.exists() else {}
    wanted = np.concatenate(samples)
    for name in set(SAMPLE.names) - {"answer"}:
        np.testing.assert_array_equal(found[name], wanted[name])
    assert [bodies.get(one) for one in found["answer"].tolist()] == [
        BODIES[one - 1] if one else None for one in wanted["answer"].tolist()
    ]
    assert seen.tobytes() == np.concatenate(events).tobytes()


@given(
    parts=st.lists(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 50)), max_size=30), max_size=6),
    memory_bytes=st.integers(1, 20_000),
)
def test_files_of_any_keys_are_merged_in_order_within_any_memory(parts, memory_bytes):
    rows = []
    for number, keys in enumerate(parts):
        part = np.zeros(len(keys), EVENT)
        part["phase"], part["request"] = [key[0] for key in sorted(keys)], [key[1] for key in sorted(keys)]
        part["lag_ns"], part["read_ns"] = number, np.arange(len(keys))
        rows.append(part)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / str(number) for number in range(len(rows))]
        for path, part in zip(paths, rows, strict=True):
            path.write_bytes(EVENT_FILE.header() + part.tobytes())
        blocks = list(merged(paths, EVENT_FILE, memory_bytes))
    found = np.concatenate([np.zeros(0, EVENT), *blocks])
    keys = list(zip(found["phase"].tolist(), found["request"].tolist(), strict=True))
    assert keys == sorted(key for part in parts for key in part)
    for number, part in enumerate(rows):
        assert found[found["lag_ns"] == number].tobytes() == part.tobytes()


def test_no_block_is_larger_than_its_share_of_the_memory(tmp_path):
    paths = []
    for worker in range(10):
        part = np.zeros(1000, SAMPLE)
        part["request"] = np.arange(worker, 10_000, 10)
        paths.append(tmp_path / str(worker))
        paths[-1].write_bytes(SAMPLE_FILE.header() + part.tobytes())
    sizes = [block.nbytes for block in merged(paths, SAMPLE_FILE, 400_000)]
    assert sum(sizes) == 10_000 * SAMPLE.itemsize
    assert max(sizes) <= 100_000
    # Each round gives away at least half of what is held.
    assert len(sizes) < 2.5 * sum(sizes) / 100_000


def test_a_file_that_is_not_in_order_is_refused(tmp_path):
    part = np.zeros(2, SAMPLE)
    part["request"] = [1, 0]
    (tmp_path / "a").write_bytes(SAMPLE_FILE.header() + part.tobytes())
    with pytest.raises(MeasurementError, match="not in the order of their requests"):
        list(merged([tmp_path / "a"], SAMPLE_FILE))
