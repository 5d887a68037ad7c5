"""Start a server, send phases to it with the load generator, and give back what was recorded."""

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.environments import ROOT
from benchmarks.pinning import client_processor, server_processor
from tailgate.harness.load import Generator, LoadSettings, PhaseReport, Scheduling
from tailgate.harness.load.samples import Samples
from tailgate.harness.scenario.payload import Payload
from tailgate.harness.scenario.plan import draw_plan
from tailgate.harness.scenario.scenario import Phase, Scenario

SEED = 1


@contextlib.contextmanager
def server(module: str, *arguments: str) -> Iterator[int]:
    """Run a module of this package on the server's processor; give its port, and let it end by itself."""
    command = [sys.executable, "-m", f"benchmarks.{module}", str(server_processor()), *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdin is not None
            yield int(process.stdout.readline())
            process.stdin.close()
            process.wait(timeout=10)
        finally:
            process.kill()


def payload(path: str, body_bytes: int = 100) -> Payload:
    """Return a payload named as its path."""
    return Payload(path.removeprefix("/"), b"x" * body_bytes, "application/octet-stream", path=path)


def send(
    port: int,
    phases: Sequence[Phase],
    payloads: Sequence[Payload],
    *,
    pinned: bool = True,
    scheduling: Scheduling = Scheduling.FIFO,
    watch: Callable[[Generator], contextlib.AbstractContextManager[object]] | None = None,
) -> tuple[list[PhaseReport], Samples]:
    """Send phases from a processor of the generator's own, or from any.

    Args:
        port: of the server.
        phases: in order.
        payloads: drawn by weight.
        pinned: bind the generator.
        scheduling: what to ask the kernel for.
        watch: a context to be in while the last phase runs.
    """
    plan = draw_plan(Scenario("benchmark", "the generator itself", tuple(phases), ()), payloads, SEED)
    settings = LoadSettings(
        "127.0.0.1",
        port,
        connections_warm=32,
        processor=client_processor() if pinned else None,
        scheduling=scheduling,
    )
    with tempfile.TemporaryDirectory() as directory, Generator(plan, settings, Path(directory)) as generator:
        reports = [generator.run_phase(index) for index in range(len(phases) - 1)]
        with watch(generator) if watch else contextlib.nullcontext():
            reports.append(generator.run_phase(len(phases) - 1))
        return reports, generator.samples()


@contextlib.contextmanager
def hogs(processors: Sequence[int]) -> Iterator[None]:
    """Keep an endless loop on each of these processors; one may be named more than once."""
    loops = [
        subprocess.Popen(
            ["taskset", "--cpu-list", str(processor), sys.executable, "-c", "while True: pass"],
            start_new_session=True,
        )
        for processor in processors
    ]
    try:
        yield
    finally:
        for one in loops:
            one.kill()
            one.wait()
