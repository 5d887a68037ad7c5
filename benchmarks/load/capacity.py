"""The generator's own limits on this machine: punctuality, memory, and whether it reports that it was starved."""

import contextlib
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from benchmarks.load.rig import SEED, hogs, payload, send, server
from benchmarks.processors import client_processor, server_processor
from benchmarks.targets import Sense, Target
from tailgate import (
    Constant,
    Criterion,
    Phase,
    PhaseRecord,
    Poisson,
    Scenario,
    TargetSettings,
    Window,
    draw_plan,
)
from tailgate.harness.load import LoadSettings, PhaseReport, Scheduling, self_check
from tailgate.harness.load.records.samples import SAMPLE
from tailgate.harness.measures import built_in_measures
from tailgate.harness.observe.slot import measure_slot
from tailgate.harness.observe.slot_record import Slot
from tailgate.harness.target.spec import parse_target
from tailgate.harness.testing.kit import fake_server_spec
from tailgate.harness.verdict import faults, judging

PUNCTUAL_PER_S = 1_000.0
MEMORY_PER_S = 20_000.0
OVERLOAD_PER_S = 100_000.0
SAMPLING_S = 0.25
WARM_UP = Phase("warm-up", Poisson(PUNCTUAL_PER_S), requests=500, measured=False)
# For the fake server, which serves one request after the other.
WARM_UP_SLOW = Phase("warm-up", Poisson(100.0), requests=50, measured=False)
PAYLOADS = (payload("/predict"),)


def prove(seconds: float, memory_requests: int) -> tuple[list[Target], dict[str, Any]]:
    """Measure punctuality, memory and starvation, and let the generator check itself."""
    checked = self_check(client_processor())
    punctual, lags = prove_punctual(seconds)
    grown, memory = prove_memory(memory_requests)
    noticed, starved = prove_starved()
    figures = {"self_check": checked, "stated": str(checked), "lags": lags, "memory": memory}
    return [*punctual, grown, *noticed], {**figures, "starved": starved}


def prove_punctual(seconds: float) -> tuple[list[Target], dict[str, Any]]:
    """Measure the lag at 1,000 requests/s: on a processor of its own, and on processors that are all busy."""
    phases = [WARM_UP, Phase("punctual", Poisson(PUNCTUAL_PER_S), duration_s=seconds)]
    normal = Scheduling.NORMAL
    with server("echo_server") as port:
        (_, alone), _ = send(port, phases, PAYLOADS)
        with hogs((server_processor(), client_processor())):
            (_, shared), _ = send(port, phases, PAYLOADS, pinned=False)
            (_, unfavoured), _ = send(port, phases, PAYLOADS, pinned=False, scheduling=normal)
    found = []
    for where, report, limit_us in (
        ("a processor of its own", alone, 100),
        ("an endless loop on every processor", shared, 1_000),
        ("an endless loop on every processor, not real-time", unfavoured, 1_000),
    ):
        what, lag_us = f"lag p99 at 1,000/s, {where}", report.lag.p99_s * 1e6
        found.append(Target(what, Sense.AT_MOST, limit_us, lag_us, "µs", _how(report)))
    reports = {"alone": alone, "shared": shared, "shared, normal scheduling": unfavoured}
    return found, {
        name: {"lag": report.lag, "run_delay_s": report.run_delay_s, "how": _how(report)}
        for name, report in reports.items()
    }


@contextlib.contextmanager
def resident_memory(seen: list[int]) -> Iterator[None]:
    """Append the generator's resident memory in bytes, again and again."""
    (child,) = [one for one in psutil.Process().children() if "tailgate.harness.load" in one.cmdline()]
    done = threading.Event()

    def look() -> None:
        while not done.wait(SAMPLING_S):
            seen.append(child.memory_info().rss)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def prove_memory(requests: int) -> tuple[Target, dict[str, Any]]:
    """Watch the generator's resident memory over many requests."""
    seen: list[int] = []
    phases = [WARM_UP, Phase("many", Constant(MEMORY_PER_S), requests=requests)]
    with server("echo_server") as port:
        (_, report), samples = send(port, phases, PAYLOADS, watch=lambda: resident_memory(seen))
    growth_mib = (max(seen) - seen[len(seen) // 10]) / 2**20
    what = f"growth of resident memory over {requests:,} requests, after the first tenth"
    note = f"the records are on disk: {samples.size * SAMPLE.itemsize / 2**20:.0f} MiB"
    figures = {
        "rss_mib": [round(one / 2**20, 2) for one in seen[:: max(1, len(seen) // 20)]],
        "failed": report.failed,
        "lag": report.lag,
        "utilisation": report.utilisation,
    }
    return Target(what, Sense.AT_MOST, 1.0, growth_mib, "MiB", note), figures


def prove_starved() -> tuple[list[Target], dict[str, Any]]:
    """Show that a generator without a processor, or beyond its capacity, makes a run INVALID and says so."""
    with hogs([client_processor()] * 4):
        starved = judge_fake_server(Scheduling.NORMAL)
        spared = judge_fake_server(Scheduling.FIFO)
    phases = [WARM_UP, Phase("overload", Constant(OVERLOAD_PER_S), requests=150_000)]
    with server("echo_server") as port:
        (_, report), samples = send(port, phases, PAYLOADS)
    overload = Window((PhaseRecord(phases[1], samples[samples["phase"] == 1]),))
    # Where its server fails first, the generator has time to spare now and then, and is late all the same.
    found = faults.check_generator(report.utilisation) + faults.check_send_lag(overload, (0.05,))
    beyond = [fault.text for fault in found]
    figures = {"starved": starved, "same loops, real-time": spared, "beyond its capacity": beyond}
    busy, asked = "four endless loops on the generator's processor", f"{OVERLOAD_PER_S:,.0f}/s asked of it"
    return [
        Target(f"faults found: {busy}", Sense.AT_LEAST, 1, len(starved["faults"])),
        Target(f"faults found: {asked}", Sense.AT_LEAST, 1, len(beyond)),
    ], figures


def judge_fake_server(scheduling: Scheduling) -> dict[str, Any]:
    """Judge a server with a service time of 2 ms by a p95 of 50 ms, the generator on the client's processor."""
    phases = (WARM_UP_SLOW, Phase("steady", Poisson(100.0), requests=400))
    scenario = Scenario("starved", "a sound server", phases, (Criterion("p95", 0.05, ("steady",)),))
    plan = draw_plan(scenario, PAYLOADS, SEED)
    target = parse_target(fake_server_spec(2.0), TargetSettings())
    assert target is not None
    with tempfile.TemporaryDirectory() as name, target.start(Path(name)) as running:
        processor = client_processor()
        settings = LoadSettings(running.host, running.port, processor=processor, scheduling=scheduling)
        record = measure_slot(Slot(scenario, "head", 0, 1, SEED), plan, running, settings, Path(name))
    # Without the yardstick: drift of the machine is not the question here.
    result = judging.judge_slot(record, built_in_measures(), 0.99, "")
    return {
        "scheduling": record.reports[-1].scheduling.value,
        "verdict": result.verdict.value,
        "faults": [fault.text for fault in result.faults],
        "value_s": result.criteria[0].value,
        "lag": record.reports[-1].lag,
    }


def _how(report: PhaseReport) -> str:
    place = "any processor" if report.processor is None else f"processor {report.processor}"
    return f"timer {report.timer.value}, scheduling {report.scheduling.value}, {place}"
