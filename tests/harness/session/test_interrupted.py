"""Ctrl-C at each step of a run: the summary says what was measured, and the status says that the run was interrupted."""

import pytest

from tailgate.harness.results import file as results_file
from tailgate.harness.session import budget_run, session
from tailgate.harness.verdict import judging

SPEC = "nowhere"
PLUGIN = """
from tailgate import hookimpl
from tailgate.harness.scenario.arrivals import Constant
from tailgate.harness.errors import TargetError
from tailgate.harness.scenario.scenario import Criterion, Phase, Scenario

@hookimpl
def tailgate_scenarios(profile):
    phases = (Phase("load", Constant(100.0), requests=5),)
    return [Scenario("tiny", "a few requests", phases, (Criterion("p95", 1.0, ("load",)),))]

@hookimpl
def tailgate_target(spec, settings):
    return Nowhere() if spec == "nowhere" else None

class Nowhere:
    spec = "nowhere"

    def start(self, directory):
        raise TargetError("it did not start")
"""
MEASURED, CUT_SHORT = "INVALID: It did not start.", "INVALID: Interrupted (Ctrl-C)."
# Where a key is pressed, by what runs then; and what is said of the scenario.
MOMENTS = {
    "the target starts": ((budget_run.BudgetRun, "_ready_target"), CUT_SHORT),
    "the scenario is judged": ((judging, "unmeasured"), "INVALID: "),
    "its result is written": ((results_file, "write"), MEASURED),
    "the result is put together": ((session.Session, "finish"), MEASURED),
    "the target stops": ((session.Session, "_stop"), MEASURED),
}


def press(monkeypatch, place):
    """Press a key when this runs, the first time."""
    of, name = place
    usual = getattr(of, name)

    def pressed(*arguments, **options):
        monkeypatch.setattr(of, name, usual)
        raise KeyboardInterrupt

    monkeypatch.setattr(of, name, pressed)


@pytest.fixture
def interrupted(project, monkeypatch):
    """Return a function that runs the gate with a key pressed at each of these places, and gives what it came to."""
    project.pytester.path.joinpath("tiny.py").write_text(PLUGIN)

    def run(*places):
        for place in places:
            press(monkeypatch, place)
        result = project.pytester.runpytest_inprocess(
            *project.arguments,
            f"--perf-target={SPEC}",
            "--pyargs",
            "tailgate.scenarios",
            "-m",
            "perf",
            no_reraise_ctrlc=True,
        )
        assert result.ret == pytest.ExitCode.INTERRUPTED
        return result.stdout

    return run


@pytest.mark.parametrize(("place", "says"), MOMENTS.values(), ids=MOMENTS)
def test_a_key_loses_no_summary(interrupted, place, says):
    said = interrupted(place)
    said.fnmatch_lines(["=* performance gate =*", f"{says}*", "re[ps][ou][rl]t*: .perf/*"])


@pytest.mark.parametrize("again", ["the result is put together", "the target stops"])
def test_a_second_key_ends_the_wait_and_loses_no_summary(interrupted, again):
    said = interrupted(MOMENTS["the target starts"][0], MOMENTS[again][0])
    said.fnmatch_lines(["=* performance gate =*", f"{CUT_SHORT}*", "re[ps][ou][rl]t*: .perf/*"])
