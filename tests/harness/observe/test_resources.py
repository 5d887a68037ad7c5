"""What processes hold, and the witnesses' clock."""

import os
import socket
import threading

import pytest

from tailgate.harness.observe.beside.periodic import next_due_s, periodically
from tailgate.harness.observe.beside.resources import period_s, read

GONE = 2**22 + 1  # above the kernel's greatest pid


def test_what_the_processes_hold_is_summed_without_those_that_are_gone():
    one, both = read([os.getpid()]), read([os.getpid(), GONE, os.getpid()])
    assert (both.fds, both.threads) == (2 * one.fds, 2 * one.threads)
    assert both.rss_bytes > one.rss_bytes


def test_nothing_is_read_of_no_process():
    assert read([GONE]) is None
    assert read([]) is None


def test_this_process_is_read_as_it_is():
    before = read([os.getpid()])
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    with socket.socket(), socket.socket():
        after = read([os.getpid()])
    stop.set()
    thread.join()
    assert (after.fds - before.fds, after.threads - before.threads) == (2, 1)
    assert after.rss_bytes > 2**20
    assert after.time_s > before.time_s


@pytest.mark.parametrize(
    ("length_s", "expected_s"), [(1.0, 0.2), (120.0, 0.2), (1_200.0, 2.0), (86_400.0, 5.0)]
)
def test_long_phases_are_read_less_often(length_s, expected_s):
    assert period_s(length_s) == expected_s


@pytest.mark.parametrize(
    ("now_s", "expected_s"),
    [
        (10.1, 11.0),  # a quick call
        (11.0, 12.0),  # what was due then is due no more
        (13.5, 14.0),  # a slow one: what fell into it is left out
    ],
)
def test_calls_keep_to_moments_that_are_fixed_beforehand(now_s, expected_s):
    assert next_due_s(10.0, 1.0, now_s) == expected_s


def test_a_function_is_called_at_once_and_until_the_block_is_left():
    called = threading.Semaphore(0)
    with periodically(called.release, 0.001):
        for _ in range(3):
            assert called.acquire(timeout=30)


def test_a_function_is_called_once_in_a_block_that_is_left_before_its_thread_runs(monkeypatch):
    calls = []

    class Late(threading.Thread):
        def start(self):
            pass

        def join(self, timeout=None):
            super().start()
            super().join(timeout)

    monkeypatch.setattr(threading, "Thread", Late)
    with periodically(lambda: calls.append(None), 60.0):
        pass
    assert len(calls) == 1


def test_an_exception_of_the_function_is_raised_at_the_end_of_the_block():
    called = threading.Event()

    def fail():
        called.set()
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"), periodically(fail, 0.001):
        assert called.wait(30)


def test_an_exception_of_the_block_goes_before_that_of_the_function():
    called = threading.Event()

    def fail():
        called.set()
        raise OSError("no space left")

    def interrupted():
        with periodically(fail, 0.001):
            assert called.wait(30)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
