"""The yardstick: the same work each time, timed by a clock that the test owns, and run once for real."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgate.harness.errors import MeasurementError
from tailgate.harness.observe import yardstick
from tailgate.harness.results import yardstick as yardsticks
from tailgate.harness.results.yardstick import YARDSTICK_VERSION, Yardstick


class Clock:
    """Time that passes only when work is done."""

    def __init__(self, durations_s):
        self.now_s = 0.0
        self.durations_s = iter(durations_s)

    def __call__(self):
        return self.now_s

    def work(self):
        self.now_s += next(self.durations_s)


def timed(durations_s, repetitions=20, time_limit_s=100.0):
    clock = Clock([9.0] * 5 + list(durations_s))  # five warm-ups, slow ones
    return yardstick.time_repetitions(clock.work, yardstick.Length(repetitions, time_limit_s), clock)


def test_the_median_counts_and_warm_ups_do_not():
    got = timed([0.010] * 15 + [0.5] * 5)
    assert (got.seconds, got.n, got.version) == (pytest.approx(0.010), 20, YARDSTICK_VERSION)
    assert got.low_s <= got.seconds <= got.high_s


@given(st.lists(st.floats(0.001, 1), min_size=30, max_size=30))
def test_the_interval_holds_the_median(durations_s):
    got = timed(durations_s, repetitions=30)
    assert got.low_s <= got.seconds <= got.high_s


def test_no_repetition_starts_after_the_time_limit():
    assert timed([0.1] * 100, repetitions=100, time_limit_s=1.15).n == 12


def test_a_slow_machine_still_gives_an_interval():
    got = timed([10.0] * 9, time_limit_s=0.0)
    assert (got.n, got.low_s, got.high_s) == (9, 10.0, 10.0)


def test_the_work_is_the_same_each_time():
    work = yardstick.make_work()
    assert work() == work() == yardstick.make_work()()


def yard(low_s, median_s, high_s):
    return Yardstick(median_s, low_s, high_s, 60)


@pytest.mark.parametrize(
    ("before", "after", "moved"),
    [
        (yard(0.99, 1.0, 1.01), yard(0.99, 1.0, 1.01), False),
        (yard(0.99, 1.0, 1.01), yard(1.19, 1.2, 1.21), False),
        (yard(0.99, 1.0, 1.01), yard(1.37, 1.38, 1.39), False),
        (yard(0.99, 1.0, 1.01), yard(1.41, 1.42, 1.43), True),
        (yard(1.41, 1.42, 1.43), yard(0.99, 1.0, 1.01), True),  # faster is another machine, too
        (yard(0.90, 1.0, 1.70), yard(1.20, 1.7, 1.90), True),  # however noisy each was
    ],
)
def test_the_machine_moved_when_its_medians_are_further_apart_than_the_tolerance(before, after, moved):
    assert yardsticks.moved(before, after) is moved


def test_the_unit_of_a_run_lies_between_its_two_readings():
    assert yardsticks.combine(yard(1.0, 1.0, 1.0), yard(4.0, 4.0, 4.0)) == pytest.approx(2.0)


SHORTEST = yardstick.Length(9, 0.0)


def test_it_runs_in_a_process_of_its_own_even_where_a_folder_has_its_name(tmp_path, monkeypatch):
    (tmp_path / "harness").mkdir()
    (tmp_path / "harness" / "__init__.py").write_text("raise SystemExit(3)\n")
    monkeypatch.chdir(tmp_path)
    with yardstick.YardstickProcess() as process:
        readings = [process.read(SHORTEST), process.read(yardstick.Length(10, 100.0))]
    assert [reading.n for reading in readings] == [9, 10]
    assert all(0 < reading.low_s <= reading.seconds <= reading.high_s for reading in readings)


def run_instead(tmp_path, monkeypatch, text):
    """Let the process be one that ignores its arguments and does something else."""
    path = tmp_path / "python"
    path.write_text(f"#!{sys.executable}\n{text}\n")
    path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "raise SystemExit('no numpy here')",
            "gave no result: its process ended with status 1: no numpy here",
        ),
        ("print('hello', flush=True)\ninput()\ninput()", r"gave no result: its process answered b'hello\\n'"),
        ("print('{}', flush=True)\ninput()\ninput()", "gave no result"),
        (
            'print(\'{"seconds": 1, "low_s": 1, "high_s": 1, "n": 9, "version": 99}\', flush=True)\ninput()\ninput()',
            "is of version 99, expected",
        ),
    ],
)
def test_a_yardstick_that_cannot_be_timed_is_an_error_and_no_number(tmp_path, monkeypatch, text, message):
    run_instead(tmp_path, monkeypatch, text)
    with (
        yardstick.YardstickProcess() as process,
        pytest.raises(MeasurementError, match=message),
    ):
        process.read(SHORTEST)


def test_one_that_says_nothing_is_not_waited_for_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(yardstick, "ANSWER_TIMEOUT_S", 0.0)
    run_instead(tmp_path, monkeypatch, "input()\ninput()")
    with (
        yardstick.YardstickProcess() as process,
        pytest.raises(MeasurementError, match="no answer within 0 s"),
    ):
        process.read(SHORTEST)


def test_an_interpreter_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nowhere"))
    with pytest.raises(MeasurementError, match=r"cannot be started.*nowhere"):
        yardstick.YardstickProcess().__enter__()
