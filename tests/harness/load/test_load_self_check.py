"""The generator's own capacity: that it is measured and stated whole. How large it is, benchmarks tell."""

import dataclasses

import psutil
import pytest

from tailgate.harness.errors import LoadError
from tailgate.harness.load import Capacity, Scheduling, TimerMode, self_check
from tailgate.harness.load import echo as echo_module
from tailgate.harness.load.report import Lag
from tailgate.harness.load.wire.server_timing import USUAL, parse_server_timing

CAPACITY = Capacity(
    body_bytes=100,
    closed_loop_per_s=25_000.0,
    utilisation=0.5,
    busy_s=20e-6,
    cpu_s=25e-6,
    lag=Lag(1e-6, 50e-6, 1e-3),
    timer=TimerMode.SPIN,
    scheduling=Scheduling.FIFO,
    processor=1,
)


def test_the_self_check_measures_and_leaves_nothing_behind():
    capacity = self_check(requests=400)
    assert capacity.closed_loop_per_s > 0
    assert 0 < capacity.utilisation <= 1
    assert capacity.busy_s > 0
    assert capacity.lag.p50_s <= capacity.lag.p99_s <= capacity.lag.max_s
    assert capacity.timer is TimerMode.SLEEP
    assert not psutil.Process().children()


def test_a_self_check_that_cannot_run_is_an_error_of_the_load():
    with pytest.raises(LoadError, match="cannot run the generator on processor 4095"):
        self_check(4095, requests=400)
    assert not psutil.Process().children()


def test_a_capacity_is_stated_with_its_conditions():
    assert str(CAPACITY) == (
        "the generator can send 50,000 requests/s a core (100-byte bodies, 20.0 us each; closed loop: 25,000/s at 50% "
        "of its core); at 1,000/s its lag is p50 1 us, p99 50 us (timer spin, scheduling fifo, processor 1)"
    )
    assert "no processor of its own" in str(dataclasses.replace(CAPACITY, processor=None))


class Wire:
    def __init__(self):
        self.written = b""

    def write(self, data):
        self.written += data


@pytest.mark.parametrize(
    ("pieces", "answers"), [([10], 1), ([4, 6], 1), ([9], 0), ([25, 5], 3), ([10, 10], 2), ([30], 3)]
)
def test_the_echo_answers_each_whole_request_once(pieces, answers):
    echo, wire = echo_module.Echo(10), Wire()
    echo.connection_made(wire)
    for piece in pieces:
        echo.data_received(b"x" * piece)
    assert wire.written == echo_module.ANSWER * answers


def test_the_echo_tells_stages_as_a_server_does():
    timing = echo_module.ANSWER.split(b"server-timing: ")[1].split(b"\r\n")[0]
    assert USUAL.fullmatch(timing)
    assert parse_server_timing(timing).batch_size == 8
