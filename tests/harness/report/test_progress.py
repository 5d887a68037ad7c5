"""The line that says what a run is doing now."""

import numpy as np
import pytest

from tailgate.harness.observe.beside.under_way import PhaseLoad, Seen
from tailgate.harness.report.progress import done, live, plain
from tailgate.harness.scenario.arrivals import ClosedLoop
from tailgate.harness.scenario.plan import PlannedPhase

SEEN = Seen(
    25.0,
    1_000,
    40.2,
    39.8,
    {"p50": 0.041, "p95": 0.06, "p99": 0.0713},
    refused=3,
    failures={"500 Internal Server Error": 2},
)


def load(tmp_path, closed=None):
    offsets_ns = np.linspace(0, 100e9, 4_001).astype(np.int64)
    return PhaseLoad(
        "steady", 1, PlannedPhase("main", offsets_ns, np.zeros(4_001, np.uint16), closed), 1.0, tmp_path
    )


def test_a_wide_terminal_is_told_everything(tmp_path):
    assert live(load(tmp_path), SEEN, (2, 4), 200) == (
        "[2/4] steady: main ███░░░░░░░░░ 25% · 75 s left · 2 × 500 Internal Server Error · 3 refused · "
        "39.8/s of 40.2/s · p50/p95/p99 41.0 ms/60.0 ms/71.3 ms"
    )


@pytest.mark.parametrize("width", [1, 20, 40, 60, 80, 120])
def test_a_line_never_breaks_and_leaves_out_whole_parts(tmp_path, width):
    whole = live(load(tmp_path), SEEN, (2, 4), 200)
    line = live(load(tmp_path), SEEN, (2, 4), width)
    assert len(line) <= width
    assert whole.startswith(line)
    assert width < 36 or whole[len(line) : len(line) + 3] == " · "


def test_a_log_gets_the_same_in_words(tmp_path):
    assert plain(load(tmp_path), SEEN, (2, 4)) == (
        "[2/4] steady: phase main, 25%, 75 s left, 2 × 500 Internal Server Error, 3 refused, "
        "39.8/s of 40.2/s, p50/p95/p99 41.0 ms/60.0 ms/71.3 ms"
    )


def test_a_closed_loop_is_as_far_as_its_requests(tmp_path):
    closed = load(tmp_path, ClosedLoop(4, 60.0))
    seen = Seen(10.0, 2_000, None, 200.0)
    assert done(closed, seen) == pytest.approx(0.5, abs=0.001)
    assert plain(closed, seen, (1, 1)) == "[1/1] steady: phase main, 50%, 10 s left, 200/s"


@pytest.mark.parametrize("elapsed_s", [0.0, 100.0, 130.0])
def test_no_time_is_left_at_either_end(tmp_path, elapsed_s):
    line = plain(load(tmp_path), Seen(elapsed_s, 0, None, None), (1, 1))
    assert "left" not in line
    assert "nan" not in line
