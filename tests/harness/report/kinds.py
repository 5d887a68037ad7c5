"""Every kind of run that a report can be about, each written into a folder with all that it leaves behind."""

import dataclasses

import drawn_runs
import numpy as np
from drawn_runs import SAMPLES, write_run

from tailgate.harness.results import file as results_file
from tailgate.harness.results.criterion import Waiver
from tailgate.harness.results.fault import INTERRUPTED, Cause, Fault
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.testing import criterion_result


def burst():
    """Return a scenario of 40 requests at once, every two seconds."""
    rng = np.random.default_rng(5)
    warm = drawn_runs.queue(rng, 50, 30.0)
    at_s = 3.0 + np.repeat(2.0 * np.arange(10), 40) + rng.uniform(0, 0.02, 400)
    made = drawn_runs.queue(rng, 400, 20.0, phase=1, arrived_s=np.sort(at_s))
    criteria = [
        criterion_result("p95", 0.75, limit=0.9, phases=("bursts",)),
        criterion_result("late_s", 0.2, limit=0.5, phases=("bursts",)),
        criterion_result("recover_s", 0.3, limit=0.7, phases=("bursts",)),
    ]
    scenario = drawn_runs.scenario("burst", "40 requests at once, and silence in between", criteria)
    return scenario, (warm, made), ("warm-up", "bursts"), {"warm-up"}


def passed(folder):
    return write_run(folder, [drawn_runs.steady(), burst(), drawn_runs.ramp(), drawn_runs.overload()])


def failed(folder):
    return write_run(folder, [drawn_runs.failing(), drawn_runs.ramp(), drawn_runs.overload()])


def inconclusive(folder):
    """Write a run whose interval reaches across its limit."""
    scenario, *rest = drawn_runs.steady(300)
    first, *others = scenario.criteria
    asked = dataclasses.replace(first, limit=first.value * 1.04, verdict=Verdict.INCONCLUSIVE)
    scenario = dataclasses.replace(scenario, criteria=(asked, *others), verdict=Verdict.INCONCLUSIVE)
    return write_run(folder, [(scenario, *rest)])


def invalid(folder):
    """Write a run on a machine that became slower meanwhile."""
    scenario, *rest = drawn_runs.steady()
    fault = Fault(
        Cause.NOISE, "the machine changed: its yardstick took 17.0 ms before the run and 25.0 ms after it"
    )
    void = dataclasses.replace(scenario, faults=(fault,), verdict=Verdict.INVALID)
    return write_run(folder, [(void, *rest), drawn_runs.overload()])


def interrupted(folder):
    """Write a run that a key ended in its second of four scenarios, whose slot nobody wrote."""
    made, run = write_run(folder, [drawn_runs.steady(), drawn_runs.ramp()], planned=4)
    cut = run / "ramp-head-0" / SAMPLES
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 3])
    first, second = made.scenarios
    fault = Fault(Cause.INTEGRITY, INTERRUPTED)
    second = dataclasses.replace(second, criteria=(), faults=(fault,), verdict=Verdict.INVALID)
    changes = {"scenarios": (first, second), "slots": made.slots[:1], "verdict": Verdict.INVALID}
    made = dataclasses.replace(made, **changes, reasons=(f"ramp: integrity: {INTERRUPTED}",))
    results_file.write(made, run / results_file.RESULTS)
    return made, run


def waived(folder):
    """Write a run that fails by what somebody has accepted."""
    scenario, *rest = drawn_runs.steady(slow=1.4, verdict=Verdict.FAIL)
    p95, p99, rate = scenario.criteria
    asked = (p95, dataclasses.replace(p99, verdict=Verdict.PASS), rate)
    waiver = Waiver(
        scenario="steady",
        criterion=p95.name,
        limit=f"{2_000 * p95.value:.0f} ms",
        value=2 * p95.value,
        reason="every answer is signed now",
        who="Ada Lovelace",
        expires="2027-01-31",
    )
    return write_run(folder, [(dataclasses.replace(scenario, criteria=asked, waivers=(waiver,)), *rest)])


def million(folder):
    return write_run(folder, [drawn_runs.steady(1_000_000)])


KINDS = {
    "pass": passed,
    "fail": failed,
    "inconclusive": inconclusive,
    "invalid": invalid,
    "interrupted": interrupted,
    "waived": waived,
    "steady": lambda folder: write_run(folder, [drawn_runs.steady()]),
    "burst": lambda folder: write_run(folder, [burst()]),
    "ramp": lambda folder: write_run(folder, [drawn_runs.ramp()]),
    "overload": lambda folder: write_run(folder, [drawn_runs.overload()]),
    "compared-pass": lambda folder: drawn_runs.compared_run(folder, 14, 1.0),
    "compared-fail": drawn_runs.compared_run,
    "compared-inconclusive": lambda folder: drawn_runs.compared_run(folder, 36, 1.035, void=(3, 11, 12, 20)),
    "million": million,
}
