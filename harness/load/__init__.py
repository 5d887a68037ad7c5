"""The load generator: sends a plan's requests on time, from a process of its own, and records each one.

::

    Generator (this process)  ── plan, settings on disk ──▶  python -m tailgate.harness.load DIRECTORY
        run_phase(i)          ── {"run": i} ──▶ stdin        Sender: Pacer → Pool → Connection → Recorder
        PhaseReport           ◀── {"event": "done", …} ──    samples.bin, written as requests end

The generator says how late it was itself, and judges nothing. Many generators send one plan by slices
(:mod:`tailgate.harness.load.many`), and are used as the one is.
"""

from tailgate.harness.load.generator import Generate, Generator, LoadGenerator
from tailgate.harness.load.report import PhaseReport
from tailgate.harness.load.self_check import Capacity, self_check
from tailgate.harness.load.settings import LoadSettings, Scheduling, TimerMode

__all__ = [
    "Capacity",
    "Generate",
    "Generator",
    "LoadGenerator",
    "LoadSettings",
    "PhaseReport",
    "Scheduling",
    "TimerMode",
    "self_check",
]
