"""The ledger: every comparison is one whole line, and rates are counted with exact bounds."""

import dataclasses
import json
import os
from multiprocessing.pool import ThreadPool

import pytest
from calibration_rows import quiet_blocks
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.gate.tables import rate
from tailgate.harness.compare.decision.decision import judge
from tailgate.harness.compare.decision.design import plan_design
from tailgate.harness.compare.lens import find_lens
from tailgate.harness.errors import MeasurementError
from tailgate.harness.results import ledger
from tailgate.harness.results.comparison import Attribution, ComparisonResult
from tailgate.harness.results.fault import Cause, Fault
from tailgate.harness.results.ledger import Entry, LensEntry, entries_of, read, record, short
from tailgate.harness.results.run import ArmResult, ScenarioResult
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.testing import run_result


def entry(verdict=Verdict.FAIL, case="more-5", lenses=None, load_s=60.0, wall_s=100.0):
    found = {"cpu": LensEntry(verdict, True, 1.05, 1.02, 1.08)} if lenses is None else lenses
    return Entry(
        run="r1",
        date="2026-11-22T10:00:00Z",
        machine="a processor, 2 processors, 0badcafe",
        tailgate="0.1.0",
        base="service at HEAD~1",
        head="service",
        scenario="compare",
        case=case,
        seed=7,
        verdict=verdict,
        reason="because",
        load_s=load_s,
        wall_s=wall_s,
        blocks=12,
        voided=1,
        lenses=found,
    )


def compared(change, faults=()):
    """Return the result of a run whose head is this much worse than its base, in log."""
    design = plan_design()
    rows = [
        dataclasses.replace(row, void="steal" if row.index == 3 else None)
        for row in quiet_blocks(13, change=change)[0]
    ]
    decision = judge(rows, design)
    comparison = ComparisonResult(
        decision=decision,
        design=design,
        attributions=(Attribution(find_lens("cpu"), (), "compute"),),
        rows="blocks-compare.jsonl",
        order=tuple(row.order for row in rows),
        steal_share=0.02,
    )
    scenario = ScenarioResult(
        name="compare",
        seed=7,
        verdict=Verdict.INVALID if faults else decision.verdict,
        criteria=(),
        reproduce="",
        faults=faults,
        comparison=comparison,
    )
    arms = (ArmResult("head", "service"), ArmResult("base", "service", {"revision": "main (c3d703d)"}))
    return run_result(scenarios=(scenario,), arms=arms)


def test_a_comparison_becomes_one_entry_with_its_lenses_and_the_stage_that_moved():
    (made,) = entries_of(compared(0.1), "more-10")
    assert (made.scenario, made.case, made.seed, made.verdict) == ("compare", "more-10", 7, Verdict.FAIL)
    assert (made.base, made.head) == ("service at main (c3d703d)", "service")
    assert (made.blocks, made.voided, made.load_s, made.wall_s) == (12, 1, 13 * 16.0, 13 * 22.0)
    assert (made.steal_share, made.cpu_pressure_share) == (0.02, None)
    cpu = made.lenses["cpu"]
    assert (cpu.verdict, cpu.gates, cpu.stage) == (Verdict.FAIL, True, "compute")
    assert 1.0 < cpu.low < cpu.change < cpu.high
    assert made.lenses["p50"].stage is None
    assert not made.lenses["memory"].gates


def test_a_broken_record_is_invalid_with_its_reason_and_an_error_has_no_lens():
    fault = Fault(Cause.INTEGRITY, "head's server died under load\nits log ends: …")
    (broken,) = entries_of(compared(0.0, faults=(fault,)))
    assert (broken.verdict, broken.reason) == (Verdict.INVALID, "head's server died under load")
    (ended,) = entries_of(run_result(faults=[fault], arms=()))
    assert (ended.verdict, ended.lenses, ended.blocks, ended.base) == (Verdict.INVALID, {}, 0, "")


def test_what_is_appended_is_read_back_in_order(tmp_path):
    path = tmp_path / "folder" / "ledger.jsonl"
    entries = (entry(), entry(Verdict.PASS, "unchanged"), entry(Verdict.INVALID, lenses={}))
    record(entries, path)
    assert read(path) == ledger.Ledger(entries)
    assert path.read_bytes().count(b"\n") == 3


def test_an_infinite_change_is_kept_as_missing(tmp_path):
    path = tmp_path / "ledger.jsonl"
    record([entry(lenses={"p99": LensEntry(Verdict.FAIL, True, float("inf"), 1.2, None)})], path)
    assert json.loads(path.read_text())["lenses"]["p99"]["change"] is None


def test_a_ledger_that_is_not_there_is_empty(tmp_path):
    assert read(tmp_path / "none.jsonl") == ledger.Ledger(())


def test_a_line_that_was_cut_off_is_reported_and_the_next_one_is_whole(tmp_path):
    path = tmp_path / "ledger.jsonl"
    record([entry(), entry()], path)
    path.write_bytes(path.read_bytes()[:-20])
    record([entry(Verdict.PASS)], path)
    found = read(path)
    assert [one.verdict for one in found.entries] == [Verdict.FAIL, Verdict.PASS]
    assert [line.number for line in found.broken] == [2]


@pytest.mark.parametrize("line", [b"", b"[]", b"3", b"{}", b'{"verdict": "MAYBE"}', b"\xff"])
def test_a_line_that_is_no_entry_is_reported_with_its_number(tmp_path, line):
    path = tmp_path / "ledger.jsonl"
    record([entry()], path)
    ledger.append_line(line, path)
    found = read(path)
    assert len(found.entries) == 1
    assert [broken.number for broken in found.broken] == [2]
    assert found.broken[0].reason


def test_several_writers_lose_no_line(tmp_path):
    path = tmp_path / "ledger.jsonl"
    with ThreadPool(8) as pool:
        pool.map(lambda _: record([entry()], path), range(64))
    assert read(path) == ledger.Ledger((entry(),) * 64)


def test_a_line_that_did_not_fit_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "write", lambda _, data: len(data) - 1)
    with pytest.raises(MeasurementError, match="is the disk full"):
        record([entry()], tmp_path / "ledger.jsonl")


def test_a_folder_in_the_place_of_the_file_is_an_error(tmp_path):
    with pytest.raises(MeasurementError, match="cannot append"):
        record([entry()], tmp_path)
    with pytest.raises(MeasurementError, match="cannot read"):
        read(tmp_path)


def test_a_rate_has_exact_bounds_and_none_of_nothing():
    # None of three: 1 - 0.05 ** (1 / 3), by the definition of Clopper and Pearson.
    assert rate(0, 3) == (0, 3, 0.0, pytest.approx(1 - 0.05 ** (1 / 3)))
    assert rate(3, 3) == (3, 3, pytest.approx(0.05 ** (1 / 3)), 1.0)
    assert rate(0, 0) == (0, 0, None, None)


def test_equal_machines_have_equal_short_names_and_others_do_not():
    machine = {"processor": "a processor", "processors": 2, "kernel": "6.1", "generator": "8,000/s"}
    assert short(machine) == short(machine | {"generator": "7,000/s"})
    assert short(machine).startswith("a processor, 2 processors, ")
    assert short(machine) != short(machine | {"kernel": "6.2"})


NAMES = ("run", "date", "machine", "tailgate", "base", "head", "scenario", "case", "reason")
numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False)
lens_entries = st.builds(LensEntry, st.sampled_from(Verdict), st.booleans(), numbers, numbers, numbers)


@given(
    made=st.builds(
        Entry,
        **{name: st.text() for name in NAMES},
        seed=st.integers(0, 2**31),
        verdict=st.sampled_from(Verdict),
        load_s=st.floats(0, 1e6),
        wall_s=st.floats(0, 1e6),
        blocks=st.integers(0, 100),
        voided=st.integers(0, 100),
        lenses=st.dictionaries(st.text(), lens_entries, max_size=3),
    )
)
def test_any_entry_survives_the_file(tmp_path_factory, made):
    path = tmp_path_factory.mktemp("ledger") / "ledger.jsonl"
    record([made], path)
    assert read(path).entries == (made,)


# What was compared before

COMMITTED = (
    ArmResult("base", "service", {"revision": "main (c3d703d123)"}),
    ArmResult("head", "service", {"revision": "fix (5e8d11d792)"}),
)


def noted(path, arms=COMMITTED, scenario="compare"):
    """Return the notes of a comparison with these sides, after what the ledger holds."""
    compared_now = dataclasses.replace(compared(0.0).scenarios[0], name=scenario)
    recalled = ledger.recall(compared_now, arms, path)
    assert recalled.verdict is compared_now.verdict
    assert recalled.comparison.decision == compared_now.comparison.decision
    return recalled.comparison.notes


def before(base="service at main (c3d703d123)", head="service at fix (5e8d11d792)", **changes):
    return dataclasses.replace(entry(), base=base, head=head, **changes)


def test_the_same_code_that_failed_before_is_told_with_its_dates(tmp_path):
    path = tmp_path / "ledger.jsonl"
    assert noted(path) == ()
    later = before(date="2026-11-23T10:00:00Z")
    record([before(), before(verdict=Verdict.PASS), later, before()], path)
    (note,) = noted(path)
    assert note.startswith(
        "compared before: FAIL on 2026-11-22, 2026-11-23, with the same load (other settings"
    )


@pytest.mark.parametrize(
    ("base", "head", "told"),
    [
        # The commit counts, whatever it was called.
        ("service at HEAD~1 (c3d703d123)", "service at 5e8d11d792", True),
        ("service at c3d703d", "service at 5e8d11d792", True),
        ("service at main (c3d703d123)", "service at fix (0000000000)", False),
        ("service at main (c3d703d123)", "service:MAX_WAIT_MS=5 at fix (5e8d11d792)", False),
        ("service at fix (5e8d11d792)", "service at main (c3d703d123)", False),
    ],
)
def test_a_comparison_of_other_code_is_not_the_same(tmp_path, base, head, told):
    path = tmp_path / "ledger.jsonl"
    record([before(base, head)], path)
    assert bool(noted(path)) is told
    assert noted(path, scenario="burst") == ()


@pytest.mark.parametrize("facts", [{}, {"revision": "5e8d11d792 with changes"}])
def test_nothing_is_told_of_code_that_nobody_committed(tmp_path, facts):
    path = tmp_path / "ledger.jsonl"
    suffix = f" at {facts['revision']}" if facts else ""
    record([before(head=f"service{suffix}")], path)
    assert noted(path, (COMMITTED[0], ArmResult("head", "service", facts))) == ()


def test_a_pass_before_or_a_ledger_that_cannot_be_read_changes_no_verdict(tmp_path):
    path = tmp_path / "ledger.jsonl"
    record([before(verdict=Verdict.PASS)], path)
    assert noted(path) == ()
    (note,) = noted(tmp_path)
    assert note.startswith("whether this was compared before is not known: cannot read the ledger")
