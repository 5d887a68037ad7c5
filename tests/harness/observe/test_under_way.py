"""A phase as it runs: what its records say so far."""

import numpy as np
import pytest

from tailgate.harness.load.records.samples import SAMPLE_FILE, SAMPLES, Outcome
from tailgate.harness.observe.beside.under_way import Following, PhaseLoad
from tailgate.harness.scenario.arrivals import ClosedLoop
from tailgate.harness.scenario.plan import PlannedPhase
from tailgate.harness.testing import samples

START_NS = 1_000_000_000


def load(folder, requests=100, stretch=1.0, closed=None):
    offsets_ns = (np.arange(requests) * 0.1 * 1e9).astype(np.int64)
    phase = PlannedPhase("steady", offsets_ns, np.zeros(requests, np.uint16), closed)
    return PhaseLoad("s", 1, phase, stretch, folder)


def records(count, **changes):
    return samples([0.05] * count, interval_s=0.1, phase=1, **changes)


@pytest.fixture
def file(tmp_path):
    """Return a function that appends bytes to the file of the samples."""
    path = tmp_path / SAMPLES
    path.write_bytes(SAMPLE_FILE.header())

    def append(content):
        with path.open("ab") as stream:
            stream.write(content)

    return append


def at(seconds):
    return START_NS + int(seconds * 1e9)


def test_nothing_is_known_before_the_first_record(tmp_path, file):
    seen = Following(load(tmp_path), START_NS).seen(at(0))
    assert (seen.elapsed_s, seen.ended, seen.offered_per_s, seen.achieved_per_s) == (0.0, 0, None, None)
    assert seen.quantiles_s == {}


def test_a_folder_without_the_file_yet_is_waited_for(tmp_path):
    assert Following(load(tmp_path), START_NS).seen(at(1)).ended == 0


def test_rates_and_quantiles_are_of_what_ended_in_the_last_seconds(tmp_path, file):
    following = Following(load(tmp_path, 300), START_NS)
    slow = samples([0.4] * 100, interval_s=0.1, phase=1)
    file(slow.tobytes())
    first = following.seen(at(10))
    assert (first.ended, first.offered_per_s, first.quantiles_s["p50"]) == (100, 10.0, 0.4)
    file(records(100, start_ns=at(10)).tobytes())
    second = following.seen(at(20.1))
    assert (second.ended, second.quantiles_s["p99"]) == (200, pytest.approx(0.05, abs=0.36))
    assert second.achieved_per_s == pytest.approx(10.0, abs=0.5)
    assert following.seen(at(60)).quantiles_s == {}


def test_a_record_that_is_not_whole_is_read_the_next_time(tmp_path, file):
    following = Following(load(tmp_path), START_NS)
    content = records(3).tobytes()
    ended = []
    for piece in (content[:50], content[50:150], content[150:]):
        file(piece)
        ended.append(following.seen(at(1)).ended)
    assert ended == [0, 1, 3]


def test_records_of_earlier_phases_are_none_of_this_one(tmp_path, file):
    file(samples([0.9] * 5, phase=0).tobytes())
    following = Following(load(tmp_path), START_NS)
    file(records(2).tobytes())
    assert following.seen(at(1)).ended == 2


def test_refusals_and_failures_are_counted_by_kind_over_the_whole_phase(tmp_path, file):
    following = Following(load(tmp_path), START_NS)
    outcomes = [Outcome.OK, Outcome.SHED, Outcome.SERVER_ERROR, Outcome.TIMEOUT, Outcome.SERVER_ERROR]
    file(records(5, outcomes=outcomes).tobytes())
    following.seen(at(1))
    seen = following.seen(at(100))
    assert (seen.ended, seen.refused) == (5, 1)
    assert seen.failures == {"500 Internal Server Error": 2, "timeout": 1}


def test_a_stretched_phase_offers_less_and_takes_longer(tmp_path, file):
    stretched = load(tmp_path, 300, stretch=2.0)
    assert stretched.length_s == pytest.approx(59.8)
    assert Following(stretched, START_NS).seen(at(20)).offered_per_s == pytest.approx(5.0, abs=0.11)


def test_a_closed_loop_offers_nothing_by_itself(tmp_path, file):
    closed = load(tmp_path, closed=ClosedLoop(4, 60.0))
    assert closed.length_s is None
    assert Following(closed, START_NS).seen(at(5)).offered_per_s is None
