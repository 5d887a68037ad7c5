"""Runs with their whole folder, drawn from a simulated queue, so that a report has everything that it can show."""

import dataclasses

import numpy as np
import orjson
from compared_results import ROWS, compared, with_stages
from comparison_rows import rows

from tailgate.harness.compare.blocks.row import append_rows
from tailgate.harness.load.records.samples import SAMPLE, SAMPLE_FILE, SAMPLES, Outcome
from tailgate.harness.load.settings import SETTINGS, LoadSettings, write_settings
from tailgate.harness.observe.beside.moments import MOMENTS
from tailgate.harness.observe.slot import PROBES, RESOURCES
from tailgate.harness.observe.window import offered_rate_per_s
from tailgate.harness.results import file as results_file
from tailgate.harness.results.criterion import Witness
from tailgate.harness.results.failure import Failure
from tailgate.harness.results.run import Code
from tailgate.harness.results.slot import MachineUse, PhaseResult, Quantiles, SlotResult
from tailgate.harness.results.verdict import Better, Verdict, worst
from tailgate.harness.scenario.plan import HEADER
from tailgate.harness.testing import criterion_result, run_result
from tailgate.harness.testing.kit import START_NS, YARDSTICKS
from tailgate.harness.units import Unit

DECODE_S = 0.004
SERVICE_S = 0.016
CODE = Code("0123456789abcdef0123456789abcdef01234567", "faster-decoding", dirty=True)


def queue(rng, n, per_s, *, start_s=0.0, phase=0, refuse_beyond_s=None, arrived_s=None):
    """Return the records of one phase: Poisson arrivals, if none are given, at a server that does one thing at a time."""
    made = np.zeros(n, SAMPLE)
    if arrived_s is None:
        arrived_s = start_s + np.cumsum(rng.exponential(1 / per_s, n))
    service_s = SERVICE_S * rng.lognormal(0.0, 0.25, n)
    waited_s, refused = np.zeros(n), np.zeros(n, bool)
    if refuse_beyond_s is None:
        # Lindley's recursion: a request waits for the work that is left of those before it.
        walk = np.cumsum(np.r_[0.0, service_s[:-1] - np.diff(arrived_s)])
        waited_s = walk - np.minimum.accumulate(walk)
    else:
        free_s = 0.0
        for place, at_s in enumerate(arrived_s):
            waited_s[place] = max(0.0, free_s - at_s)
            refused[place] = waited_s[place] > refuse_beyond_s
            free_s = free_s if refused[place] else at_s + waited_s[place] + service_s[place]
        made["retry_after_s"] = np.where(refused, 1.0, np.nan)
    made["phase"], made["request"] = phase, np.arange(n)
    made["intended_ns"] = START_NS + (arrived_s * 1e9).astype(np.int64)
    made["dispatched_ns"] = made["intended_ns"] + (rng.lognormal(np.log(60e-6), 0.4, n) * 1e9).astype(
        np.int64
    )
    made["sent_ns"] = made["dispatched_ns"] + 20_000
    spent_s = np.where(refused, 0.0008, waited_s + DECODE_S + service_s + 0.0002)
    made["done_ns"] = made["sent_ns"] + (spent_s * 1e9).astype(np.int64)
    made["first_byte_ns"] = made["done_ns"]
    made["status"], made["outcome"] = np.where(refused, 429, 200), np.where(refused, Outcome.SHED, Outcome.OK)
    stages = {"queue_s": waited_s, "decode_s": DECODE_S, "compute_s": service_s, "encode_s": 0.0001}
    for name, seconds in stages.items():
        made[name] = np.where(refused, np.nan, seconds)
    made["server_s"] = np.where(refused, np.nan, waited_s + DECODE_S + service_s + 0.0001)
    made["batch_size"] = np.where(refused, 0, np.minimum(1 + (waited_s / SERVICE_S).astype(int), 16))
    made["payload"] = rng.integers(0, 3, n)
    return made


def spoil(made, every, outcome, status):
    """Let one request of so many end in another way."""
    made["outcome"][::every], made["status"][::every] = outcome, status
    for name in ("queue_s", "decode_s", "compute_s", "encode_s", "server_s"):
        made[name][::every] = np.nan
    return made


def phase_result(made, name, *, measured=True):
    """Return the summary of a phase's records."""
    seconds = np.where(made["outcome"] == Outcome.OK, made["done_ns"] - made["intended_ns"], np.inf) / 1e9
    length_s = float(made["done_ns"].max() - made["intended_ns"].min()) / 1e9
    good = int((made["outcome"] == Outcome.OK).sum())
    lag_s = (made["dispatched_ns"] - made["intended_ns"]) / 1e9
    return PhaseResult(
        name=name,
        measured=measured,
        duration_s=length_s,
        intended=len(made),
        requests=len(made),
        outcomes={
            Outcome(code).name.lower(): int((made["outcome"] == code).sum())
            for code in np.unique(made["outcome"])
        },
        offered_per_s=offered_rate_per_s(made),
        achieved_per_s=good / length_s,
        lag=_quantiles(lag_s),
        client=_quantiles(seconds),
        machine=MachineUse(0.004, 0.03, 0.02, 0.05),
        yardsticks=YARDSTICKS if measured else (),
    )


def _quantiles(seconds):
    found = [float(one) for one in np.quantile(seconds, (0.5, 0.95, 0.99, 1.0), method="inverted_cdf")]
    return Quantiles(len(seconds), *(one if np.isfinite(one) else None for one in found))


def write_folder(folder, phases, names, *, seed=3):
    """Write what a course of a scenario leaves behind."""
    folder.mkdir(parents=True)
    made = np.concatenate(phases)
    (folder / SAMPLES).write_bytes(SAMPLE_FILE.header() + made.tobytes())
    write_settings(LoadSettings("127.0.0.1", 1, id_prefix="00112233aabbccdd"), folder / SETTINGS)
    headed = {
        "content_type": "image/jpeg",
        "path": "/predict",
        "method": "POST",
        "headers": [],
        "weight": 1.0,
        "expect": [],
    }
    document = {
        "format": 3,
        "scenario": "s",
        "seed": "1",
        "phases": [{"name": name, "requests": len(one)} for name, one in zip(names, phases, strict=True)],
        "payloads": [{"name": name, "body_bytes": 0, **headed} for name in ("cat", "coffee", "rocket")],
    }
    (folder / HEADER).write_bytes(orjson.dumps(document))
    rng = np.random.default_rng(seed)
    end_s = (made["done_ns"].max() - START_NS) / 1e9
    step_s = max(1.0, end_s / 600)
    moments, resources, probes = [], [], []
    for place, at_s in enumerate(np.arange(0.0, end_s, step_s)):
        at_ns = START_NS + int(at_s * 1e9)
        busy = int(((made["intended_ns"] <= at_ns) & (made["done_ns"] > at_ns)).sum())
        moments.append(
            {
                "phase": 0,
                "time_s": at_ns / 1e9,
                "busy_s": 100 + 1.1 * at_s + rng.uniform(0, 0.1),
                "stolen_s": 0.02 * at_s,
            }
            | {"stalled_s": 0.1 * at_s, "server_cpu_s": 5 + 0.8 * at_s, "generator_cpu_s": 0.05 * at_s}
        )
        resources.append(
            {"phase": 0, "time_s": at_ns / 1e9, "rss_bytes": 2**30 + place * 2**18, "fds": 40, "threads": 9}
        )
        health = {"phase": 0, "asked": "health", "time_ns": at_ns, "seconds": 0.004, "status": 200}
        probes += [
            health,
            health | {"asked": "metrics", "seconds": 0.009, "in_flight": busy, "queued": max(0, busy - 1)},
        ]
    for name, lines in ((MOMENTS, moments), (RESOURCES, resources), (PROBES, probes)):
        (folder / name).write_bytes(
            b"".join(
                orjson.dumps(line, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)
                for line in lines
            )
        )


def write_run(folder, scenarios, **changes):
    """Write a run of several scenarios, each as :func:`steady` and the others return it; return its result."""
    run = folder / "20261122T143705Z-0a1b2c"
    whole = []
    slots = []
    for scenario, phases, names, warm in scenarios:
        place = f"{scenario.name}-head-0"
        write_folder(run / place, phases, names)
        results = [
            phase_result(made, name, measured=name not in warm)
            for made, name in zip(phases, names, strict=True)
        ]
        slots.append(
            SlotResult(
                scenario=scenario.name,
                arm="head",
                block=0,
                start=1,
                seed=7,
                phases=tuple(results),
                samples=f"{place}/{SAMPLES}",
                faults=scenario.faults,
            )
        )
        whole.append(scenario)
    verdict = worst([one.verdict for one in whole])
    fields = {
        "run_id": run.name,
        "verdict": verdict,
        "slots": tuple(slots),
        "scenarios": tuple(whole),
        "code": CODE,
    }
    result = run_result(**(fields | changes))
    results_file.write(result, run / results_file.RESULTS)
    return result, run


def scenario(name, description, criteria, **changes):
    one = run_result(criteria, scenario=name).scenarios[0]
    return dataclasses.replace(one, description=description, **changes)


def steady(n=2000, *, slow=1.0, verdict=Verdict.PASS):
    """Return a scenario of one rate; ``slow`` stretches its limits."""
    rng = np.random.default_rng(1)
    warm = queue(rng, 50, 30.0)
    phases = (warm, queue(rng, n, 35.0, start_s=3.0, phase=1))
    seconds = (phases[1]["done_ns"] - phases[1]["intended_ns"]) / 1e9
    p95, p99 = np.quantile(seconds, (0.95, 0.99))
    criteria = [
        criterion_result("p95", float(p95), limit=float(p95) * 1.3 / slow, verdict=verdict),
        criterion_result("p99", float(p99), limit=float(p99) * 1.6 / slow, verdict=verdict),
        error_rate(0.0),
    ]
    return (
        scenario("steady", "Poisson arrivals at a constant mean rate", criteria),
        phases,
        ("warm-up", "steady"),
        {"warm-up"},
    )


def error_rate(share):
    """Return the criterion that no request may fail, of which this share did."""
    verdict = Verdict.FAIL if share else Verdict.PASS
    return criterion_result(
        "error_rate",
        share,
        limit=0.0,
        unit=Unit.SHARE,
        low=share * 0.7,
        high=share * 1.4,
        margin=None,
        verdict=verdict,
    )


def failing():
    """Return a steady scenario of which requests fail, and whose limits do not hold."""
    scenario, phases, names, warm = steady(slow=1.9, verdict=Verdict.FAIL)
    spoil(phases[1], 40, Outcome.SERVER_ERROR, 500)
    spoil(phases[1][7:], 130, Outcome.TIMEOUT, 0)
    failures = (
        Failure("server_error", 500, 50, '{"error": "CUDA out of memory; <b>tried</b> to allocate 2 GiB"}'),
        Failure("timeout", None, 16),
    )
    lost = (phases[1]["outcome"] != Outcome.OK).mean()
    criteria = (*scenario.criteria[:-1], error_rate(float(lost)))
    return (
        dataclasses.replace(scenario, criteria=criteria, failures={"head": failures}, verdict=Verdict.FAIL),
        phases,
        names,
        warm,
    )


def ramp():
    """Return a scenario of rising steps."""
    rng = np.random.default_rng(2)
    names, phases, start_s = ["warm-up"], [queue(rng, 50, 20.0)], 3.0
    for index, per_s in enumerate((20, 30, 40, 50, 58, 75), start=1):
        names.append(f"at {per_s / 40:g} of the rate")
        phases.append(queue(rng, 400, float(per_s), start_s=start_s, phase=index))
        start_s = (float(phases[-1]["done_ns"].max()) - START_NS) / 1e9 + 0.5
    judged = tuple(names[1:4])
    criteria = [
        criterion_result("p95", 0.11, limit=0.15, phases=judged),
        criterion_result(
            "knee",
            50.0,
            limit=40.0,
            low=40.0,
            high=58.0,
            margin=0.25,
            unit=Unit.PER_SECOND,
            better=Better.HIGHER,
            phases=tuple(names[1:]),
        ),
    ]
    return scenario("ramp", "a rate that rises in steps", criteria), phases, names, {"warm-up"}


def overload():
    """Return a scenario of far more requests than the server can do, which it refuses."""
    rng = np.random.default_rng(4)
    phases = [queue(rng, 60, 40.0), queue(rng, 300, 55.0, start_s=2.0, phase=1)]
    phases.append(queue(rng, 2400, 110.0, start_s=9.0, phase=2, refuse_beyond_s=0.4))
    phases.append(queue(rng, 120, 25.0, start_s=32.0, phase=3))
    names = ("warm-up", "saturated", "overload", "afterwards")
    criteria = [
        criterion_result(
            "throughput",
            56.0,
            limit=40.0,
            low=50.0,
            high=60.0,
            margin=0.4,
            unit=Unit.PER_SECOND,
            better=Better.HIGHER,
            phases=("saturated",),
        ),
        criterion_result(
            "goodput_share",
            0.93,
            limit=0.6,
            low=0.8,
            high=0.99,
            margin=0.5,
            unit=Unit.SHARE,
            better=Better.HIGHER,
            phases=("overload",),
        ),
        criterion_result("accepted_p95", 0.42, limit=0.5, phases=("overload",)),
        criterion_result("health_p90", 0.005, limit=0.1, phases=("overload",)),
        criterion_result(
            "unaccounted",
            0.0,
            limit=0.0,
            low=0.0,
            high=0.0,
            margin=None,
            unit=Unit.COUNT,
            witness=Witness.SERVER,
            phases=("overload",),
        ),
    ]
    refused = int((phases[2]["outcome"] == Outcome.SHED).sum())
    failures = {
        "head": (Failure("shed", 429, refused, '{"error": "12 requests wait already; try again later"}'),)
    }
    return (
        scenario(
            "overload", "2 times what the service can do, and then half of it", criteria, failures=failures
        ),
        phases,
        names,
        {"warm-up"},
    )


def compared_run(folder, count=14, worse=1.12, verdict_rows=None, void=(3,)):
    """Write a comparison of so many blocks, in which head takes longer; return its result and folder."""
    made = [
        dataclasses.replace(
            one,
            order="bhhbhbbhbhhbhbbh",
            void="other programs used 61% of the processors' time" if one.index in void else None,
        )
        for one in with_stages(rows(count, worse), 0.002)
    ]
    result = compared(made)
    (judged,) = result.scenarios
    turns = dataclasses.replace(judged.comparison, order=tuple(row.order for row in made))
    result = dataclasses.replace(result, scenarios=(dataclasses.replace(judged, comparison=turns),))
    run = folder / "20261122T143705Z-0c0ffe"
    rng, slots = np.random.default_rng(6), []
    for block in range(count):
        for arm, slower in (("base", 1.0), ("head", worse)):
            phases = [queue(rng, 20, 20.0), queue(rng, 120, 30.0, start_s=2.0, phase=1)]
            phases[1]["done_ns"] = phases[1]["intended_ns"] + (
                (phases[1]["done_ns"] - phases[1]["intended_ns"]) * slower
            ).astype(np.int64)
            place = f"compare-{arm}-{block}"
            write_folder(run / place, phases, ("warm-up", "compare"))
            results = (phase_result(phases[0], "warm-up", measured=False), phase_result(phases[1], "compare"))
            slots.append(
                SlotResult(
                    scenario="compare",
                    arm=arm,
                    block=block,
                    start=block + 1,
                    seed=7,
                    phases=results,
                    samples=f"{place}/{SAMPLES}",
                )
            )
    append_rows(run / ROWS, made)
    whole = dataclasses.replace(result, run_id=run.name, slots=tuple(slots), code=CODE)
    results_file.write(whole, run / results_file.RESULTS)
    return whole, run
