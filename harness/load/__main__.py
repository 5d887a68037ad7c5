"""The generator's own process: ``python -m tailgate.harness.load DIRECTORY``.

It reads plan and settings from the directory and prints ``{"event": "ready"}``. For each line ``{"run": i}`` on its
standard input, with ``stretch`` and ``at_ns``, it runs phase i and prints ``{"event": "done", …}``; an error is
``{"event": "error", "message": …}``. The end of standard input ends the process, even in the middle of a phase: it
cannot outlive its parent.
"""

import contextlib
import gc
import os
import resource
import sys
from pathlib import Path
from typing import Any

import orjson

from tailgate.harness.errors import HarnessError, LoadError
from tailgate.harness.load import time_slice
from tailgate.harness.load.records.recorder import Recorder
from tailgate.harness.load.records.samples import SAMPLES
from tailgate.harness.load.report import encode_report
from tailgate.harness.load.sending.sender import OrphanedError, Sender
from tailgate.harness.load.settings import (
    DESCRIPTORS_BESIDE,
    SETTINGS,
    LoadSettings,
    Scheduling,
    read_settings,
)
from tailgate.harness.scenario.plan import read_plan


def main(directory: Path) -> int:
    """Serve the parent's commands until it closes standard input; return the exit status."""
    try:
        settings = read_settings(directory / SETTINGS, os.environ)
        _bind(settings)
        _hurry(settings)
        _allow_descriptors(settings)
        recorder = Recorder(directory / SAMPLES)
        try:
            sender = Sender(read_plan(directory), settings, recorder, lifeline=sys.stdin.fileno())
            sender.warm_up()
            _obey(sender)
        except OrphanedError:
            return 0
        finally:
            recorder.close()
    except HarnessError as error:
        _say("error", {"message": str(error)})
        return 1
    return 0


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


def _obey(sender: Sender) -> None:
    # What stands now stays until the end: no collection needs to look at it again, and none may stop the clock.
    gc.collect()
    gc.freeze()
    gc.disable()
    _say("ready", {})
    with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as commands:
        while line := commands.readline():
            command = orjson.loads(line)
            report = sender.run_phase(command["run"], command["stretch"], command["at_ns"])
            _say("done", encode_report(report))


def _say(event: str, values: dict[str, Any]) -> None:
    os.write(sys.stdout.fileno(), orjson.dumps({"event": event, **values}) + b"\n")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
