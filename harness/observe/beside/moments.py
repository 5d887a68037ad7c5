"""What the machine and the server's processes used, moment by moment beside the load: for pictures over time.

Nothing is judged by it. Counters are kept as they stand, so that a reader takes the difference of any two moments. A reading
takes about 0.3 ms of the harness's own process, and one per second is taken.
"""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from tailgate.harness.observe import machine

MOMENTS = "moments.jsonl"
PERIOD_S = 1.0
# Kinds of processor time in which nothing is computed here.
_NOT_BUSY = ("idle", "iowait", "steal")


@dataclass(frozen=True, slots=True)
class Moment:
    """Counters at one moment; None is unseen."""

    time_s: float  # CLOCK_MONOTONIC
    busy_s: float  # processor time since boot in which anything was computed, over all processors
    stolen_s: float | None  # that the hypervisor gave to others
    stalled_s: float | None  # time in which some task waited for a processor (PSI)
    server_cpu_s: float | None  # of the server's processes that are there now
    generator_cpu_s: float | None
    gpu_share: float | None = None  # of the time that the GPUs were busy of late, their mean
    gpu_bytes: float | None = None  # held on all of them


class Moments:
    """A reader of moments within a ``with`` block, which keeps the driver of the GPUs open."""

    def __init__(self) -> None:
        self._gpus: list[Any] = []
        self._nvml: Any = None

    def __enter__(self) -> Self:
        """Open the driver of the GPUs, where there is one."""
        with contextlib.suppress(ImportError):
            import pynvml  # noqa: PLC0415 - an extra that most machines lack

            with contextlib.suppress(pynvml.NVMLError):
                pynvml.nvmlInit()
                self._nvml = pynvml
                count = pynvml.nvmlDeviceGetCount()
                self._gpus = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        if self._nvml is not None:
            with contextlib.suppress(self._nvml.NVMLError):
                self._nvml.nvmlShutdown()

    def read(self, server: Iterable[int], generators: Iterable[int]) -> Moment:
        """Read the counters now, of these processes."""
        seen = machine.read()
        share, held = self._graphics()
        return Moment(
            time_s=seen.time_s,
            busy_s=sum(spent for kind, spent in seen.processor_s.items() if kind not in _NOT_BUSY),
            stolen_s=seen.processor_s.get("steal"),
            stalled_s=None if seen.stalled_s is None else seen.stalled_s.get("cpu"),
            server_cpu_s=_sum(machine.cpu_seconds(pid) for pid in server),
            generator_cpu_s=_sum(machine.cpu_seconds(pid) for pid in generators),
            gpu_share=share,
            gpu_bytes=held,
        )

    def _graphics(self) -> tuple[float | None, float | None]:
        if not self._gpus:
            return None, None
        try:
            used = [self._nvml.nvmlDeviceGetUtilizationRates(one).gpu / 100 for one in self._gpus]
            held = [self._nvml.nvmlDeviceGetMemoryInfo(one).used for one in self._gpus]
        except self._nvml.NVMLError:
            return None, None
        return sum(used) / len(used), float(sum(held))


def _sum(values: Iterable[float | None]) -> float | None:
    """Return the sum of those that are known; None where none is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None
