"""The rig of these measurements: a server, the load generator that sends phases to it, and busy processors."""

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.environments import ROOT
from benchmarks.processors import client_processor, server_processor
from tailgate import Payload, Phase, Scenario, draw_plan
from tailgate.harness.load import Generate, Generator, LoadSettings, PhaseReport, Scheduling
from tailgate.harness.load.records.samples import Samples
from tailgate.harness.load.wire.request_id import draw_prefix

SEED = 1

Watch = Callable[[], contextlib.AbstractContextManager[object]]


@contextlib.contextmanager
def server(module: str, *arguments: str) -> Iterator[int]:
    """Run ``echo_server``, ``law_server`` or ``stream_server`` on the server's processor; yield its port."""
    command = [sys.executable, "-m", f"benchmarks.load.{module}", str(server_processor()), *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield int(process.stdout.readline())
            process.stdin.close()  # it ends by itself, after it has written its record
            process.wait(timeout=10)
        finally:
            process.kill()


def payload(path: str) -> Payload:
    """Return a payload of 100 bytes, named as its path."""
    return Payload(path.removeprefix("/"), b"x" * 100, "application/octet-stream", path=path)


def send(
    port: int,
    phases: Sequence[Phase],
    payloads: Sequence[Payload],
    *,
    pinned: bool = True,
    scheduling: Scheduling = Scheduling.FIFO,
    watch: Watch = contextlib.nullcontext,
    generate: Generate = Generator,
) -> tuple[list[PhaseReport], Samples]:
    """Send phases from a processor of the generator's own, or from any; enter ``watch`` for the last phase."""
    plan = draw_plan(Scenario("benchmark", "the generator itself", tuple(phases), ()), payloads, SEED)
    processor = client_processor() if pinned else None
    settings = LoadSettings(
        "127.0.0.1",
        port,
        connections_warm=32,
        processor=processor,
        scheduling=scheduling,
        id_prefix=draw_prefix(),
    )
    with tempfile.TemporaryDirectory() as directory, generate(plan, settings, Path(directory)) as generator:
        reports = [generator.run_phase(index) for index in range(len(phases) - 1)]
        with watch():
            reports.append(generator.run_phase(len(phases) - 1))
        return reports, generator.samples()


@contextlib.contextmanager
def hogs(processors: Sequence[int]) -> Iterator[None]:
    """Keep an endless loop on each of these processors; one may be named more than once."""
    endless = [sys.executable, "-c", "while True: pass"]
    loops = [
        subprocess.Popen(["taskset", "--cpu-list", str(processor), *endless], start_new_session=True)
        for processor in processors
    ]
    try:
        yield
    finally:
        for one in loops:
            one.kill()
            one.wait()
