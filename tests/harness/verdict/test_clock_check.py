"""The generator's clock against another one, in a made-up time in which every look at a clock takes a while."""

import itertools
import math
from types import SimpleNamespace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tailgate.harness.load.clocks import ClockSpan, read_clocks, spans
from tailgate.harness.results.fault import Cause
from tailgate.harness.verdict.faults import check_clocks


class World:
    """A true time. The generator's clock runs ``rate`` times as fast; the other one is right, and tells whole steps."""

    def __init__(self, rate, step_s, waits_s):
        self.now_s = 1_000_000.0
        self._rate, self._step_s, self._waits_s = rate, step_s, itertools.cycle(waits_s)

    def own_ns(self):
        self.now_s += next(self._waits_s)
        return round(self.now_s * self._rate * 1e9)

    def other(self):
        self.now_s += next(self._waits_s)
        step_s = self._step_s
        return (math.floor(self.now_s / step_s) * step_s if step_s else self.now_s), step_s

    def faults(self, length_s):
        before = read_clocks(self.own_ns, {"other": self.other})
        self.now_s += length_s
        after = read_clocks(self.own_ns, {"other": self.other})
        return check_clocks([SimpleNamespace(name="steady", clocks=tuple(spans(before, after)))])


waits = st.lists(st.floats(0, 0.05), min_size=1, max_size=7)
lengths = st.floats(0.05, 1_000)
steps = st.sampled_from([0.0, 0.01])


@given(st.floats(0.9991, 1.0009), steps, waits, lengths)
def test_a_clock_that_is_nearly_right_is_never_accused_however_late_the_clocks_are_read(
    rate, step_s, waits_s, length_s
):
    assert World(rate, step_s, waits_s).faults(length_s) == []


@given(st.floats(0.0011, 0.9), st.sampled_from([-1, 1]), steps, waits, lengths)
def test_a_clock_that_is_wrong_by_more_than_all_delays_and_steps_explain_is_accused(
    drift, sign, step_s, waits_s, length_s
):
    assume((drift - 0.001) * length_s > 4 * (4 * max(waits_s) + 2 * step_s) + 1e-4)
    (fault,) = World(1 + sign * drift, step_s, waits_s).faults(length_s)
    assert fault.cause is Cause.INTEGRITY
    assert fault.text.startswith("phase 'steady': the clock that times the requests is wrong: ")


@pytest.mark.parametrize("told", [{}, {"other": lambda: None}])
def test_a_system_without_other_clocks_accuses_nobody(told):
    readings = read_clocks(lambda: 1, told)
    assert readings == ()
    assert list(spans(readings, readings)) == []


def test_a_clock_that_only_one_of_two_readings_has_says_nothing():
    (one,) = read_clocks(lambda: 1, {"a": lambda: (1.0, 0.0)})
    assert list(spans([one], [])) == list(spans([], [one])) == []


def test_a_machine_that_slept_is_named_with_both_times():
    slept = ClockSpan("/proc/uptime", 70.0, 9.99, 10.01)
    (fault,) = check_clocks([SimpleNamespace(name="steady", clocks=(slept,))])
    assert "10 s passed by it and 70 s by /proc/uptime, allowed is a difference of 0.1%" in fault.text
    assert "did the machine sleep" in fault.text


def test_this_machine_s_clocks_agree():
    before = read_clocks()
    found = list(spans(before, read_clocks()))
    assert {one.clock for one in found} == {"CLOCK_MONOTONIC_RAW", "/proc/uptime"}
    assert check_clocks([SimpleNamespace(name="now", clocks=found)]) == []
