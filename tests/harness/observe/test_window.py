"""What latency, failure and offered rate mean."""

import math

import numpy as np
import pytest
from sample_records import delta, record, samples, window

from tailgate.harness.errors import MeasurementError
from tailgate.harness.load.records.samples import Outcome
from tailgate.harness.observe.window import failed, latencies_s, offered_rate_per_s
from tailgate.harness.target.asking.metric_names import MetricNames


def test_latency_counts_from_the_intended_time_however_late_the_request_was_sent():
    late = samples([0.5], lag_s=0.4)
    assert latencies_s(late) == pytest.approx([0.5])


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.OK])
def test_a_request_that_failed_in_any_way_is_infinitely_late_and_stays(outcome):
    records = samples([0.1, 0.2])
    records["outcome"][0] = outcome
    assert latencies_s(records).tolist() == [math.inf, 0.2]
    assert failed(records).tolist() == [True, False]


def test_a_request_that_never_ended_is_failed():
    records = samples([0.1])
    records["done_ns"] = 0
    assert latencies_s(records).tolist() == [math.inf]


@pytest.mark.parametrize(
    ("intended_s", "expected"),
    [
        ([0.0, 0.1, 0.2], 10.0),
        ([0.2, 0.0, 0.1], 10.0),
        ([0.0], None),
        ([], None),
        ([1.0, 1.0], None),  # two at once offer no rate
    ],
)
def test_the_offered_rate_is_that_of_the_intended_times(intended_s, expected):
    got = offered_rate_per_s(samples(np.ones(len(intended_s)), intended_s=intended_s))
    assert got == (None if expected is None else pytest.approx(expected))


def test_phases_are_pooled_in_order():
    pooled = window(samples([0.1]), samples([0.2, 0.3])).samples
    assert latencies_s(pooled) == pytest.approx([0.1, 0.2, 0.3])


def test_no_phases_give_no_samples():
    assert len(window().samples) == 0


def test_the_servers_histograms_are_added_over_the_phases():
    both = window(
        record(samples([0.1]), delta([0.05]), name="a"), record(samples([0.1]), delta([0.15, 3.0]), name="b")
    )
    assert both.request_histogram().n == 3


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (window(record(samples([0.1]), None, name="a")), "phase 'a' has no metrics"),
        (
            window(record(samples([0.1]), delta([0.1])), names=MetricNames(request_seconds=None)),
            "names no histogram",
        ),
        (
            window(record(samples([0.1]), delta([0.1])), names=MetricNames(request_seconds="h")),
            "no histogram 'h'",
        ),
    ],
)
def test_a_histogram_that_is_not_there_is_refused_by_name(made, message):
    with pytest.raises(MeasurementError, match=message):
        made.request_histogram()
