"""The loop over blocks: when it goes on, when it stops, and what it keeps."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from comparison_rows import rows

from tailgate.harness.compare.blocks.row import read_rows
from tailgate.harness.compare.blocks.run import Limits, run_blocks
from tailgate.harness.compare.decision.design import plan_design
from tailgate.harness.compare.lens import LENSES
from tailgate.harness.results.fault import Cause, Fault
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.testing import FakeClock

BLOCK_S = 22.0
LONG = Limits(time_s=3_600)
LENSES_SEEN = tuple(lens for lens in LENSES if lens.gates)


@pytest.fixture
def compared(tmp_path):
    """Return a function that runs made-up blocks, and gives the outcome and the lines that were told."""
    clock, lines = FakeClock(), []

    def run_rows(made, limits=LONG, faults=None):
        def measure(index):
            clock.advance(BLOCK_S)
            return SimpleNamespace(block=made[index], faults=(faults or {}).get(index, ()))

        outcome = run_blocks(
            measure,
            lambda index: index,
            plan_design(LENSES_SEEN),
            LENSES_SEEN,
            limits,
            kept=tmp_path / "rows.jsonl",
            tell=lines.append,
            now_s=clock,
        )
        return outcome, lines

    return run_rows


def test_unchanged_code_passes_at_the_first_look_and_stops(compared, tmp_path):
    outcome, lines = compared(rows(40, sigma=0.3))
    first = plan_design(LENSES_SEEN).looks[0].blocks
    assert (outcome.decision.verdict, len(outcome.rows), outcome.stopped) == (Verdict.PASS, first, "")
    assert read_rows(tmp_path / "rows.jsonl") == outcome.rows
    assert len(lines) == first
    assert lines[0] == "block 1 is good (22 s)"


def test_a_slowdown_fails_and_is_attributed_only_where_stages_were_told(compared):
    outcome, _ = compared(rows(40, worse=1.3, sigma=0.3))
    assert outcome.decision.verdict is Verdict.FAIL
    assert outcome.attributions == ()


def test_no_ratio_stops_a_run_between_two_looks(compared):
    outcome, _ = compared(rows(40, worse=3.0))
    assert len(outcome.rows) == plan_design(LENSES_SEEN).looks[0].blocks


def test_a_block_that_would_end_beyond_the_time_is_not_begun(compared):
    outcome, _ = compared(rows(40), Limits(time_s=5 * BLOCK_S + 1))
    assert len(outcome.rows) == 5
    assert outcome.stopped == "the allowed time is spent: 1.85 minutes (--perf-time-limit)"
    assert outcome.decision.verdict is Verdict.INCONCLUSIVE


def test_one_block_is_measured_however_short_the_time(compared):
    outcome, _ = compared(rows(40), Limits(time_s=0.001))
    assert len(outcome.rows) == 1


def test_blocks_can_be_bounded(compared):
    outcome, _ = compared(rows(40), Limits(time_s=3_600, blocks=3))
    assert (len(outcome.rows), outcome.stopped) == (
        3,
        "the allowed number of blocks is spent: 3 (--perf-blocks)",
    )


def test_a_broken_record_ends_the_run_and_its_block_is_not_kept(compared, tmp_path):
    died = (Fault(Cause.INTEGRITY, "head's server died under load"),)
    outcome, _ = compared(rows(40), faults={2: died})
    assert (outcome.faults, len(outcome.rows), outcome.stopped) == (died, 2, "the record is broken")
    assert len(read_rows(tmp_path / "rows.jsonl")) == 2


def test_void_blocks_do_not_count_and_too_many_are_invalid(compared):
    made = rows(60, sigma=0.3)
    void = [replace(row, void="steal") if row.index % 2 else row for row in made]
    outcome, lines = compared(void)
    assert outcome.decision.verdict is Verdict.INVALID
    assert "block 2 is void: steal (22 s)" in lines
