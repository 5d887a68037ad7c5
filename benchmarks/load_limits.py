"""The generator's own limits on this machine: how punctual, how fast, how much memory, and that it says when it was starved."""

import contextlib
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from benchmarks.claims import Claim, Sense
from benchmarks.load_run import SEED, hogs, payload, send, server
from benchmarks.pinning import client_processor, server_processor
from tailgate.harness.load import Generator, LoadSettings, PhaseReport, Scheduling, self_check
from tailgate.harness.load.samples import SAMPLE
from tailgate.harness.measures import built_in_measures
from tailgate.harness.observe.slot import measure_slot
from tailgate.harness.observe.slot_record import Slot
from tailgate.harness.observe.window import PhaseRecord, Window
from tailgate.harness.scenario.arrivals import Constant, Poisson
from tailgate.harness.scenario.plan import draw_plan
from tailgate.harness.scenario.scenario import Criterion, Phase, Scenario
from tailgate.harness.target.settings import TargetSettings
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


def prove(seconds: float, memory_requests: int) -> tuple[list[Claim], dict[str, Any]]:
    """Measure punctuality, memory and starvation, and let the generator check itself."""
    capacity = self_check(client_processor())
    lag_claims, lags = prove_punctual(seconds)
    memory_claim, memory = prove_memory(memory_requests)
    starved_claims, starved = prove_starved()
    figures = {
        "self_check": capacity,
        "stated": str(capacity),
        "lags": lags,
        "memory": memory,
        "starved": starved,
    }
    return [*lag_claims, memory_claim, *starved_claims], figures


def prove_punctual(seconds: float) -> tuple[list[Claim], dict[str, Any]]:
    """Measure the lag at 1,000 requests/s: on a processor of its own, and on processors that are all busy."""
    phases = [WARM_UP, Phase("punctual", Poisson(PUNCTUAL_PER_S), duration_s=seconds)]
    busy = (server_processor(), client_processor())
    with server("echo_server") as port:
        (_, alone), _ = send(port, phases, [payload("/predict")])
        with hogs(busy):
            (_, shared), _ = send(port, phases, [payload("/predict")], pinned=False)
            (_, normal), _ = send(
                port, phases, [payload("/predict")], pinned=False, scheduling=Scheduling.NORMAL
            )
    claims = [
        Claim(
            f"lag p99 at 1,000/s, {where}", report.lag.p99_s * 1e6, Sense.AT_MOST, limit, "µs", _how(report)
        )
        for where, report, limit in (
            ("a processor of its own", alone, 100),
            ("an endless loop on every processor", shared, 1_000),
        )
    ]
    return claims, {
        name: {"lag": report.lag, "run_delay_s": report.run_delay_s, "how": _how(report)}
        for name, report in (("alone", alone), ("shared", shared), ("shared, normal scheduling", normal))
    }


def prove_memory(requests: int) -> tuple[Claim, dict[str, Any]]:
    """Watch the generator's resident memory over many requests."""
    seen: list[int] = []

    @contextlib.contextmanager
    def watch(_: Generator) -> Iterator[None]:
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

    phases = [WARM_UP, Phase("many", Constant(MEMORY_PER_S), requests=requests)]
    with server("echo_server") as port:
        (_, report), samples = send(port, phases, [payload("/predict")], watch=watch)
    early = seen[len(seen) // 10]
    growth = (max(seen) - early) / 2**20
    what = f"growth of resident memory over {requests:,} requests, after the first tenth"
    note = f"the records are on disk: {samples.size * SAMPLE.itemsize / 2**20:.0f} MiB"
    figures = {
        "rss_mib": [round(one / 2**20, 2) for one in seen[:: max(1, len(seen) // 20)]],
        "failed": report.failed,
        "lag": report.lag,
        "utilisation": report.utilisation,
    }
    return Claim(what, growth, Sense.AT_MOST, 1.0, "MiB", note), figures


def prove_starved() -> tuple[list[Claim], dict[str, Any]]:
    """Show that a generator without a processor, or beyond its capacity, makes a run INVALID, and what it says."""
    with hogs([client_processor()] * 4):
        starved = judge_fake_server(Scheduling.NORMAL)
        spared = judge_fake_server(Scheduling.FIFO)
    with server("echo_server") as port:
        phases = [WARM_UP, Phase("overload", Constant(OVERLOAD_PER_S), requests=150_000)]
        (_, report), samples = send(port, phases, [payload("/predict")])
    overload = Window((PhaseRecord(phases[1], samples[samples["phase"] == 1]),))
    # Where its server fails first, the generator has time to spare now and then, and is late all the same.
    found = faults.check_generator(report.utilisation) + faults.check_send_lag(overload, (0.05,))
    beyond = [fault.text for fault in found]
    figures = {"starved": starved, "same loops, real-time": spared, "beyond its capacity": beyond}
    claims = [
        Claim(
            "faults found: four endless loops on the generator's processor",
            len(starved["faults"]),
            Sense.AT_LEAST,
            1,
        ),
        Claim(f"faults found: {OVERLOAD_PER_S:,.0f}/s asked of it", len(beyond), Sense.AT_LEAST, 1),
    ]
    return claims, figures


def judge_fake_server(scheduling: Scheduling) -> dict[str, Any]:
    """Judge a server with a service time of 2 ms by a p95 of 50 ms, the generator on the client's processor."""
    phase = Phase("steady", Poisson(100.0), requests=400)
    scenario = Scenario(
        "starved", "a sound server", (WARM_UP_SLOW, phase), (Criterion("p95", 0.05, ("steady",)),)
    )
    plan = draw_plan(scenario, [payload("/predict")], SEED)
    with (
        tempfile.TemporaryDirectory() as directory,
        parse_target(fake_server_spec(2.0), TargetSettings()).start(Path(directory)) as running,
    ):
        settings = LoadSettings(
            running.host, running.port, processor=client_processor(), scheduling=scheduling
        )
        record = measure_slot(Slot(scenario, "head", 0, 1, SEED), plan, running, settings, Path(directory))
    # Without the yardstick: the machine's own drift is not what is looked at here.
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
