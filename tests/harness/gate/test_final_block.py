"""The end of a run under pytest: what is printed, by verbosity and colour, and what pytest leaves out. Nothing is measured."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from tailgate.harness.results.fault import Cause, Fault
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.session import session
from tailgate.harness.testing import criterion_result, run_result

SLOW = run_result([criterion_result(value=0.3, verdict=Verdict.FAIL, reason="beyond: in every word")])
REASON = "p95 (client) is 300 ms, and the limit is 100 ms."
KINDS = {
    "PASS": (run_result(), "p95 (client) holds, at 80 % of its limit."),
    "FAIL": (SLOW, REASON),
    "INCONCLUSIVE": (
        run_result([criterion_result(value=0.11, verdict=Verdict.INCONCLUSIVE, reason="undecided: it")]),
        "p95 (client) is 110 ms, and its interval [99.0, 121] ms reaches across the limit of 100 ms.",
    ),
    "INVALID": (run_result(faults=[Fault(Cause.NOISE, "the machine changed")]), "The machine changed."),
}
OWN = """
import pytest

def test_own(perf_gate, request):
    perf_gate.check(request.getfixturevalue("load"))
    assert "what a user expects" == "what there is"

@pytest.fixture
def load():
    from tailgate import Scenario, Phase, Poisson
    return Scenario("own", "a user's own", (Phase("load", Poisson(20.0), requests=5),), ())
"""


@pytest.fixture
def ended(project, monkeypatch):
    """Return a function that runs the gate, whose scenarios come to this, with these arguments."""
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("NO_COLOR", "FORCE_COLOR", "PY_COLORS", "CI", "BUILD_NUMBER"):
        monkeypatch.delenv(name, raising=False)

    def run(result, *arguments, test=("--pyargs", "tailgate.scenarios"), names=("tiny",)):
        (made,) = result.scenarios
        monkeypatch.setattr(
            session.Session,
            "_judged",
            lambda self, scenario, again: (replace(made, name=scenario.name, reproduce=again), ()),
        )
        project.scenarios(*names)
        return project.run(*test, "-m", "perf", *arguments)

    return run


@pytest.mark.parametrize("kind", KINDS)
def test_the_block_says_why_once_and_pytest_one_line(ended, kind):
    result, reason = KINDS[kind]
    text = ended(result).stdout.str()
    before, block = text.split("= performance gate =")
    assert f"\ntiny: {kind}: {reason}\n" in before
    block, _, summary = block.partition("short test summary info")
    assert block.splitlines()[1] == f"{kind}: {reason}"
    assert block.count(reason) == 1
    assert "\nreport: .perf/" in block
    assert "FAILURES" not in text
    assert summary.count("FAILED") == (kind != "PASS")
    assert summary.count(f" - {kind}: tiny: {reason}\n") == (kind != "PASS")


@pytest.mark.parametrize("kind", KINDS)
def test_quietly_the_verdicts_alone_are_printed(ended, kind):
    result, reason = KINDS[kind]
    text = ended(result, "-q").stdout.str()
    assert f"\n{kind}: {reason}\n" in text
    assert "performance gate" not in text
    assert "FAILURES" not in text
    assert ".perf/" not in text


def test_quietly_several_scenarios_have_a_line_each(ended):
    lines = ended(SLOW, "-q", names=("one", "two")).outlines
    assert [line for line in lines if line.startswith("FAIL: ")] == [
        f"FAIL: one: {REASON}",
        f"FAIL: two: {REASON}",
    ]


def test_in_words_everything_is_printed_and_pytest_shows_the_failure(ended):
    text = ended(SLOW, "-v").stdout.str()
    assert "= FAILURES =" in text
    assert "  p95 (client): beyond: in every word" in text
    assert "\n  seed 7\n" in text


def test_where_pytest_cuts_no_line_a_failure_still_has_one(ended, monkeypatch):
    monkeypatch.setenv("CI", "true")
    summary = ended(SLOW).stdout.str().split("short test summary info")[1]
    assert [line.startswith("FAILED") for line in summary.splitlines()[1:-1]] == [True]


def test_a_file_for_programs_has_all_reasons_of_a_failure(ended, project):
    ended(SLOW, "--junitxml=junit.xml")
    (failure,) = ET.parse(project.pytester.path / "junit.xml").iter("failure")
    assert failure.get("message") == f"FAIL: tiny: {REASON}"
    assert "beyond: in every word" in failure.text


def test_an_assertion_of_the_users_own_keeps_its_traceback(ended, project):
    project.pytester.makepyfile(test_own=OWN)
    text = ended(run_result(), test=("test_own.py",)).stdout.str()
    assert "= FAILURES =" in text
    assert "AssertionError: assert 'what a user expects' == 'what there is'" in text


@pytest.mark.parametrize(
    ("variables", "arguments", "coloured"),
    [
        ({}, [], False),
        ({"FORCE_COLOR": "1"}, [], True),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, [], True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, [], False),
        ({"NO_COLOR": "1"}, ["--color=yes"], True),
        ({"FORCE_COLOR": "1"}, ["--color=no"], False),
    ],
)
def test_colours_are_pytests_to_decide(ended, monkeypatch, variables, arguments, coloured):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    lines = ended(SLOW, *arguments).outlines
    (headline,) = (line for line in lines if re.sub(r"\x1b\[[\d;]*m", "", line) == f"FAIL: {REASON}")
    assert headline.startswith("\x1b[1;31m") == coloured
    assert any("\x1b" in line for line in lines) == coloured


def test_without_pytests_terminal_the_run_is_the_same(ended, project):
    result = ended(SLOW, "-p", "no:terminal")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert (project.results() / "results.json").is_file()


def test_what_is_let_pass_is_said_in_a_line(ended):
    result = ended(KINDS["INCONCLUSIVE"][0], "--perf-inconclusive=warn")
    result.assert_outcomes(passed=1)
    assert "WARNING: tiny: INCONCLUSIVE fails no test (--perf-inconclusive=warn)" in result.outlines
