"""The load generator: sends a plan's requests on time, from a process of its own, and records each one.

::

    Generator (this process)  ── plan, settings on disk ──▶  python -m tailgate.harness.load DIRECTORY
        run_phase(i)          ── {"run": i} ──▶ stdin        Sender: Pacer → Pool → Connection → Recorder
        PhaseReport           ◀── {"event": "done", …} ──    samples.bin, written as requests end

The generator says how late it was itself, and judges nothing.
"""

from tailgate.harness.load.generator import Generator
from tailgate.harness.load.report import PhaseReport
from tailgate.harness.load.self_check import Capacity, self_check
from tailgate.harness.load.settings import LoadSettings, Scheduling, TimerMode

__all__ = [
    "Capacity",
    "Generator",
    "LoadSettings",
    "PhaseReport",
    "Scheduling",
    "TimerMode",
    "self_check",
]
