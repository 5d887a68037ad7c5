"""The script that proves the gate: whose turn it is, what it keeps, and what its tables say."""

import dataclasses
import json
import subprocess

import planted
import pytest
import typer
from calibration_rows import quiet_blocks
from typer.testing import CliRunner

from benchmarks.gate import proofs
from benchmarks.gate.cases import CASES, PLANT, SERVICE, Case, failing
from benchmarks.gate.proofs import BLOCKS, LEDGER, PLANTED, able, grow, keep, longest_s, next_case
from benchmarks.gate.rows import small
from benchmarks.gate.tables import tables
from tailgate.harness.compare.blocks.row import append_rows, read_rows, to_json
from tailgate.harness.compare.decision.decision import judge
from tailgate.harness.compare.decision.design import plan_design
from tailgate.harness.compare.lens import LENSES, find_lens, override
from tailgate.harness.errors import HarnessError
from tailgate.harness.results import file as results_file
from tailgate.harness.results import ledger
from tailgate.harness.results.comparison import Attribution, ComparisonResult
from tailgate.harness.results.ledger import LensEntry
from tailgate.harness.results.run import ArmResult, ScenarioResult
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.testing import run_result

AUTHOR = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
BY_NAME = {case.name: case for case in CASES}


def measured(folder, change=0.0, run="r1", stage="compute"):
    """Write what a comparison leaves behind, with a head that is this much worse."""
    rows, _ = quiet_blocks(12, change=change, run=run)
    rows = [dataclasses.replace(row, base=with_stages(row.base), head=with_stages(row.head)) for row in rows]
    design = plan_design()
    decision = judge(rows, design)
    comparison = ComparisonResult(
        decision=decision,
        design=design,
        attributions=tuple(Attribution(find_lens(name), (), stage) for name in ("cpu", "p50")),
        rows="blocks-compare.jsonl",
        order=tuple(row.order for row in rows),
    )
    scenario = ScenarioResult(
        name="compare", seed=7, verdict=decision.verdict, criteria=(), reproduce="", comparison=comparison
    )
    result = run_result(
        run_id=run, scenarios=(scenario,), arms=(ArmResult("head", "service"), ArmResult("base", "service"))
    )
    folder.mkdir(parents=True, exist_ok=True)
    results_file.write(result, folder / results_file.RESULTS)
    append_rows(folder / comparison.rows, rows)
    return folder


def with_stages(arm):
    return dataclasses.replace(arm, stages_s={"mean": {"compute": 0.004123456789}})


def entry(case, verdict, **lenses):
    """Return a line of a case, by default with a lens that says the same."""
    found = {name: LensEntry(Verdict(said), True, stage=stage) for name, (said, stage) in lenses.items()}
    return ledger.Entry(
        run="r",
        date="2026-11-22T10:00:00Z",
        machine="a machine",
        tailgate="0",
        base="service",
        head="service",
        scenario="compare",
        case=case,
        seed=1,
        verdict=Verdict(verdict),
        reason="because",
        load_s=180.0,
        wall_s=240.0,
        blocks=12,
        voided=0,
        lenses=found,
    )


# Whose turn it is


def course(cases, seed, runs, done=None):
    """Return whose turn it was in so many runs."""
    counts = dict(done or {})
    names = []
    for _ in range(runs):
        case = next_case(counts, cases, seed)
        counts[case.name] = counts.get(case.name, 0) + 1
        names.append(case.name)
    return names


def test_every_case_gets_its_share_and_unchanged_code_twice_as_much():
    length = sum(case.weight for case in CASES)
    names = course(CASES, 0, 5 * length)
    assert {case.name: names.count(case.name) for case in CASES} == {
        case.name: 5 * case.weight for case in CASES
    }
    assert BY_NAME["unchanged"].weight == 2
    assert names[:length] != names[length : 2 * length]


def test_a_script_that_was_stopped_goes_on_where_it_was():
    whole = course(CASES, 3, 30)
    first = whole[:11]
    assert course(CASES, 3, 19, {name: first.count(name) for name in first}) == whole[11:]


def test_a_case_that_ran_more_often_by_itself_waits_for_the_others():
    cases = CASES[3:6]
    names = course(cases, 0, 4, {cases[0].name: 2})
    assert sorted(names) == sorted([cases[1].name, cases[2].name] * 2)


def test_a_run_may_take_all_blocks_of_the_design_or_as_long_as_any_of_its_case_did():
    entries = [
        dataclasses.replace(entry(name, "PASS"), wall_s=wall_s)
        for name, wall_s in (("stall", 800.0), ("stall", 200.0), ("leak", 900.0), ("more-5", 0.0))
    ]
    around_s = proofs.AROUND_S
    assert longest_s(entries, BY_NAME["stall"]) == 800 + around_s
    assert longest_s(entries, BY_NAME["window"]) == 900 + around_s
    # A run without a block is no example of its case.
    assert longest_s(entries, BY_NAME["more-5"]) == 900 + around_s
    whole_s = 36 * proofs.BLOCK_S + around_s
    assert longest_s([], BY_NAME["window"]) == longest_s(entries[1:2], BY_NAME["stall"]) == whole_s


def test_no_run_begins_that_may_not_end_in_time(tmp_path):
    asked = []

    def more(kept, longest):
        asked.append((kept, longest))
        return kept < 1

    assert grow(lambda: CASES[:1], tmp_path, more, runner=fake_runner(tmp_path), say=lambda line: None) == 1
    assert [kept for kept, _ in asked] == [0, 1]
    assert asked[1][1] == 36 * proofs.BLOCK_S + proofs.AROUND_S


def test_a_case_that_cannot_be_run_is_left_out_and_told():
    said = []
    assert able(CASES[:3], lambda case: "no" if case.name == "history" else None, said.append) == [
        CASES[0],
        CASES[2],
    ]
    assert said == ["history is left out: no"]
    with pytest.raises(HarnessError, match="no case"):
        able(CASES, lambda case: "no", said.append)


# What is kept


def test_a_run_becomes_a_line_and_its_blocks_rows_without_stages(tmp_path):
    made = keep(BY_NAME["more-10"], measured(tmp_path / "run", change=0.12), tmp_path)
    assert ledger.read(tmp_path / LEDGER).entries == (made,)
    assert (made.case, made.verdict, made.lenses["cpu"].stage) == ("more-10", Verdict.FAIL, "compute")
    rows = read_rows(tmp_path / PLANTED)
    assert len(rows) == 12
    assert {row.run for row in rows} == {"more-10 r1"}
    assert rows[0].base.stages_s == {}
    assert all(len(f"{row.head.p95_s:.15g}") <= 9 for row in rows)
    assert not (tmp_path / BLOCKS).exists()


def test_blocks_of_unchanged_code_lie_apart_for_the_replay(tmp_path):
    keep(BY_NAME["unchanged"], measured(tmp_path / "run"), tmp_path)
    assert len(read_rows(tmp_path / BLOCKS)) == 12
    assert not (tmp_path / PLANTED).exists()


def test_a_small_block_judges_as_the_whole_one_does():
    rows, _ = quiet_blocks(12, change=0.05)
    whole, reduced = (judge(kept, plan_design()) for kept in (rows, [small(row) for row in rows]))
    assert [result.verdict for result in reduced.results] == [result.verdict for result in whole.results]
    assert reduced.results[0].change == pytest.approx(whole.results[0].change, rel=1e-5)


def test_a_small_block_takes_half_a_kilobyte():
    row = small(dataclasses.replace(quiet_blocks(1)[0][0], index=1234))
    assert len(json.dumps(to_json(row))) < 900


# Growing


def test_it_grows_until_it_is_told_to_end_and_says_what_was_not_expected(tmp_path):
    said = []
    runner = fake_runner(tmp_path)
    assert (
        grow(lambda: CASES[:2], tmp_path / "into", lambda kept, _: kept < 4, runner=runner, say=said.append)
        == 4
    )
    assert len(ledger.read(tmp_path / "into" / LEDGER).entries) == 4
    assert all("PASS" in line for line in said)
    wrong = [dataclasses.replace(CASES[0], right=frozenset({Verdict.FAIL}))]
    grow(lambda: wrong, tmp_path / "other", lambda kept, _: kept < 1, runner=runner, say=said.append)
    assert "PASS, NOT AS EXPECTED" in said[-1]


def fake_runner(folder, fails=()):
    runs = iter(range(1000))

    def runner(case, options):
        number = next(runs)
        if number in fails:
            raise HarnessError("no results")
        return measured(folder / f"run-{number}", run=f"r{number}")

    return runner


def test_a_comparison_that_comes_to_nothing_is_told_and_three_in_a_row_end_it(tmp_path):
    said = []
    kept = grow(
        lambda: CASES[:1],
        tmp_path / "into",
        lambda kept, _: kept < 2,
        runner=fake_runner(tmp_path, {0, 1}),
        say=said.append,
    )
    assert kept == 2
    assert sum("no results" in line for line in said) == 2
    with pytest.raises(HarnessError):
        grow(
            lambda: CASES[:1],
            tmp_path / "into",
            lambda kept, _: True,
            runner=fake_runner(tmp_path, {0, 1, 2}),
            say=said.append,
        )


def test_comparisons_that_come_to_nothing_end_the_program_with_a_message(tmp_path, monkeypatch):
    def broken(*_, **__):
        raise HarnessError("tailgate compare ended with status 2 and no results")

    monkeypatch.setattr(proofs, "grow", broken)
    app = typer.Typer()
    app.command()(proofs.main)
    done = CliRunner().invoke(app, ["--runs=1", f"--into={tmp_path}", "--", "--blocks", "2"])
    assert (done.exit_code, done.stderr) == (2, "tailgate compare ended with status 2 and no results\n")


def test_a_broken_line_of_the_ledger_is_told(tmp_path):
    said = []
    (tmp_path / LEDGER).write_text('{"run": "r')
    grow(lambda: CASES[:1], tmp_path, lambda kept, _: kept < 1, runner=fake_runner(tmp_path), say=said.append)
    assert "line 1 is no entry" in said[0]
    assert len(ledger.read(tmp_path / LEDGER).entries) == 1


# The cases


def test_every_plant_of_a_case_is_one_that_there_is():
    prefix, suffix = PLANT.split("{}")
    heads = [case.head for case in CASES if case.head.startswith(prefix)]
    assert len(heads) == 9
    assert all(callable(getattr(planted, head.removeprefix(prefix).removesuffix(suffix))) for head in heads)


def test_every_right_lens_and_stage_is_one_that_there_is_and_gates():
    for case in CASES:
        lenses = override(LENSES, [option.removeprefix("--lens=") for option in case.options])
        assert case.lenses <= {lens.name for lens in lenses if lens.gates}, case.name
        assert bool(case.lenses) == (Verdict.FAIL in case.right), case.name
    assert len({case.name for case in CASES}) == len(CASES)
    assert sum(case.head == SERVICE for case in CASES) == 1


def test_a_right_lens_is_one_that_gates_and_failed():
    case = Case("x", "y", "z", frozenset({Verdict.FAIL}), frozenset({"cpu"}), frozenset({"compute"}))
    right = entry("x", "FAIL", cpu=("FAIL", "compute"), p95=("PASS", None))
    wrong = entry("x", "FAIL", cpu=("PASS", None), p95=("FAIL", "queue"))
    assert (failing(right), case.lens_named(right), case.stage_named(right)) == (("cpu",), True, True)
    # Which lens a tail moves is not asked of a case without one.
    assert (case.tail_named(right), case.tail_alone(right)) == (None, None)
    assert (failing(wrong), case.lens_named(wrong), case.stage_named(wrong)) == (("p95",), False, False)
    passed = entry("x", "PASS", cpu=("PASS", None))
    assert (case.lens_named(passed), case.stage_named(passed)) == (None, None)
    reported = dataclasses.replace(right, lenses={"cpu": LensEntry(Verdict.FAIL, gates=False)})
    assert failing(reported) == ()


@pytest.mark.parametrize(
    ("failed", "named", "alone"),
    [(("cpu",), False, False), (("cpu", "p99"), True, False), (("p95", "p99"), True, True)],
)
def test_a_tail_that_cpu_catches_is_counted_apart_from_one_that_only_a_tail_lens_does(failed, named, alone):
    shown = entry("stall", "FAIL", **dict.fromkeys(failed, ("FAIL", None)))
    case = BY_NAME["stall"]
    assert (case.lens_named(shown), case.tail_named(shown), case.tail_alone(shown)) == (True, named, alone)


def test_history_compares_what_is_committed_with_the_working_tree():
    history = BY_NAME["history"]
    assert (history.base, history.head, history.unchanged) == ("HEAD", ".", True)
    assert all(proofs.unfit(case) is None for case in CASES if case.base == SERVICE)


def test_history_is_run_only_while_nothing_but_results_differs_from_what_is_committed(tmp_path, monkeypatch):
    monkeypatch.setattr(proofs, "ROOT", tmp_path)
    monkeypatch.setattr(proofs, "RESULTS", tmp_path / "results")
    history = BY_NAME["history"]
    assert proofs.unfit(history) == "this is no git repository"
    code, kept = tmp_path / "code.py", tmp_path / "results" / "ledger"
    kept.parent.mkdir()
    for path in (code, kept):
        path.write_text("one")
    for words in (["init", "-q"], ["add", "."], [*AUTHOR, "commit", "-qm", "one"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    kept.write_text("two")
    assert proofs.unfit(history) is None
    code.write_text("two")
    assert proofs.unfit(history) == "the working tree differs from HEAD: code.py"


# The tables


def test_the_table_counts_by_case_and_bounds_what_nobody_wants():
    entries = [
        *[entry("unchanged", "PASS", cpu=("PASS", None))] * 20,
        entry("unchanged", "FAIL", cpu=("FAIL", None)),
        entry("unchanged", "INVALID"),
        *[entry("all-5", "FAIL", cpu=("FAIL", "compute"))] * 2,
        entry("all-5", "FAIL", cpu=("PASS", None), p99=("FAIL", "queue")),
        entry("all-5", "PASS", cpu=("PASS", None)),
    ]
    text = tables(entries)
    unchanged = next(line for line in text.splitlines() if "`unchanged`" in line)
    assert [cell.strip() for cell in unchanged.split("|")[2:8]] == ["22", "20", "1", "0", "1", "20 of 21"]
    work = next(line for line in text.splitlines() if "`all-5`" in line)
    assert [cell.strip() for cell in work.split("|")[7:-1]] == [
        "3 of 4",
        "24.9 %",
        "98.7 %",
        "2 of 3",
        "1 of 3",
        "1 of 3",
        "2 of 3",
        "3.00",
        "4.00",
        "12.0",
        "16.0",
    ]
    # 1 - beta quantile: the exact bound of 1 in 21 at 0.95 is 20.7 %.
    assert "Unchanged code, false FAIL: 1 of 21 runs, at most 20.7 %" in text
    assert "By cpu: 1 of 21" in text
    assert "Machine: a machine." in text


def test_a_ledger_that_is_empty_makes_a_table_that_is_empty():
    assert "0 of 0 runs, at most –" in tables([])
