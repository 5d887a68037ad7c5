"""The machine as a witness: what it is, and what it did to a measurement.

Read from Linux (proc(5), and the kernel's documentation of pressure stall information). What a system does not tell is
None, never 0. None of these numbers knows the outcome, which is why a later step may void by them. Whether there is a CUDA
device is asked of the driver itself, since the harness needs no PyTorch.
"""

import ctypes
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tailgate.harness.results.run import Fingerprint

PROC = Path("/proc")
# Of /proc/stat, as psutil names them. guest and guest_nice are counted in user and nice already.
_KINDS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
_RESOURCES = ("cpu", "memory", "io")


@dataclass(frozen=True, slots=True)
class MachineReading:
    """Counters of the machine at one moment."""

    time_s: float  # CLOCK_MONOTONIC
    processor_s: Mapping[str, float]  # since boot by kind, over all processors; kinds that the system tells
    # For cpu, memory and io, since boot: some task waited for it (PSI "some", total).
    stalled_s: Mapping[str, float] | None
    load_1min: float
    # By (pid, start time).
    process_cpu_s: Mapping[tuple[int, float], float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MachineDelta:
    """What the machine did between two readings; shares are of all processor time, or of the time."""

    seconds: float
    steal_share: float | None  # taken by the hypervisor for others
    idle_share: float | None  # waiting for a disk included
    stalled_share: Mapping[str, float] | None  # for cpu, memory and io: some task waited for it
    load_1min: float | None  # at the end
    process_cpu_s: float | None  # of the watched processes; None when one of them ended unobserved


def fingerprint(proc: Path = PROC) -> Fingerprint:
    """Describe this machine."""
    cpuinfo = _fields(_text(proc / "cpuinfo"))
    flags = cpuinfo.get("flags")
    gpu, driver = _gpus()
    return Fingerprint(
        processor=cpuinfo.get("model name"),
        processors=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        processors_online=os.cpu_count(),
        memory_bytes=psutil.virtual_memory().total,
        hypervisor=None if flags is None else "hypervisor" in flags.split(),
        kernel=platform.release(),
        platform=f"{platform.system()} {platform.machine()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        gpu=gpu,
        gpu_driver=driver,
    )


def read(root_pids: Iterable[int] = (), proc: Path = PROC) -> MachineReading:
    """Take a reading, watching processes with all their descendants; those that are gone are left out."""
    pressure = {resource: _stalled_s(_text(proc / "pressure" / resource)) for resource in _RESOURCES}
    stalled_s = {resource: value for resource, value in pressure.items() if value is not None}
    spent = psutil.cpu_times()._asdict()
    return MachineReading(
        time_s=time.monotonic(),
        processor_s={kind: spent[kind] for kind in _KINDS if kind in spent},
        stalled_s=stalled_s or None,
        load_1min=os.getloadavg()[0],
        process_cpu_s=_tree_cpu_s(root_pids),
    )


def difference(before: MachineReading, after: MachineReading) -> MachineDelta:
    """Subtract two readings of one boot."""
    seconds = after.time_s - before.time_s
    shares = _processor_shares(before.processor_s, after.processor_s)
    stalled = None
    if before.stalled_s is not None and after.stalled_s is not None and seconds > 0:
        common = before.stalled_s.keys() & after.stalled_s.keys()
        stalled = {
            name: (after.stalled_s[name] - before.stalled_s[name]) / seconds for name in sorted(common)
        }
    return MachineDelta(
        seconds=seconds,
        steal_share=shares.get("steal"),
        idle_share=shares["idle"] + shares.get("iowait", 0.0) if shares else None,
        stalled_share=stalled,
        load_1min=after.load_1min,
        process_cpu_s=_process_difference(before.process_cpu_s, after.process_cpu_s),
    )


def cpu_seconds(pid: int) -> float | None:
    """Return the processor seconds of a process, all its threads and those that ended; None when it is gone.

    From its own processor clock, to the nanosecond: ``/proc/PID/stat`` counts ticks of 10 ms, and
    ``/proc/PID/task/*/schedstat`` forgets threads that ended.
    """
    # The number of a process's clock (clock_getcpuclockid(3)) is made on Linux as MAKE_PROCESS_CPUCLOCK does in the
    # kernel's posix-timers.h: the complement of the pid, and in the three lowest bits CPUCLOCK_SCHED, which is 2.
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return None


def _tree_cpu_s(root_pids: Iterable[int]) -> Mapping[tuple[int, float], float]:
    found: dict[tuple[int, float], float] = {}
    for pid in root_pids:
        try:
            root = psutil.Process(pid)
            family = [root, *root.children(recursive=True)]
            # With the start time, a number that was given to a new process is not taken for the old one.
            found |= {
                (one.pid, one.create_time()): used
                for one in family
                if (used := cpu_seconds(one.pid)) is not None
            }
        except psutil.NoSuchProcess:
            continue
    return found


def _process_difference(
    before: Mapping[tuple[int, float], float], after: Mapping[tuple[int, float], float]
) -> float | None:
    """Return the seconds used in between; a process that is new counts from 0, one that is gone took them along."""
    if not after or before.keys() - after.keys():
        return None
    return sum(used - before.get(process, 0.0) for process, used in after.items())


def _processor_shares(before: Mapping[str, float], after: Mapping[str, float]) -> Mapping[str, float]:
    # idle and iowait can fall on some kernels (proc(5)): such a time is none.
    spent = {kind: max(0, after[kind] - before[kind]) for kind in after}
    total = sum(spent.values())
    return {kind: seconds / total for kind, seconds in spent.items()} if total else {}


def _stalled_s(pressure: str | None) -> float | None:
    """Read "some avg10=0.00 avg60=0.00 avg300=0.00 total=7319195" (microseconds) of Documentation/accounting/psi."""
    for line in (pressure or "").splitlines():
        kind, *pairs = line.split()
        if kind == "some":
            total = dict(pair.split("=", 1) for pair in pairs).get("total")
            return None if total is None else int(total) / 1e6
    return None


def _fields(text: str | None) -> Mapping[str, str]:
    fields: dict[str, str] = {}
    for line in (text or "").splitlines():
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip(), value.strip())
    return fields


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _gpus() -> tuple[str | None, str | None]:
    try:
        import pynvml  # noqa: PLC0415 - an extra that most machines lack
    except ImportError:
        return None, None
    try:
        pynvml.nvmlInit()
        try:
            handles = [
                pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())
            ]
            names = ", ".join(str(pynvml.nvmlDeviceGetName(handle)) for handle in handles)
            return names or None, str(pynvml.nvmlSystemGetDriverVersion())
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return None, None


def cuda_devices() -> int:
    """Return how many CUDA devices the driver counts; 0 without a driver."""
    driver = _driver()
    # CUresult 0 is CUDA_SUCCESS.
    return 0 if driver is None or driver.cuInit(0) != 0 else _told(driver.cuDeviceGetCount) or 0


def cuda_version() -> tuple[int, int] | None:
    """Return the newest CUDA that the driver knows, major and minor; None without a driver."""
    driver = _driver()
    number = None if driver is None else _told(driver.cuDriverGetVersion)
    # 12040 is 12.4.
    return None if number is None else (number // 1000, number % 1000 // 10)


def _driver() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None


def _told(ask: Callable[..., int]) -> int | None:
    """Return the number that a function of the driver writes; None where it fails."""
    number = ctypes.c_int(0)
    return number.value if ask(ctypes.byref(number)) == 0 else None
