"""Histograms as intervals: exact where an edge stands on the limit, honest where none does."""

import math

import numpy as np
import prometheus_client
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailgate.harness import statistics
from tailgate.harness.errors import MeasurementError
from tailgate.harness.measures.measure import Estimate
from tailgate.harness.observe import histogram
from tailgate.harness.observe.delta import ServerDelta, difference
from tailgate.harness.observe.histogram import Histogram
from tailgate.harness.results.verdict import Better, Verdict
from tailgate.harness.target.asking import exposition as scrape
from tailgate.harness.verdict.judge import decide

INF = math.inf
EDGES = (0.1, 0.2, 0.5, INF)
VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=500).map(np.array)


def of(values, edges=EDGES) -> Histogram:
    counts = tuple(int(np.sum(np.asarray(values) <= edge)) for edge in edges)
    return Histogram(edges, counts)


def above(edge: float) -> float:
    return math.nextafter(edge, INF)


def judged(interval: statistics.Interval, limit: float, n: int) -> Verdict:
    return decide(Estimate(None, interval.low, interval.high, n, 0.99), limit, Better.LOWER)


def interval(buckets, share, confidence=0.99):
    """Return the interval of a quantile of independent values."""
    return buckets.between(*statistics.quantile_ranks(buckets.n, share, confidence))


@pytest.mark.parametrize(
    ("cumulative", "share", "expected"),
    [
        ((10, 10, 10, 10), 0.5, (0.0, 0.1)),
        ((0, 10, 10, 10), 0.5, (above(0.1), 0.2)),
        ((5, 10, 10, 10), 0.5, (0.0, 0.1)),  # the fifth of ten is the median, and lies in the first bucket
        ((4, 10, 10, 10), 0.5, (above(0.1), 0.2)),
        ((0, 0, 0, 10), 0.5, (above(0.5), None)),
        ((0, 0, 0, 0), 0.5, (None, None)),
    ],
)
def test_a_quantile_is_the_bucket_of_its_order_statistic(cumulative, share, expected):
    assert Histogram(EDGES, cumulative).quantile_bucket(share) == expected


@pytest.mark.parametrize(
    ("cumulative", "expected"),
    [((10, 10, 10, 10), 0.05), ((0, 10, 20, 20), 0.2), ((0, 0, 0, 10), None), ((0, 0, 0, 0), None)],
)
def test_a_point_inside_a_bucket_is_interpolated(cumulative, expected):
    assert Histogram(EDGES, cumulative).quantile_point(0.5) == pytest.approx(expected)


@given(VALUES, st.sampled_from([0.5, 0.9, 0.95]))
def test_a_bucket_holds_the_quantile_of_the_values_behind_it(values, share):
    low, high = of(values).quantile_bucket(share)
    exact = statistics.quantile(values, share)
    assert low <= exact <= (INF if high is None else high)


@given(VALUES, st.sampled_from([0.5, 0.9, 0.95]), st.sampled_from([0.9, 0.99]))
def test_the_interval_of_a_histogram_holds_that_of_the_values_behind_it(values, share, confidence):
    exact = statistics.quantile_interval(values, share, confidence)
    wide = interval(of(values), share, confidence)
    assert wide.low is None or wide.low <= exact.low
    assert wide.high is None or wide.high >= exact.high
    assert exact.low is not None or wide.low is None
    assert exact.high is not None or wide.high is None


@given(VALUES, st.sampled_from([0.5, 0.9, 0.95]), st.sampled_from([0.1, 0.2, 0.5]))
def test_with_an_edge_on_the_limit_the_verdict_is_that_of_the_raw_values(values, share, limit):
    raw = judged(statistics.quantile_interval(values, share, 0.99), limit, len(values))
    assert judged(interval(of(values), share), limit, len(values)) is raw


@given(VALUES, st.floats(0.01, 1))
def test_without_an_edge_there_a_histogram_never_says_more_than_the_raw_values(values, limit):
    raw = judged(statistics.quantile_interval(values, 0.9, 0.99), limit, len(values))
    assert judged(interval(of(values), 0.9), limit, len(values)) in {raw, Verdict.INCONCLUSIVE}


def test_a_limit_below_the_smallest_bucket_cannot_be_passed_but_is_not_failed_either():
    """A p99 that can never be under 297 ms because the smallest bucket is 300 ms."""
    coarse = of(np.full(1_000, 0.05), edges=(0.3, INF))
    assert judged(interval(coarse, 0.99), 0.297, 1_000) is Verdict.INCONCLUSIVE


@settings(deadline=None)
@given(
    VALUES, st.lists(st.floats(0, 1), max_size=20), st.sampled_from([0.5, 0.95]), st.sampled_from([0.9, 0.99])
)
def test_wherever_values_of_the_harness_lie_the_interval_holds_that_of_the_others(
    values, own, share, confidence
):
    counted = of(np.concatenate([values, own]))
    mixed = Histogram(counted.edges, counted.cumulative, len(own))
    assert mixed.n == len(values)
    alone = of(values)
    for one, other in [
        (mixed.quantile_bucket(share), alone.quantile_bucket(share)),
        (interval(mixed, share, confidence), interval(alone, share, confidence)),
    ]:
        assert one.low is None if other.low is None else one.low <= other.low
        assert one.high is None or (other.high is not None and one.high >= other.high)


def test_labels_are_summed_after_differencing_and_the_total_is_the_infinite_bucket():
    registry = prometheus_client.CollectorRegistry()
    seconds = prometheus_client.Histogram("h_seconds", "H.", ["m"], buckets=(0.1, 0.2), registry=registry)
    seconds.labels("a").observe(0.05)
    before = scrape.parse(prometheus_client.generate_latest(registry).decode(), 1)
    for label, value in [("a", 0.05), ("a", 0.15), ("b", 0.15), ("b", 7.0)]:
        seconds.labels(label).observe(value)
    after = scrape.parse(prometheus_client.generate_latest(registry).decode(), 2)
    got = histogram.from_delta(difference(before, after), "h_seconds")
    assert got.edges == (0.1, 0.2, INF)
    assert got.cumulative == (1, 3, 4)
    assert got.n == 4


def delta_of(text: str) -> ServerDelta:
    return difference(scrape.parse("up 1\n", 1), scrape.parse(text, 2))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (['h_bucket{le="1"} 3'], r"needs a \+Inf bucket"),
        (['h_bucket{le="1"} 3', 'h_bucket{le="+Inf"} 2'], "must not fall"),
        (
            [
                'h_bucket{m="a",le="1"} 1',
                'h_bucket{m="a",le="+Inf"} 1',
                'h_bucket{m="b",le="2"} 1',
                'h_bucket{m="b",le="+Inf"} 1',
            ],
            "other edges under other labels",
        ),
        (['h_bucket{le="fast"} 1'], "label le is not an edge"),
        (["h_bucket 1"], "label le is not an edge"),
        (['h_bucket{le="NaN"} 1', 'h_bucket{le="+Inf"} 1'], "label le is not an edge"),
        (['h_bucket{le="0.1"} 1', 'h_bucket{le="0.10"} 2', 'h_bucket{le="+Inf"} 2'], "two spellings"),
        (['h_bucket{le="1e999"} 1', 'h_bucket{le="+Inf"} 2'], "two spellings"),
        (['h_bucket{le="0.1"} +Inf', 'h_bucket{le="+Inf"} +Inf'], "counts nothing"),
        (["h_count 1"], "no histogram 'h'"),
    ],
)
def test_a_histogram_that_contradicts_itself_is_refused(lines, message):
    text = "\n".join(["# TYPE h histogram", *lines, ""])
    with pytest.raises(MeasurementError, match=message):
        histogram.from_delta(delta_of(text), "h")


@pytest.mark.parametrize(
    ("edges", "cumulative", "message"),
    [
        ((), (), "Inf"),
        ((1.0, INF), (2, 1), "fall"),
    ],
)
def test_buckets_must_fit_together(edges, cumulative, message):
    with pytest.raises(MeasurementError, match=message):
        Histogram(edges, cumulative)


@given(VALUES, VALUES)
def test_merging_phases_is_counting_them_together(first, second):
    merged = histogram.merge([of(first), of(second)])
    together = of(np.concatenate([first, second]))
    assert merged.cumulative == together.cumulative
    assert merged.own == 0


@pytest.mark.parametrize("parts", [[], [Histogram((INF,), (1,)), Histogram((1.0, INF), (1, 1))]])
def test_histograms_of_differing_edges_are_not_added(parts):
    with pytest.raises(MeasurementError, match="same edges"):
        histogram.merge(parts)


@pytest.mark.parametrize("rank", [0, 4])
def test_a_rank_outside_the_histogram_is_refused(rank):
    with pytest.raises(MeasurementError, match=f"3 values has no value of rank {rank}"):
        Histogram((INF,), (3,)).bucket(rank)
