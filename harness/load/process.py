"""The process that sends: it takes its processor, its priority and its descriptors, and sends what it is asked for."""

import contextlib
import gc
import os
import resource
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NoReturn

import orjson

from tailgate.harness.errors import HarnessError, LoadError
from tailgate.harness.load.link import CLOCK, Link
from tailgate.harness.load.records.recorder import Recorder
from tailgate.harness.load.records.samples import SAMPLES
from tailgate.harness.load.report import encode_report
from tailgate.harness.load.sending import time_slice
from tailgate.harness.load.sending.sender import OrphanedError, Sender
from tailgate.harness.load.settings import (
    DESCRIPTORS_BESIDE,
    SETTINGS,
    LoadSettings,
    Scheduling,
    read_settings,
)
from tailgate.harness.scenario.plan import read_plan


def until_gone(link: Link, work: Callable[[], NoReturn]) -> int:
    """Work until the other end is gone; return the exit status, which is 1 after an error of which it was told."""
    try:
        work()
    except (EOFError, BrokenPipeError, ConnectionResetError, OrphanedError):
        return 0
    except HarnessError as error:
        link.tell(event="error", message=str(error))
        return 1


def obey(
    link: Link, directory: Path, environment: Mapping[str, str], sent: Callable[[int], None]
) -> NoReturn:
    """Send each phase that the other end asks for, and tell it the report; ``sent`` is then called with the phase's index.

    Plan and settings lie in the directory, and ``environment`` has the headers. Raise LoadError where this process may not do
    what the settings ask, or the server does not take connections.
    """
    with _ready_sender(directory, environment, link.descriptor) as sender:
        link.tell(event="ready")
        while True:
            frame = link.receive()
            if frame == CLOCK:
                link.tell_clock()
                continue
            command = orjson.loads(frame)
            report = sender.run_phase(command["run"], command["stretch"], command["at_ns"])
            link.tell(event="done", **encode_report(report))
            sent(command["run"])


@contextlib.contextmanager
def _ready_sender(directory: Path, environment: Mapping[str, str], lifeline: int) -> Iterator[Sender]:
    """Give the sender, its first connections made; ``lifeline`` becomes readable when the parent has gone."""
    settings = read_settings(directory / SETTINGS, environment)
    _bind(settings)
    _hurry(settings)
    _allow_descriptors(settings)
    recorder = Recorder(directory / SAMPLES)
    try:
        sender = Sender(read_plan(directory), settings, recorder, lifeline)
        sender.warm_up()
        # What stands now stays until the end: no collection needs to look at it again, and none may stop the clock.
        gc.collect()
        gc.freeze()
        gc.disable()
        yield sender
    finally:
        recorder.close()


def _bind(settings: LoadSettings) -> None:
    if settings.processor is None:
        return
    try:
        os.sched_setaffinity(0, {settings.processor})
    except OSError as error:
        raise LoadError(
            f"cannot run the generator on processor {settings.processor}: {error.strerror}; "
            f"it may use {sorted(os.sched_getaffinity(0))}"
        ) from error


def _hurry(settings: LoadSettings) -> None:
    """Ask for real-time priority, a privilege (CAP_SYS_NICE, or RLIMIT_RTPRIO); reports say whether it was given.

    Without it, ask for a short time slice. A raised nice value does next to nothing where the kernel shares the processors
    among sessions first (sched(7), autogroup).
    """
    if settings.scheduling is Scheduling.FIFO:
        with contextlib.suppress(OSError):
            # The lowest real-time priority is above everything that is not real-time.
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(os.sched_get_priority_min(os.SCHED_FIFO)))
            return
    time_slice.shorten()


def _allow_descriptors(settings: LoadSettings) -> None:
    """Raise the soft limit of open files, which is 1,024 in most shells, to what the connections need."""
    wanted = settings.connections_max + DESCRIPTORS_BESIDE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise LoadError(
            f"the generator may open {hard} files (ulimit -Hn), and {settings.connections_max} connections "
            f"(connections_max) need {wanted}; raise the limit or have fewer connections"
        )
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
