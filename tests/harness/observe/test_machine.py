"""What the machine tells, read from a made-up /proc; and None for what it does not tell."""

import os
import sys
import types

import pytest

from tailgate.harness.observe import machine
from tailgate.harness.observe.machine import MachineReading

CPUINFO = """\
processor	: 0
model name	: Example 9000
flags		: fpu hypervisor sse

processor	: 1
model name	: Another
"""


def fake_proc(folder, **files):
    defaults = {
        "cpuinfo": CPUINFO,
        "pressure/cpu": "some avg10=0.67 avg60=0.17 avg300=0.10 total=7500000\nfull avg10=0.00 total=0\n",
        "pressure/memory": "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    }
    for name, text in (defaults | files).items():
        if text is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
    return folder


def test_a_fingerprint_says_what_the_machine_is(tmp_path):
    got = machine.fingerprint(fake_proc(tmp_path))
    assert (got.processor, got.hypervisor) == ("Example 9000", True)
    assert got.memory_bytes > 2**20
    assert got.processors == len(os.sched_getaffinity(0))
    assert got.python.endswith(".".join(map(str, sys.version_info[:3])))


def test_what_a_system_does_not_tell_is_none(tmp_path):
    got = machine.fingerprint(tmp_path)
    assert (got.processor, got.hypervisor) == (None, None)
    reading = machine.read(proc=tmp_path)
    assert reading.stalled_s is None
    delta = machine.difference(reading, machine.read(proc=tmp_path))
    assert (delta.stalled_share, delta.process_cpu_s) == (None, None)


def test_a_machine_without_the_flag_is_no_virtual_one(tmp_path):
    assert machine.fingerprint(fake_proc(tmp_path, cpuinfo="flags : fpu sse\n")).hypervisor is False


def test_a_reading_holds_the_counters(tmp_path):
    got = machine.read(proc=fake_proc(tmp_path))
    assert "guest" not in got.processor_s  # that time is in the user's already
    assert sum(got.processor_s.values()) > 0
    assert got.stalled_s == {"cpu": 7.5, "memory": 0.0}  # no io: this kernel does not tell
    assert got.load_1min >= 0


@pytest.mark.parametrize("text", ["", "full avg10=0.00 total=0\n", "some avg10=0.00\n"])
def test_lines_that_are_not_there_are_none(tmp_path, text):
    got = machine.read(proc=fake_proc(tmp_path, **{"pressure/cpu": text, "pressure/memory": text}))
    assert got.stalled_s is None


def reading(time_s, ticks=(0, 0, 0, 0, 0, 0, 0, 0), stalled_s=0.0, processes=None):
    kinds = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
    return MachineReading(
        time_s, dict(zip(kinds, ticks, strict=True)), {"cpu": stalled_s}, 0.5, processes or {}
    )


def test_a_difference_gives_shares_of_the_time_between():
    got = machine.difference(reading(10.0), reading(14.0, (100, 0, 50, 200, 10, 0, 0, 40), 1.0))
    assert got.seconds == 4.0
    assert got.steal_share == pytest.approx(0.1)
    assert got.idle_share == pytest.approx(210 / 400)
    assert got.stalled_share == {"cpu": 0.25}


def test_no_ticks_in_between_give_no_shares():
    got = machine.difference(reading(1.0), reading(1.0))
    assert (got.steal_share, got.idle_share, got.stalled_share) == (None, None, None)


def test_an_idle_count_that_falls_is_no_negative_share():
    got = machine.difference(reading(1.0, (0, 0, 0, 5, 0, 0, 0, 0)), reading(2.0, (10, 0, 0, 4, 0, 0, 0, 0)))
    assert got.idle_share == 0.0


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({(1, 0.0): 2.0}, {(1, 0.0): 5.0}, 3.0),
        ({(1, 0.0): 2.0}, {(1, 0.0): 5.0, (2, 9.0): 1.0}, 4.0),  # a child that is new counts from 0
        ({(1, 0.0): 2.0, (2, 1.0): 1.0}, {(1, 0.0): 5.0}, None),  # one that ended took its seconds along
        ({(1, 0.0): 2.0}, {(1, 7.0): 0.5}, None),  # the number went to another process
        ({}, {}, None),
    ],
)
def test_processor_seconds_of_a_tree_are_whole_or_unknown(before, after, expected):
    got = machine.difference(reading(1.0, processes=before), reading(2.0, processes=after))
    assert got.process_cpu_s == expected


def test_this_process_uses_processor_seconds_and_a_dead_one_is_unknown():
    first = machine.cpu_seconds(os.getpid())
    sum(range(100_000))
    assert machine.cpu_seconds(os.getpid()) > first > 0
    assert machine.cpu_seconds(2**22 + 1) is None  # above the kernel's greatest pid


def test_watched_processes_are_found_by_their_root():
    got = machine.read([os.getpid(), 2**22 + 1])
    assert os.getpid() in {pid for pid, _ in got.process_cpu_s}


class NVMLError(Exception):
    """As pynvml's."""


def fake_nvml(monkeypatch, names, *, error=False):
    def start():
        if error:
            raise NVMLError

    module = types.ModuleType("pynvml")
    functions = {
        "nvmlInit": start,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetCount": lambda: len(names),
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetName": lambda handle: names[handle],
        "nvmlSystemGetDriverVersion": lambda: "570.1",
        "NVMLError": NVMLError,
    }
    for name, value in functions.items():
        setattr(module, name, value)
    monkeypatch.setitem(sys.modules, "pynvml", module)


@pytest.mark.parametrize(
    ("names", "error", "expected"),
    [
        (["H100", "H100"], False, ("H100, H100", "570.1")),
        ([], False, (None, "570.1")),
        (["H100"], True, (None, None)),
    ],
)
def test_gpus_are_named_where_the_driver_answers(monkeypatch, tmp_path, names, error, expected):
    fake_nvml(monkeypatch, names, error=error)
    got = machine.fingerprint(tmp_path)
    assert (got.gpu, got.gpu_driver) == expected


def test_without_the_extra_no_gpu_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert machine.fingerprint(tmp_path).gpu is None
