"""Both arms at once: they begin and end together, and one that fails takes nobody hostage."""

import threading
import time

import pytest

from tailgate.harness.compare.blocks.together import LEAD_NS, Meeting, run_together
from tailgate.harness.errors import LoadError


def test_all_are_given_one_start_in_the_future(monkeypatch):
    found = []

    def step(meeting):
        with meeting as at_ns:
            found.append(at_ns)

    clock = iter([1_000])
    monkeypatch.setattr(time, "monotonic_ns", lambda: next(clock))
    meeting = Meeting(2)
    threads = [threading.Thread(target=step, args=(meeting,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1_000 + LEAD_NS] * 2


def test_nobody_leaves_before_the_last_is_done():
    events, stopped = [], []

    def quick(meeting):
        with meeting:
            events.append("quick is done")
            done.set()
        events.append("quick has left")

    def slow(meeting):
        with meeting:
            done.wait()
            events.append("slow is done")

    done = threading.Event()
    run_together([quick, slow], lambda: stopped.append(True))
    assert (events, stopped) == (["quick is done", "slow is done", "quick has left"], [])


@pytest.mark.parametrize("error", [LoadError("it is gone"), KeyboardInterrupt()])
@pytest.mark.parametrize("entered", [False, True])
def test_a_failure_ends_the_other_and_is_the_one_that_is_told(error, entered):
    stopped = threading.Event()

    def failing(meeting):
        if entered:
            with meeting:
                raise error
        raise error

    def waiting(meeting):
        with meeting:
            stopped.wait()
            raise LoadError("stopped by the first")

    with pytest.raises(type(error)) as caught:
        run_together([failing, waiting], stopped.set)
    assert caught.value is error
    assert stopped.is_set()


def test_who_waits_for_the_end_of_one_that_fails_is_let_go():
    waits = threading.Event()

    def failing(meeting):
        with meeting:
            waits.wait()
            raise LoadError("it is gone")

    def waiting(meeting):
        with meeting:
            waits.set()

    with pytest.raises(LoadError, match="it is gone"):
        run_together([waiting, failing], lambda: None)


def test_the_failure_is_told_though_who_was_let_go_is_recorded_first():
    recorded = threading.Event()

    def failing(meeting):
        try:
            with meeting:
                raise LoadError("it is gone")
        finally:
            recorded.wait()

    def waiting(meeting):
        with meeting:
            pass

    with pytest.raises(LoadError, match="it is gone"):
        run_together([waiting, failing], recorded.set)


def test_an_interruption_of_the_one_that_waits_for_both_stops_both(monkeypatch):
    stopped = threading.Event()

    def step(meeting):
        with meeting:
            stopped.wait()

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("tailgate.harness.compare.blocks.together.wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_together([step, step], stopped.set)
    assert stopped.is_set()
