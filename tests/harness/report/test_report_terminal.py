"""What a terminal shows of a run, for every kind of verdict, at every width, quietly and in full."""

import dataclasses
import io
import math
import re

import pytest
from compared_results import compared, with_stages
from comparison_rows import rows
from rich.cells import cell_len
from rich.console import Console

from tailgate.harness.report import criteria
from tailgate.harness.report.terminal import Detail, render, screen_of
from tailgate.harness.results.answers import AnswerDifference, AnswersResult
from tailgate.harness.results.comparison import CUT_SHORT
from tailgate.harness.results.failure import Failure
from tailgate.harness.results.fault import INTERRUPTED, Cause, Fault
from tailgate.harness.results.verdict import Better, Verdict, worst
from tailgate.harness.testing import criterion_result, run_result
from tailgate.harness.units import MISSING, Unit

FAIL, UNSURE = Verdict.FAIL, Verdict.INCONCLUSIVE
SLOW = criterion_result("p99", 0.131, verdict=FAIL, reason="beyond: p99 (client) is at least 118 ms")
KNEE = criterion_result("knee", 50.0, limit=40.0, unit=Unit.PER_SECOND, better=Better.HIGHER)
DIED = Fault(Cause.INTEGRITY, "the server died under load\nits log ends:\nout of memory")


def of(*results, **changes):
    """Return one run of the scenarios of several."""
    scenarios = tuple(one for result in results for one in result.scenarios)
    slots = tuple(one for result in results for one in result.slots)
    verdict = worst([one.verdict for one in scenarios])
    return dataclasses.replace(results[0], scenarios=scenarios, slots=slots, verdict=verdict, **changes)


def with_scenario(result, **changes):
    (scenario,) = result.scenarios
    return dataclasses.replace(result, scenarios=(dataclasses.replace(scenario, **changes),))


UNTRIED = Fault(
    Cause.INTEGRITY, "the target failed before and was not tried again: the server died under load"
)
# Every kind of run that there is a block for.
KINDS = {
    "one passes": run_result([criterion_result(), KNEE]),
    "one fails": run_result([criterion_result(), SLOW]),
    "one is undecided": run_result([criterion_result(value=0.11, verdict=UNSURE, reason="undecided: it")]),
    "one has no value": run_result(
        [
            criterion_result(value=None, verdict=FAIL, reason="beyond: 7 of 9 requests failed (timeout)"),
            criterion_result("p99", None, verdict=FAIL, reason="beyond: 7 of 9 requests failed (timeout)"),
        ]
    ),
    "one has no budgets": with_scenario(
        run_result(
            [
                criterion_result(
                    limit=None, verdict=UNSURE, reason="unbudgeted: no budget says what is allowed"
                )
            ]
        ),
        proposal='"steady" = { rate = "40 /s", p95 = "80 ms" }',
    ),
    "one is invalid": run_result(faults=[DIED]),
    "one is disturbed twice": run_result(
        faults=[Fault(Cause.NOISE, "the machine changed"), Fault(Cause.NOISE, "the generator was late")]
    ),
    "one is interrupted": run_result([], faults=[Fault(Cause.INTEGRITY, INTERRUPTED)], slots=()),
    "one is refused": with_scenario(
        run_result([], verdict=FAIL), verdict=FAIL, refused="its first answer is wrong: 404 Not Found"
    ),
    "nothing was judged": run_result([], slots=(), arms=(), yardstick_before=None, yardstick_after=None),
    "nothing was run": run_result([], slots=(), scenarios=()),
    "several pass": of(run_result([criterion_result(), KNEE]), run_result(scenario="burst")),
    "one of several fails": of(
        run_result([criterion_result(), SLOW]), run_result(scenario="burst"), run_result(scenario="ramp")
    ),
    "two of several are invalid": of(
        run_result(faults=[DIED]),
        run_result([], scenario="burst", faults=[UNTRIED]),
        run_result(scenario="ramp"),
    ),
    "interrupted after one": of(
        run_result(), run_result([], scenario="burst", faults=[Fault(Cause.INTEGRITY, INTERRUPTED)])
    ),
    "no change": compared(rows(12, sigma=0.2)),
    "a slower head": compared(with_stages(rows(12, worse=1.25, sigma=0.2), 0.002)),
    "undecided after all looks": compared(rows(36, sigma=2.0)),
    "stopped before the first look": compared(rows(5, worse=1.2), stopped="the allowed time is spent"),
    "other answers": compared(
        rows(12, sigma=0.2),
        answers=AnswersResult(
            verdict=FAIL,
            gates=True,
            reason="head answers differently: 37 of 4,000",
            compared=4_000,
            differing=37,
            examples=(AnswerDifference("$.label", "x", '"cat"', '"dog"', 37),),
        ),
    ),
    "void blocks": compared([dataclasses.replace(row, void="steal") for row in rows(30)]),
    "an interrupted comparison": compared(
        rows(5), faults=(Fault(Cause.INTEGRITY, INTERRUPTED),), stopped=CUT_SHORT + INTERRUPTED
    ),
}


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def kind(request):
    """Each kind of run."""
    return request.param


def printed(result, width=80, detail=Detail.USUAL, *, colours=False):
    screen = screen_of(width, colours=colours)
    with screen.capture() as captured:
        render(result, screen, detail)
    return captured.get()


def lines(result, width=80, detail=Detail.USUAL):
    return [line.rstrip() for line in printed(result, width, detail).splitlines()]


def flat(result, **options):
    return " ".join(printed(result, **options).split())


def test_the_first_line_is_the_verdict_with_its_reason(kind):
    for detail in (Detail.USUAL, Detail.EVERYTHING):
        verdict, why = lines(kind, 400, detail)[0].split(": ", 1)
        assert verdict == kind.verdict.value
        assert re.fullmatch(r".+\.", why)


def test_a_failed_run_is_told_in_a_dozen_lines():
    assert lines(KINDS["one fails"]) == [
        "FAIL: p99 (client) is 131 ms, and the limit is 100 ms.",
        "",
        "steady: FAIL, 1,000 requests, offered 50.1/s, achieved 49.9/s, 2 failed",
        "  criterion       value         interval   limit  of limit  verdict",
        "  p99 (client)   131 ms    [118, 144] ms  100 ms     131 %  FAIL",
        "  p95 (client)  80.0 ms  [72.0, 88.0] ms  100 ms      80 %  PASS",
        "",
        "  → steady: 70.0 % of a request's time is compute: look there first.",
        "reproduce steady: pytest -m perf --perf-scenario=steady --perf-seed=7",
    ]


def test_scenarios_that_pass_have_a_line_each_with_what_is_nearest_to_its_limit():
    text = lines(KINDS["one of several fails"])
    at = text.index("  scenario  criteria  nearest to its limit    value   limit  of limit  verdict")
    assert text[at + 1 : at + 3] == [
        "  burst            1  p95 (client)          80.0 ms  100 ms      80 %  PASS",
        "  ramp             1  p95 (client)          80.0 ms  100 ms      80 %  PASS",
    ]
    assert text[0] == "FAIL: p99 (client) of steady is 131 ms, and the limit is 100 ms."
    assert [line for line in text if line.startswith("reproduce")] == [text[-1]]


def test_what_the_headline_says_is_not_said_again(kind):
    said = flat(kind, width=400)
    why = lines(kind, 400)[0].split(": ", 1)[1].rstrip(".")
    assert said.casefold().count(why.casefold()) == 1


def test_no_word_for_programs_is_left(kind):
    assert not re.search(r"\b(?:beyond|undecided|coarse|unbudgeted|within|noise|integrity): ", flat(kind))


def test_of_an_invalid_run_the_log_is_shown_and_no_number_of_it():
    assert lines(KINDS["one is invalid"]) == [
        "INVALID: The server died under load.",
        "",
        "steady: INVALID",
        "  its log ends:",
        "  out of memory",
        "",
        "  → INVALID says nothing about the service, since the measurement itself went",
        "  wrong. Fix the cause above, then run again.",
        "reproduce steady: pytest -m perf --perf-scenario=steady --perf-seed=7",
    ]


def test_a_cause_of_several_is_told_once():
    text = lines(KINDS["two of several are invalid"])
    assert text[0] == "INVALID: steady: the server died under load. 1 further scenario could not be"
    assert "  the target failed before and was not tried again" in text
    assert "\n".join(text).count("died under load") == 1


def test_an_interrupted_run_is_told_to_run_again():
    assert "→ The run was interrupted, so it says nothing about the service." in flat(
        KINDS["one is interrupted"]
    )
    assert "Mend the cause" not in flat(KINDS["one is interrupted"])


def test_an_interrupted_run_says_which_scenarios_ran_to_the_end():
    text = flat(of(run_result(scenario="burst"), KINDS["one is interrupted"], planned=4))
    assert (
        "→ The run was interrupted: of 4 scenarios, only burst ran to the end. Run it again to its end."
        in text
    )


@pytest.mark.parametrize("name", ["a slower head", "stopped before the first look"])
def test_a_comparison_shows_both_sides_and_what_was_seen_of_each_lens(name):
    kept = KINDS[name]
    text = lines(kept)
    assert text.index("  head: service revision=b") < text.index("  base: service revision=a")
    (cpu,) = (
        line.split() for line in text if line.split()[:1] == ["cpu"] and line.endswith(kept.verdict.value)
    )
    assert re.fullmatch(r"\+\d+\.\d", cpu[5])
    assert "–" not in cpu[:6]


def test_quietly_there_is_a_line_per_scenario_the_worst_first(kind):
    text = lines(kind, detail=Detail.VERDICTS)
    assert len(text) == max(1, len(kind.scenarios))
    assert text[0].startswith(f"{kind.verdict.value}: ")
    assert "" not in text


@pytest.mark.parametrize("name", ["one is interrupted", "interrupted after one"])
def test_a_scenario_of_which_the_headline_says_all_has_no_part_of_its_own(name):
    assert not any(line.endswith(": INVALID") for line in lines(KINDS[name]))


def test_of_several_scenarios_the_quiet_lines_have_names():
    assert lines(KINDS["interrupted after one"], detail=Detail.VERDICTS) == [
        "INVALID: burst: Interrupted (Ctrl-C).",
        "PASS: steady: p95 (client) holds, at 80 % of its limit.",
    ]


def test_everything_is_what_the_usual_block_leaves_out():
    usual, every = (flat(KINDS["one passes"], detail=detail) for detail in (Detail.USUAL, Detail.EVERYTHING))
    for said in (
        "head: service model=demo, device=cpu, weights=trained",
        "seed 7",
        "batch sizes: 1: 75.9 %, 2: 19.0 %, 3-4: 5.06 %",
        "where time went: queue 10.0 ms, decode 4.00 ms",
        "yardstick before, between and after the phases: 13.0 ms, 13.1 ms",
        "machine: steal 0.400 %, CPU pressure 3.00 %",
        "confidence: 0.99 for the run",
        "reproduce steady: ",
    ):
        assert said in every
        assert said not in usual


def test_everything_says_each_reason_in_full():
    every = flat(KINDS["one fails"], detail=Detail.EVERYTHING)
    assert "p99 (client): beyond: p99 (client) is at least 118 ms" in every


@pytest.mark.parametrize(("verbosity", "detail"), [(-2, -1), (-1, -1), (0, 0), (1, 1), (3, 1)])
def test_pytests_verbosity_says_how_much_is_printed(verbosity, detail):
    assert Detail.of(verbosity) == detail


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
@pytest.mark.parametrize("detail", [Detail.USUAL, Detail.EVERYTHING])
def test_no_line_is_longer_than_the_terminal_and_nothing_is_cut(kind, width, detail):
    text = lines(kind, width, detail)
    # What is copied is never broken.
    kept = [line for line in text if not line.startswith(("reproduce ", '"'))]
    assert max(map(cell_len, kept)) <= width
    assert "…" not in "".join(kept)
    if len(kind.scenarios) == 1 and not kind.scenarios[0].faults:
        for one in kind.scenarios[0].criteria:
            for cell in criteria.row(one)[1:5]:
                assert cell == MISSING or any(cell in line for line in text), "a number is missing, or broken"


def test_a_narrow_terminal_has_a_list_in_place_of_a_table():
    text = lines(KINDS["one fails"], 40)
    at = text.index("  p99 (client): FAIL: value 131 ms,")
    assert text[at + 1 : at + 3] == ["    interval [118, 144] ms,", "    limit 100 ms, of limit 131 %"]


def test_names_that_take_two_columns_per_character_break_no_table():
    result = run_result([criterion_result(), criterion_result("遅延" * 6, 0.05)])
    for width in (40, 70, 80):
        assert max(map(cell_len, lines(result, width)[1:-1])) <= width


def test_colours_are_those_that_pytest_decides_on(kind, monkeypatch):
    for name, value in (("NO_COLOR", "1"), ("FORCE_COLOR", "1"), ("TERM", "dumb"), ("COLUMNS", "20")):
        monkeypatch.setenv(name, value)
    assert "\x1b" not in printed(kind)
    assert "\x1b[" in printed(kind, colours=True)
    plain = re.sub(r"\x1b\[[\d;]*m", "", printed(kind, 120, colours=True))
    assert plain == printed(kind, 120)


def test_the_command_that_reproduces_a_scenario_is_never_broken():
    command = "pytest -m perf " + "--perf-option=value " * 10 + "--end"
    assert lines(with_scenario(KINDS["one fails"], reproduce=command))[-1] == f"reproduce steady: {command}"


def test_what_looks_like_markup_is_printed_as_it_is():
    text = lines(
        run_result(faults=[Fault(Cause.NOISE, "x"), Fault(Cause.NOISE, "a [bold]fault[/bold] [/no]")])
    )
    assert "  a [bold]fault[/bold] [/no]" in text


@pytest.mark.parametrize("verdict", Verdict)
def test_failed_requests_are_told_where_the_verdict_is_not_pass(verdict):
    failures = {"head": (Failure("server_error", 500, 7, "out of memory"),)}
    result = with_scenario(run_result([criterion_result(verdict=verdict, reason="x: y")]), failures=failures)
    text = flat(result)
    assert ("failed: 7 × 500 Internal Server Error: out of memory" in text) == (verdict is not Verdict.PASS)


def test_requests_that_were_refused_are_not_called_failed():
    made = run_result(scenario="overload")
    phases = made.slots[0].phases
    refusing = dataclasses.replace(phases[1], outcomes={"ok": 400, "shed": 599, "timeout": 1})
    slot = dataclasses.replace(made.slots[0], phases=(phases[0], refusing))
    assert "achieved 49.9/s, 1 failed, 599 refused" in flat(dataclasses.replace(made, slots=(slot,)))


def test_an_infinite_value_is_no_number_in_the_table():
    text = lines(run_result([criterion_result(value=math.inf, low=0.4, high=None, verdict=FAIL)]), 100)
    assert any(line.split()[:5] == ["p95", "(client)", "–", "≥", "400"] for line in text)


def test_a_report_of_an_earlier_run_goes_to_any_console():
    file = io.StringIO()
    render(run_result(), Console(file=file, width=80))
    assert file.getvalue().startswith("PASS: ")
