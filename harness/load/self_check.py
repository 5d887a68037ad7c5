"""What the generator can do on this machine, so that a run can say how far from its own limit it stayed.

It loads :mod:`tailgate.harness.load.echo`, first in a closed loop, as fast as it can, then at a modest rate for its
punctuality. It takes about three seconds, and judges nothing.
"""

import contextlib
import dataclasses
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tailgate.harness.errors import LoadError
from tailgate.harness.load.generator import Generator
from tailgate.harness.load.report import Lag
from tailgate.harness.load.settings import LoadSettings, Scheduling, TimerMode
from tailgate.harness.load.wire.request import encode_request
from tailgate.harness.load.wire.request_id import draw_prefix
from tailgate.harness.scenario.arrivals import ClosedLoop, Poisson
from tailgate.harness.scenario.payloads.payload import Payload
from tailgate.harness.scenario.plan import draw_plan
from tailgate.harness.scenario.scenario import Phase, Scenario

# Enough to keep the generator busy, few enough that each wake-up serves one or two.
CONNECTIONS = 16
PUNCTUAL_PER_S = 1_000.0
BODY_BYTES = 100
# Ports have five digits, so that a request's length is known before the port is.
_ANY_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the generator reached against a server that answers at once; times are per request."""

    body_bytes: int
    closed_loop_per_s: float  # requests per second in a closed loop over 16 connections
    utilisation: float  # of the generator meanwhile; well below 1, the server or the machine was the limit
    busy_s: float
    cpu_s: float
    lag: Lag  # at 1,000 requests/s, Poisson
    timer: TimerMode
    scheduling: Scheduling  # how the kernel let it run
    processor: int | None  # the one that it was bound to, or None

    def __str__(self) -> str:
        """State it in one line, units and conditions included."""
        place = "no processor of its own" if self.processor is None else f"processor {self.processor}"
        return (
            f"the generator can send {1 / self.busy_s:,.0f} requests/s a core ({self.body_bytes}-byte bodies, "
            f"{self.busy_s * 1e6:.1f} us each; closed loop: {self.closed_loop_per_s:,.0f}/s at "
            f"{self.utilisation:.0%} of its core); at {PUNCTUAL_PER_S:,.0f}/s its lag is "
            f"p50 {self.lag.p50_s * 1e6:.0f} us, p99 {self.lag.p99_s * 1e6:.0f} us "
            f"(timer {self.timer.value}, scheduling {self.scheduling.value}, {place})"
        )


def self_check(processor: int | None = None, requests: int = 20_000) -> Capacity:
    """Measure the generator with the settings that a run will have; raise LoadError where it or a request fails.

    A twentieth of ``requests`` goes first to warm up, and as many show its punctuality.
    """
    payload = Payload("self-check", b"x" * BODY_BYTES, "application/octet-stream")
    scenario = Scenario(
        "self-check",
        "the generator against a server that answers at once",
        (
            Phase("warm-up", ClosedLoop(CONNECTIONS), requests=requests // 20, measured=False),
            Phase("closed loop", ClosedLoop(CONNECTIONS), requests=requests),
            Phase("punctual", Poisson(PUNCTUAL_PER_S), requests=requests // 20),
        ),
        (),
    )
    settings = LoadSettings(
        "127.0.0.1",
        _ANY_PORT,
        connections_warm=CONNECTIONS,
        processor=processor,
        id_prefix=draw_prefix(),
    )
    plan = draw_plan(scenario, [payload], 1)
    with (
        _echo(len(encode_request(payload, settings)), processor) as port,
        tempfile.TemporaryDirectory(prefix="tailgate-self-check-") as directory,
        Generator(plan, dataclasses.replace(settings, port=port), Path(directory)) as generator,
    ):
        _, fast, punctual = [generator.run_phase(index) for index in range(len(plan.phases))]
    if failed := fast.failed + punctual.failed:
        raise LoadError(f"self-check: {failed} of {fast.requests + punctual.requests} requests failed")
    return Capacity(
        body_bytes=BODY_BYTES,
        closed_loop_per_s=fast.requests / ((fast.end_ns - fast.start_ns) / 1e9),
        utilisation=fast.utilisation,
        busy_s=fast.busy_s / fast.requests,
        cpu_s=fast.cpu_s / fast.requests,
        lag=punctual.lag,
        timer=fast.timer,
        scheduling=fast.scheduling,
        processor=fast.processor,
    )


@contextlib.contextmanager
def _echo(request_bytes: int, generator: int | None) -> Iterator[int]:
    """Run the server within a ``with`` block, on a processor that is not the generator's; give its port."""
    others = sorted(os.sched_getaffinity(0) - {generator}) if generator is not None else []
    command = [sys.executable, "-P", "-m", "tailgate.harness.load.echo"]
    command += map(str, [request_bytes, *others[:1]])
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise LoadError("self-check: its server did not start")
            yield int(line)
        finally:
            process.kill()
