"""The time slice that the generator asks for. A thread of its own asks, since the slice is a thread's and stays with it."""

import ctypes
import os
import platform
import struct
import threading

import pytest

from tailgate.harness.load.sending import time_slice

SCHED_GETATTR = {"x86_64": 315, "aarch64": 275, "riscv64": 275}
NUMBER = SCHED_GETATTR.get(platform.machine())


def attributes():
    """Return the calling thread's policy, nice value and slice, as the kernel has them."""
    room = ctypes.create_string_buffer(48)
    assert ctypes.CDLL(None).syscall(NUMBER, 0, room, len(room), 0) == 0
    _, policy, _, nice, _, slice_ns, *_ = struct.unpack("=IIQiIQQQ", room.raw)
    return policy, nice, slice_ns


@pytest.mark.skipif(NUMBER is None, reason="the number of the call is not known for this machine")
@pytest.mark.parametrize("nicer", [0, 3])
def test_the_slice_gets_short_and_policy_and_nice_value_stay(nicer):
    seen = []

    def ask():
        os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) + nicer)
        seen.append(attributes())
        assert time_slice.shorten()
        seen.append(attributes())

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    before, after = seen
    assert after[:2] == before[:2]
    # Kernels before 6.12 tell no slice, or keep their own.
    assert after[2] in {time_slice.SLICE_NS, before[2]}


def test_a_machine_whose_call_is_not_known_keeps_its_slice(monkeypatch):
    monkeypatch.setattr(time_slice.platform, "machine", lambda: "unknown")
    assert not time_slice.shorten()
