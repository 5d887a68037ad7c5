"""What the load generator can do on this machine: requests a second, processor time a request, and lag.

    python -m benchmarks.generator [--json FILE]

It loads a server that answers at once, first at a modest rate to see how punctual the generator is, then at rates
that rise until it no longer keeps up. Generator and server have a processor each where there are two.
"""

import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import orjson
import typer
from rich.console import Console
from rich.table import Table

from tailgate.harness.load import Generator, LoadSettings, PhaseReport, TimerMode
from tailgate.harness.load.samples import Samples
from tailgate.harness.scenario.arrivals import Constant, Poisson
from tailgate.harness.scenario.payload import Payload
from tailgate.harness.scenario.plan import draw_plan
from tailgate.harness.scenario.scenario import Phase, Scenario

# The generator keeps up while it is late by less than this in half of its requests: the tail of the lag belongs to
# whatever else runs on the machine.
KEEPS_UP_S = 0.001


def rise(highest_per_s: float) -> list[float]:
    """Return the rates to try, in steps of a quarter."""
    rates = [10_000.0]
    while rates[-1] * 1.25 < highest_per_s:
        rates.append(rates[-1] * 1.25)
    return rates


def scenario(rates_per_s: list[float], seconds: float) -> Scenario:
    """Return the course of a measurement: warm-up, punctuality, then ever higher rates."""
    return Scenario(
        "generator",
        "the generator against a server that answers at once",
        (
            Phase("warm-up", Poisson(500.0), requests=500, measured=False),
            Phase("punctual", Poisson(1_000.0), duration_s=4 * seconds),
            *(Phase(f"{rate:.0f}/s", Constant(rate), duration_s=seconds) for rate in rates_per_s),
        ),
        (),
    )


def row(report: PhaseReport, samples: Samples) -> dict[str, Any]:
    """Return one phase's figures."""
    of_phase = samples[samples["phase"] == report.phase]
    latency_s = (of_phase["done_ns"] - of_phase["intended_ns"]) / 1e9
    sent_s = float(np.ptp(of_phase["sent_ns"])) / 1e9
    return {
        "phase": report.name,
        "requests": report.requests,
        "failed": report.failed,
        "sent_per_s": (report.requests - 1) / sent_s,
        "busy_per_request_s": report.busy_s / report.requests,
        "cpu_per_request_s": report.cpu_s / report.requests,
        "utilisation": report.utilisation,
        "lag_p50_s": report.lag.p50_s,
        "lag_p99_s": report.lag.p99_s,
        "lag_max_s": report.lag.max_s,
        "latency_p50_s": float(np.quantile(latency_s, 0.5)),
        "latency_p99_s": float(np.quantile(latency_s, 0.99)),
        "run_delay_s": report.run_delay_s,
    }


def measure(timer: TimerMode, body_bytes: int, seconds: float, highest_per_s: float) -> list[dict[str, Any]]:
    """Measure one way of waiting; stop at the first rate that the generator does not keep up with."""
    processors = sorted(os.sched_getaffinity(0))
    own = processors[-1] if len(processors) > 1 else None
    plan = draw_plan(
        scenario(rise(highest_per_s), seconds),
        [Payload("body", b"x" * body_bytes, "application/octet-stream")],
        1,
    )
    command = [sys.executable, str(Path(__file__).with_name("echo_server.py")), str(processors[0])]
    rows = []
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server,
        tempfile.TemporaryDirectory() as directory,
    ):
        assert server.stdout is not None
        settings = LoadSettings(
            "127.0.0.1", int(server.stdout.readline()), connections_max=64, processor=own, timer=timer
        )
        with Generator(plan, settings, Path(directory)) as generator:
            for index in range(len(plan.phases)):
                report = generator.run_phase(index)
                rows.append(row(report, generator.samples()))
                if index > 1 and (report.lag.p50_s > KEEPS_UP_S or report.failed):
                    break
        assert server.stdin is not None
        server.stdin.close()
    return rows


def table(title: str, rows: list[dict[str, Any]]) -> Table:
    """Return the figures for a terminal, times in microseconds."""
    shown = Table(title=title)
    headings = "phase,sent/s,failed,busy µs,CPU µs,busy %,lag p50 µs,p99,max,latency p50 µs,p99"
    for heading in headings.split(","):
        shown.add_column(heading, justify="left" if heading == "phase" else "right")
    for figures in rows:
        times = ("lag_p50_s", "lag_p99_s", "lag_max_s", "latency_p50_s", "latency_p99_s")
        shown.add_row(
            figures["phase"],
            f"{figures['sent_per_s']:.0f}",
            str(figures["failed"]),
            f"{figures['busy_per_request_s'] * 1e6:.1f}",
            f"{figures['cpu_per_request_s'] * 1e6:.1f}",
            f"{figures['utilisation']:.0%}",
            *(f"{figures[name] * 1e6:.0f}" for name in times),
        )
    return shown


def main(
    body_bytes: Annotated[int, typer.Option(help="size of each request's body")] = 100,
    seconds: Annotated[float, typer.Option(help="length of each step")] = 1.0,
    highest_per_s: Annotated[float, typer.Option(help="last rate to try")] = 60_000.0,
    json: Annotated[Path | None, typer.Option(help="write the figures here")] = None,
) -> None:
    """Measure the load generator on this machine."""
    console = Console(width=120)
    figures: dict[str, Any] = {
        "machine": platform.platform(),
        "python": platform.python_version(),
        "processors": len(os.sched_getaffinity(0)),
        "body_bytes": body_bytes,
    }
    for timer in TimerMode:
        rows = figures[timer.value] = measure(timer, body_bytes, seconds, highest_per_s)
        console.print(table(f"timer: {timer.value}, bodies of {body_bytes} bytes", rows))
    if json is not None:
        json.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2))


if __name__ == "__main__":
    typer.run(main)
