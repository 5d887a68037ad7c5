"""The line that says what a run is doing now, of a phase and of a comparison."""

import dataclasses
import re

import numpy as np
import pytest
from compared_results import DESIGN, SEEN
from comparison_rows import rows
from rich.cells import cell_len

from tailgate.harness.compare.blocks.run import Limits
from tailgate.harness.compare.blocks.standing import Standing, begun
from tailgate.harness.compare.decision.design import NEVER, plan_design
from tailgate.harness.observe.beside.under_way import PhaseLoad, Seen
from tailgate.harness.report.progress import Line, done, live, of_comparison, of_phase, plain
from tailgate.harness.scenario.arrivals import ClosedLoop
from tailgate.harness.scenario.plan import PlannedPhase

PHASE = Seen(
    25.0,
    1_000,
    40.2,
    39.8,
    {"p50": 0.041, "p95": 0.06, "p99": 0.0713},
    refused=3,
    failures={"500 Internal Server Error": 2},
)


def load(tmp_path, closed=None, name="steady"):
    offsets_ns = np.linspace(0, 100e9, 4_001).astype(np.int64)
    return PhaseLoad(
        name, 1, PlannedPhase("main", offsets_ns, np.zeros(4_001, np.uint16), closed), 1.0, tmp_path
    )


def standing(made, now_s, *, limit_s=3_600.0, design=DESIGN):
    """Return a comparison whose next block began when these were over, 20 s each."""
    began_s, block_s = 100.0, 100.0 + 20.0 * len(made)
    known = begun(made, design, SEEN, Limits(limit_s), began_s, block_s)
    return of_comparison(Standing("compare", "slot 1: both by turns", 90.0, known), block_s + now_s)


def made_of(count, **changes):
    return [dataclasses.replace(row, wall_s=20.0) for row in rows(count, sigma=0.2, **changes)]


def test_a_wide_terminal_is_told_everything_of_a_phase(tmp_path):
    assert live(of_phase(load(tmp_path), PHASE), (2, 4), 200) == (
        "[2/4] steady: main ███░░░░░░░░░ 25% · 75 s left · 2 × 500 Internal Server Error · 3 refused · "
        "39.8/s of 40.2/s · p50/p95/p99 41.0 ms/60.0 ms/71.3 ms"
    )


def test_a_log_gets_the_same_in_words(tmp_path):
    assert plain(of_phase(load(tmp_path), PHASE), (2, 4)) == (
        "[2/4] steady: main, 25%, 75 s left, 2 × 500 Internal Server Error, 3 refused, "
        "39.8/s of 40.2/s, p50/p95/p99 41.0 ms/60.0 ms/71.3 ms"
    )


def test_a_closed_loop_is_as_far_as_its_requests(tmp_path):
    closed = load(tmp_path, ClosedLoop(4, 60.0))
    seen = Seen(10.0, 2_000, None, 200.0)
    assert done(closed, seen) == pytest.approx(0.5, abs=0.001)
    assert plain(of_phase(closed, seen), (1, 1)) == "steady: main, 50%, 10 s left, 200/s"


@pytest.mark.parametrize("elapsed_s", [0.0, 100.0, 130.0])
def test_no_time_is_left_at_either_end(tmp_path, elapsed_s):
    line = plain(of_phase(load(tmp_path), Seen(elapsed_s, 0, None, None)), (1, 1))
    assert "left" not in line
    assert "nan" not in line


@pytest.mark.parametrize("width", [1, 20, 39, 40, 60, 80, 120, 200])
@pytest.mark.parametrize("name", ["steady", "遅延の測定"])
def test_a_line_never_breaks_and_leaves_out_whole_parts(tmp_path, width, name):
    for line in (of_phase(load(tmp_path, name=name), PHASE), standing(made_of(7), 5.0)):
        whole = live(line, (2, 4), 1_000)
        shown = live(line, (2, 4), width)
        assert cell_len(shown) <= width
        assert whole.startswith(shown.rstrip())
        assert width < 40 or whole[len(shown) : len(shown) + 2] in {"", " ·", " █", " ░"}


def test_eighty_columns_have_the_block_the_time_left_and_the_first_lens():
    line = live(standing(made_of(7, worse=1.2), 5.0), (1, 1), 79)
    assert re.fullmatch(
        r"compare: block 8 of 12 · next look in 95 s · cpu \+[\d.]+ % \[\+[\d.]+, \+[\d.]+\]", line
    )


def test_before_the_first_block_a_comparison_says_what_it_does():
    line = of_comparison(Standing("compare", "starting both sides once", 90.0), 95.0)
    assert line == Line("compare: starting both sides once", None, ("5 s",))
    assert live(line, (1, 1), 80) == "compare: starting both sides once · 5 s"
    assert plain(line, (1, 1)) == "compare: starting both sides once, 5 s"


def test_the_first_block_has_no_length_yet():
    assert plain(standing([], 10.0), (1, 1)) == (
        "compare: block 1 of 12, at most 60 min left, slot 1: both by turns"
    )


def test_a_comparison_says_its_block_the_time_left_the_arm_and_each_lens():
    line = standing(made_of(3, worse=1.2), 5.0)
    assert (line.title, line.parts[:1]) == (
        "compare: block 4 of 12",
        ("next look in 3 min",),
    )
    first, doing, *further = line.parts[1:]
    assert doing == "slot 1: both by turns"
    assert [part.split()[0] for part in (first, *further)] == [lens.name for lens in SEEN if lens.gates]
    assert not any("[" in part for part in line.parts if not part.startswith("error_rate ")), (
        "three blocks bound nothing"
    )
    assert next(part for part in line.parts if part.startswith("cpu ")).startswith("cpu +")


def test_from_six_blocks_on_each_lens_has_an_interval():
    parts = [part for part in standing(made_of(6, worse=1.2), 5.0).parts[1:] if "turns" not in part]
    assert all(re.fullmatch(r"\w+ [+-][\d.]+ % \[[+-][\d.]+, [+-][\d.]+\]", part) for part in parts), parts


def test_void_blocks_move_the_next_look():
    made = made_of(4)
    made[0] = dataclasses.replace(made[0], void="steal")
    assert standing(made, 0.0).title == "compare: block 5 of 13"


def test_a_limit_that_comes_before_the_next_look_is_said_as_soon_as_a_block_is_over():
    (part, *_) = standing(made_of(1), 5.0, limit_s=120.0).parts
    assert part == "time limit in 95 s, before the next look"
    assert standing(made_of(1), 5.0).parts[0] == "next look in 4 min"


def test_after_the_last_look_and_in_a_calibration_only_the_limit_is_known():
    calibration = plan_design(SEEN, blocks=(NEVER,))
    for made, design in ((made_of(DESIGN.blocks), DESIGN), (made_of(2), calibration)):
        line = standing(made, 5.0, design=design)
        assert line.title == f"compare: block {len(made) + 1}"
        assert line.parts[0].startswith("at most ")
