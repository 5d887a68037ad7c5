"""What processes hold, read from a /proc that a test has made and from this one's own; and the witnesses' clock."""

import os
import socket
import threading

import pytest

from tailgate.harness.observe.beside.periodic import next_due_s, periodically
from tailgate.harness.observe.beside.resources import period_s, read


def process(proc, pid, *, pages, threads, fds, name="server"):
    folder = proc / str(pid)
    (folder / "fd").mkdir(parents=True)
    for number in range(fds):
        (folder / "fd" / str(number)).touch()
    (folder / "statm").write_text(f"99999 {pages} 3 1 0 5 0\n")
    before = " ".join(["0"] * 16)
    (folder / "stat").write_text(f"{pid} ({name}) S {before} {threads} 0 12345\n")


def test_what_the_processes_hold_is_summed(tmp_path):
    process(tmp_path, 10, pages=100, threads=3, fds=7)
    process(tmp_path, 11, pages=50, threads=1, fds=2, name="a) S 9 (b")
    reading = read([10, 11], tmp_path)
    assert (reading.rss_bytes, reading.fds, reading.threads) == (150 * os.sysconf("SC_PAGE_SIZE"), 9, 4)


def test_a_process_that_is_gone_is_left_out_and_nothing_is_read_of_none(tmp_path):
    process(tmp_path, 10, pages=100, threads=3, fds=7)
    assert read([10, 12], tmp_path).threads == 3
    assert read([12], tmp_path) is None
    assert read([], tmp_path) is None


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
