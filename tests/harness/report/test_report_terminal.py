import io

import pytest
from rich.console import Console

from tailgate.harness.report.terminal import render
from tailgate.harness.results.fault import Cause, Fault
from tailgate.harness.results.verdict import Better, Verdict
from tailgate.harness.testing import criterion_result, run_result
from tailgate.harness.units import Unit

MIXED = run_result(
    [
        criterion_result(),
        criterion_result(
            "p99", 0.131, verdict=Verdict.FAIL, reason="its whole interval lies beyond the limit"
        ),
        criterion_result(
            "time_to_recover_after_the_burst",
            None,
            unit=Unit.PER_SECOND,
            better=Better.HIGHER,
            limit=40,
            verdict=Verdict.INCONCLUSIVE,
        ),
    ]
)


def lines(result, width=80, **options):
    file = io.StringIO()
    render(result, Console(file=file, width=width, **options))
    return file.getvalue().splitlines()


@pytest.mark.parametrize("verdict", Verdict)
def test_the_first_line_is_the_verdict(verdict):
    assert lines(run_result([criterion_result(verdict=verdict)]))[0].startswith(f"{verdict.value}: ")


def test_the_report_reads_verdict_table_histogram_stages_machine_advice_command():
    text = lines(run_result([criterion_result("p99", 0.131, verdict=Verdict.FAIL, reason="too slow")]))
    expected = [
        "FAIL: steady: p99 (client)",
        "  head: service model=demo, device=cpu, weights=trained",
        "",
        "steady: FAIL  seed 7, 1,000 requests, 2 failed, offered 50.1/s, achieved 49.9/s",
        "  criterion     measured       interval   limit   margin  verdict",
        "  p99 (client)    131 ms  [118, 144] ms  100 ms  -31.0 %  FAIL",
        "  p99 (client): too slow",
        "  batch sizes: 1: 75.9 %, 2: 19.0 %, 3-4: 5.06 %",
        "  where time went: queue 10.0 ms, decode 4.00 ms, compute 35.0 ms,",
        "    encode 0.100 ms, transport 0.900 ms",
        "  yardstick before, between and after the phases: 13.0 ms, 13.1 ms",
        "",
        "  machine: steal 0.400 %, CPU pressure 3.00 %, server 33.3 ms CPU a request,",
        "    generator 5.00 % of a core, yardstick 13.0 ms before,",
        "    yardstick 13.1 ms after",
        "  confidence: 0.99 for the run, which is 0.99 to pass each criterion, and 0.998",
        "  to fail one",
        "  → steady: 70.0 % of a request's time is compute: look there first.",
        "reproduce steady: pytest -m perf --perf-scenario=steady --perf-seed=7",
    ]
    assert [line.rstrip() for line in text] == expected


def test_eighty_columns_are_enough_without_a_terminal_and_nothing_is_cut():
    text = lines(MIXED)
    assert max(map(len, text)) <= 80
    assert not any("…" in line or "\x1b" in line for line in text)
    assert any(line.rstrip().endswith("INCONCLUSIVE") and "40.0/s" in line for line in text)


def test_a_terminal_gets_colours():
    assert any("\x1b[" in line for line in lines(MIXED, force_terminal=True, color_system="standard"))


def test_the_command_that_reproduces_a_scenario_is_never_broken():
    command = "pytest -m perf " + "--perf-option=value " * 10 + "--end"
    result = run_result()
    (scenario,) = result.scenarios
    object.__setattr__(scenario, "reproduce", command)
    assert lines(result)[-1] == f"reproduce steady: {command}"


def test_what_looks_like_markup_is_printed_as_it_is():
    text = lines(run_result(faults=[Fault(Cause.NOISE, "a [bold]fault[/bold] of [/nothing]")]))
    assert "  noise: a [bold]fault[/bold] of [/nothing]" in text


def test_a_run_that_measured_nothing_still_has_a_report():
    result = run_result([], slots=(), arms=(), yardstick_before=None, yardstick_after=None)
    assert lines(result)[0] == "INVALID: nothing was judged"
