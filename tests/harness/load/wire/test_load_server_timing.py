import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgate.harness.load.wire.server_timing import UNTOLD, USUAL, Stages, parse_server_timing
from tailgate.service.batching.requests.timing import Timeline

FULL = b'queue;dur=1.5, decode;dur=2, compute;dur=30.25, encode;dur=0, total;dur=33.75, batch;desc="8"'


def test_all_stages_are_read_in_seconds():
    assert parse_server_timing(FULL) == Stages(0.0015, 0.002, 0.03025, 0.0, 0.03375, 8)


@pytest.mark.parametrize(
    ("value", "stage", "expected"),
    [
        (b"queue ; dur = 1", "queue_s", 0.001),
        (b'queue;dur="1"', "queue_s", 0.001),
        (b'queue;desc="in line";dur=1', "queue_s", 0.001),
        (b'a;desc="x, queue;dur=9", queue;dur=1', "queue_s", 0.001),
        (b"cache, queue;dur=1", "queue_s", 0.001),
        (b"queue;dur=1e1", "queue_s", 0.01),
        (b"batch;desc=16", "batch_size", 16),
        (b'batch;desc="70000"', "batch_size", 0),
        (b'batch;desc="many"', "batch_size", 0),
    ],
)
def test_spellings_that_the_standard_allows_are_read(value, stage, expected):
    assert getattr(parse_server_timing(value), stage) == pytest.approx(expected)


@pytest.mark.parametrize(
    "value", [b"", b"queue", b"queue;dur=", b"queue;dur=fast", b"queue;dur=-1", b"queue;dur=nan"]
)
def test_what_is_not_a_duration_is_not_told(value):
    assert math.isnan(parse_server_timing(value).queue_s)


@given(st.lists(st.decimals(0, 10**8, places=3), min_size=5, max_size=5), st.integers(0, 9_999))
def test_the_usual_value_says_the_same_as_one_that_is_read_parameter_by_parameter(numbers, batch):
    queue, decode, compute, encode, total = numbers
    usual = (
        f'queue;dur={queue}, decode;dur={decode}, compute;dur={compute}, encode;dur={encode}, batch;desc="{batch}", '
        f"total;dur={total}"
    ).encode()
    assert USUAL.fullmatch(usual)
    assert parse_server_timing(usual) == parse_server_timing(usual.replace(b" ", b"\t"))


def test_our_own_service_writes_the_usual_value():
    times = Timeline()
    times.whole_s, times.decode_s, times.bound_s, times.computed_s, times.batch_size = (
        0.0,
        0.125,
        0.25,
        1.5,
        32,
    )
    value = times.server_timing(2.0).removeprefix(b"server-timing: ").removesuffix(b"\r\n")
    assert USUAL.fullmatch(value)
    assert parse_server_timing(value) == Stages(0.125, 0.125, 1.5, 0.0, 2.0, 32)


def test_a_second_header_adds_to_the_first():
    stages = parse_server_timing(b"compute;dur=2", parse_server_timing(b'queue;dur=1, batch;desc="4"'))
    assert (stages.queue_s, stages.compute_s, stages.batch_size) == (0.001, 0.002, 4)


@given(st.binary() | st.text('queuetotalbatch;dursc="0123456789e+-., ').map(str.encode))
def test_no_header_breaks_the_record(value):
    stages = parse_server_timing(value, UNTOLD)
    assert np.isfinite([s for s in np.array(stages[:5], "<f4") if not np.isnan(s)]).all()
    assert 0 <= stages.batch_size < 2**16
