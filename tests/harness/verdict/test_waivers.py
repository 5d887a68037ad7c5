"""Waivers: which are refused, what they accept, when they are in the way, and what every report says of them."""

import datetime as dt
import io
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from compared_results import DESIGN, SEEN, compared
from comparison_rows import rows
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tailgate.harness.compare.decision.decision import judge
from tailgate.harness.errors import UsageError
from tailgate.harness.report import junit, markdown, terminal
from tailgate.harness.report.html.overview import first_screen
from tailgate.harness.results.answers import AnswersResult
from tailgate.harness.results.criterion import Waiver
from tailgate.harness.results.fault import Cause, Fault
from tailgate.harness.results.file import read, write
from tailgate.harness.results.verdict import Better, Verdict
from tailgate.harness.testing import criterion_result, run_result
from tailgate.harness.units import Unit
from tailgate.harness.verdict.waivers import (
    idle,
    in_effect,
    lets_pass,
    of_scenario,
    parse_waivers,
    read_waivers,
    settled,
    with_waivers,
)

PASS, FAIL, INCONCLUSIVE, INVALID = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.INVALID
TODAY = dt.date(2026, 11, 29)
ENTRY = """
[[waiver]]
scenario = "steady"
criterion = "p95 (client)"
limit = "95 ms"
reason = "answers are signed"
who = "Ada"
expires = 2026-11-29
"""


def parsed(text, today=TODAY):
    return parse_waivers(tomllib.loads(text), today)


def waiver(name="p95 (client)", limit="95 ms", scenario="steady", lens=""):
    made = Waiver(
        scenario=scenario,
        criterion="" if lens else name,
        lens=lens,
        limit=limit,
        reason="answers are signed",
        who="Ada",
        expires="2027-01-31",
    )
    return settled([made], 0.012)[0]


def of(*criteria, waivers=(), **changes):
    (scenario,) = run_result(criteria, **changes).scenarios
    return replace(scenario, waivers=tuple(waivers))


def test_a_waiver_counts_until_the_end_of_its_last_day():
    (one,) = parsed(ENTRY)
    assert (one.name, one.limit, one.expires) == ("p95 (client)", "95 ms", "2026-11-29")


def test_no_file_is_no_waiver_and_a_file_names_itself_in_errors(tmp_path):
    assert read_waivers(tmp_path, TODAY) == ()
    (tmp_path / "waivers.toml").write_text(ENTRY.replace("Ada", " "))
    with pytest.raises(UsageError, match=r'waivers\.toml: waiver 1: expected who = "…"'):
        read_waivers(tmp_path, TODAY)
    (tmp_path / "waivers.toml").write_text("[[waiver")
    with pytest.raises(UsageError, match=r"waivers\.toml is not TOML"):
        read_waivers(tmp_path, TODAY)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("2026-11-29", "2026-11-28"),
            r"waiver 1 \(steady, p95 \(client\)\) expired on 2026-11-28: remove it",
        ),
        (("2026-11-29", '"2026-12-01"'), "expected expires = a day such as 2027-01-31, without quotes"),
        (("2026-11-29", "2026-12-01T00:00:00"), "expected expires = a day"),
        (('limit = "95 ms"', ""), 'expected limit = "…", got nothing'),
        (('"95 ms"', "95"), 'expected limit = "…", got 95'),
        (('"95 ms"', '"95 mm"'), "limit: got '95 mm', expected a quantity"),
        (('reason = "answers are signed"', ""), 'expected reason = "…", got nothing'),
        (('who = "Ada"', ""), 'expected who = "…", got nothing'),
        (('scenario = "steady"', 'scene = "steady"'), "there is no key 'scene'; expected criterion, expires"),
        (('criterion = "p95 (client)"', ""), "expected one of the keys criterion and lens, got none"),
        (("limit =", 'lens = "cpu"\nlimit ='), "got criterion and lens"),
        (
            ('criterion = "p95 (client)"', 'lens = "cpu"'),
            "limit: got '95 ms', expected how much worse than base",
        ),
        (("[[waiver]]", "[waiver]"), r"expected entries \[\[waiver\]\] and nothing else"),
        (("[[waiver]]", "[[waivers]]"), r"expected entries \[\[waiver\]\] and nothing else, got waivers"),
    ],
)
def test_a_wrong_waiver_is_refused_with_what_was_expected(change, message):
    assert change[0] in ENTRY
    with pytest.raises(UsageError, match=message):
        parsed(ENTRY.replace(*change))


def test_two_waivers_of_one_criterion_are_refused():
    with pytest.raises(UsageError, match="waiver 2 is a second one of steady, p95"):
        parsed(ENTRY + ENTRY)


@pytest.mark.parametrize(
    ("changes", "accepted"),
    [
        ({"value": 0.095, "verdict": FAIL}, True),
        ({"value": 0.0951, "verdict": FAIL}, False),
        ({"value": 0.09, "verdict": INCONCLUSIVE}, True),
        ({"value": None, "verdict": FAIL}, False),
        ({"value": None, "verdict": FAIL, "low": 0.07, "high": 0.094}, True),
        ({"value": None, "verdict": FAIL, "low": 0.07, "high": 0.096}, False),
        ({"value": float("inf"), "verdict": FAIL}, False),
        ({"value": 0.09, "verdict": INVALID}, False),
        ({"value": 0.09, "verdict": PASS}, False),
        ({"value": 0.01, "verdict": FAIL, "unit": Unit.SHARE}, False),
    ],
)
def test_a_waiver_accepts_what_fails_or_is_undecided_up_to_its_limit(changes, accepted):
    scenario = of(criterion_result("p95", **changes), waivers=[waiver()])
    assert lets_pass(scenario) is accepted
    assert bool(in_effect(scenario)) is accepted


def test_a_limit_may_be_a_floor_and_may_be_in_yardsticks():
    rate = criterion_result("p95", 20.0, verdict=FAIL, unit=Unit.PER_SECOND, better=Better.HIGHER)
    assert lets_pass(of(rate, waivers=[waiver(limit="0.24 /yd")]))  # 20/s where 1 yd is 12 ms
    assert not lets_pass(of(rate, waivers=[waiver(limit="21 /s")]))


def test_all_that_keeps_a_scenario_from_pass_needs_a_waiver():
    late, later = criterion_result("p95", 0.09, verdict=FAIL), criterion_result("p99", 0.2, verdict=FAIL)
    assert not lets_pass(of(late, later, waivers=[waiver()]))
    assert lets_pass(of(late, later, waivers=[waiver(), waiver("p99 (client)", "0.3 s")]))
    # One name over two sets of phases: both have to be within the limit.
    assert not lets_pass(of(late, replace(late, value=0.2), waivers=[waiver()]))
    assert not lets_pass(of(late, faults=[Fault(Cause.NOISE, "x")], waivers=[waiver()]))
    assert not lets_pass(replace(of(late, waivers=[waiver()]), refused="a wrong answer"))
    assert not lets_pass(of(criterion_result("p95"), waivers=[waiver()]))


@given(
    value=st.floats(0.001, 1.0), limit_ms=st.integers(1, 1000), verdict=st.sampled_from([FAIL, INCONCLUSIVE])
)
def test_a_waiver_never_changes_a_verdict_nor_accepts_beyond_its_limit(value, limit_ms, verdict):
    scenario = of(criterion_result("p95", value, verdict=verdict), waivers=[waiver(limit=f"{limit_ms} ms")])
    assert (scenario.verdict, scenario.criteria[0].verdict) == (verdict, verdict)
    assert lets_pass(scenario) == (value <= float(f"{limit_ms}e-3"))


def test_a_waiver_that_was_not_needed_is_in_the_way_and_one_whose_need_is_not_known_is_not():
    idle_one = of(criterion_result("p95"), waivers=[waiver()])
    assert list(idle(idle_one)) == [
        "p95 (client) of steady PASSes without its waiver (answers are signed): remove it from waivers.toml"
    ]
    assert list(idle(of(criterion_result("p95", verdict=FAIL), waivers=[waiver()]))) == []
    assert list(idle(of(criterion_result("p95", verdict=INCONCLUSIVE), waivers=[waiver()]))) == []
    assert list(idle(of(faults=[Fault(Cause.NOISE, "x")], waivers=[waiver()]))) == []


def test_a_waiver_that_can_accept_nothing_says_what_there_is():
    (wrong,) = idle(of(criterion_result("p95"), waivers=[waiver("p59 (client)")]))
    assert wrong == "the waiver of 'p59 (client)' names no criterion of steady; there are p95 (client)"
    (wrong,) = idle(of(criterion_result("p95", verdict=FAIL), waivers=[waiver(limit="3 /s")]))
    assert wrong.endswith("has the limit '3 /s', and expected is a number of unit 's'")


def test_a_run_takes_the_waivers_of_its_own_scenarios_and_kind():
    mine, lens, other = waiver(), waiver(lens="cpu", limit="5 %"), waiver(scenario="burst")
    assert of_scenario([mine, lens, other], "steady", compared=False) == (mine,)
    assert of_scenario([mine, lens, other], "steady", compared=True) == (lens,)


# In a comparison

CPU = waiver(lens="cpu", limit="20 %", scenario="compare")
ALL = tuple(waiver(lens=name, limit="30 %", scenario="compare") for name in ("cpu", "p50", "p95", "p99"))


def test_a_failure_that_is_waived_does_not_end_a_comparison_and_one_beyond_the_waiver_does():
    slower = rows(36, worse=1.08)
    first, last = DESIGN.looks[0].blocks, DESIGN.looks[-1].blocks
    waived = judge(slower, DESIGN, with_waivers(SEEN, ALL))
    assert judge(slower, DESIGN, SEEN).blocks == first
    assert waived.blocks > first
    assert waived.verdict is FAIL
    too_far = with_waivers(SEEN, [waiver(lens="cpu", limit="1 %")])
    assert judge(slower, DESIGN, too_far).blocks == first < last


def test_a_lens_that_is_waived_stays_fail_and_lets_the_comparison_pass():
    decision = judge(rows(36, worse=1.08), DESIGN, with_waivers(SEEN, ALL))
    whole = compared(rows(36, worse=1.08))
    scenario = whole.scenarios[0]
    of_all = replace(
        scenario,
        waivers=ALL,
        comparison=replace(scenario.comparison, decision=decision),
        verdict=decision.verdict,
    )
    assert of_all.verdict is FAIL
    assert lets_pass(of_all)
    assert not lets_pass(replace(of_all, waivers=(CPU,)))


def test_no_waiver_accepts_answers_that_differ():
    whole = compared(rows(36, worse=1.08))
    answers = AnswersResult(verdict=FAIL, gates=True, reason="differ: all", compared=5, differing=5)
    scenario = whole.scenarios[0]
    scenario = replace(scenario, waivers=ALL, comparison=replace(scenario.comparison, answers=answers))
    assert not lets_pass(scenario)


# In reports

SAID = "p95 (client) is FAIL, accepted up to 95 ms until 2027-01-31 by Ada: answers are signed"


@pytest.fixture
def result():
    whole = run_result([criterion_result("p95", 0.09, verdict=FAIL, reason="beyond: too late")])
    scenario = replace(whole.scenarios[0], waivers=(waiver(),))
    return replace(whole, scenarios=(scenario,), reasons=("steady: beyond: too late",))


def test_every_report_says_pass_with_waiver_beside_the_verdict_that_stays(result, tmp_path):
    text = markdown.render(result)
    assert text.startswith("# PASS with waiver: steady: p95 (client) is FAIL, accepted up to 95 ms")
    assert "## steady: FAIL" in text
    (row,) = (line for line in text.splitlines() if line.startswith("| p95 (client) |"))
    assert row.endswith("| FAIL |")
    console = Console(file=io.StringIO(), width=200)
    terminal.render(result, console)
    assert console.file.getvalue().startswith(f"PASS with waiver: steady: {SAID}")
    assert ("perf.waived.1", SAID) in junit.properties(result, result.scenarios[0])
    page = ET.tostring(first_screen(result), "unicode")
    assert ">PASS with waiver<" in page
    assert SAID in page
    write(result, tmp_path / "results.json")
    assert read(tmp_path / "results.json") == result
    assert read(tmp_path / "results.json").verdict is FAIL


def test_a_waiver_that_is_not_enough_is_told_and_the_headline_stays(result):
    (scenario,) = result.scenarios
    late = criterion_result("p99", 0.2, verdict=FAIL, reason="beyond: far too late")
    both = replace(scenario, criteria=(*scenario.criteria, late))
    text = markdown.render(replace(result, scenarios=(both,)))
    assert text.startswith("# FAIL: ")
    assert "waived: p95 (client) is FAIL" in text


def test_the_page_on_waivers_shows_a_file_that_is_read():
    page = Path(__file__).parents[3] / "docs" / "how-to" / "waivers.md"
    shown = re.search(r"```toml\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    assert shown
    of_criterion, of_lens = parsed(shown[1])
    assert (of_criterion.criterion, of_lens.lens) == ("p95 (client)", "cpu")
