"""Measures of streamed answers: first bytes, first events, the time between events, and their rate."""

import dataclasses
import math

import numpy as np
import pytest
from sample_records import MEASURES, START_NS, record, samples, window

from tailgate.harness.errors import MeasurementError
from tailgate.harness.load.records.events import EVENT
from tailgate.harness.load.records.samples import Outcome
from tailgate.harness.load.wire.stream import UNKNOWN_LAG
from tailgate.harness.observe.window import gaps_s, streamed
from tailgate.harness.scenario.scenario import Criterion


def ask(measure, *records, limit=1.0, **changes):
    phases = tuple(f"phase{index}" for index in range(len(records)))
    return MEASURES[measure].estimate(window(*records, **changes), Criterion(measure, limit, phases))


def streams(first_s, gaps, *, rate_per_s=100.0, lag_ns=UNKNOWN_LAG, **changes):
    """Build requests whose answers have a first event after these seconds, and further ones after these gaps."""
    lengths = np.array([first + sum(one) for first, one in zip(first_s, gaps, strict=True)])
    requests = samples(lengths, rate_per_s=rate_per_s, **changes)
    intended = requests["intended_ns"]
    requests["first_event_ns"] = intended + np.rint(np.array(first_s) * 1e9).astype(int)
    requests["first_byte_ns"] = requests["first_event_ns"] - 1_000_000
    requests["last_event_ns"] = requests["done_ns"]
    requests["events"] = [1 + len(one) for one in gaps]
    events = np.zeros(int(requests["events"].sum()), EVENT)
    events["request"] = np.repeat(requests["request"], requests["events"])
    events["read_ns"] = np.concatenate(
        [
            first + np.concatenate([[0], np.cumsum(np.rint(np.array(one) * 1e9))]).astype(int)
            for first, one in zip(requests["first_event_ns"], gaps, strict=True)
        ]
    )
    events["lag_ns"] = lag_ns
    return dataclasses.replace(record(requests), events=events)


def test_time_to_first_byte_counts_from_the_intended_time_and_works_for_every_answer():
    requests = samples(np.full(1_000, 0.5))
    requests["first_byte_ns"] = START_NS + np.arange(1_000) * 10_000_000 + np.arange(1, 1_001) * 1_000
    assert ask("ttfb_p50", record(requests)).value == pytest.approx(500e-6)
    assert ask("ttfb_p99", record(requests)).value == pytest.approx(990e-6)


def test_a_failed_request_has_no_first_byte_though_one_came():
    requests = samples(np.full(1_000, 0.5))
    requests["outcome"][:20] = Outcome.SERVER_ERROR
    assert ask("ttfb_p99", record(requests)).value == math.inf


def test_the_first_event_and_the_gaps_are_exact_quantiles():
    random = np.random.default_rng(5)
    first_s, gaps = random.exponential(0.05, 1_000), random.exponential(0.01, (1_000, 20))
    seen = streams(first_s, gaps.tolist())
    assert ask("ttft_p95", seen).value == pytest.approx(np.quantile(first_s, 0.95, method="inverted_cdf"))
    for measure, share in (("gap_p50", 0.5), ("gap_p99", 0.99)):
        wanted = np.quantile(gaps, share, method="inverted_cdf")
        found = ask(measure, seen)
        assert found.value == pytest.approx(wanted, abs=2e-9)
        assert (found.n, found.low <= wanted <= found.high) == (20_000, True)


def test_every_end_of_the_interval_of_a_rate_of_tokens_allows_for_answers_of_many():
    even, uneven = ([[0.001] * n] * 400 for n in (9, 9))
    uneven = [[0.001] * (0 if index % 10 else 90) for index in range(400)]
    of_even, of_uneven = (ask("tokens_per_s", streams([0.01] * 400, gaps)) for gaps in (even, uneven))
    assert of_even.value == pytest.approx(4_000 / 4.0, rel=0.01)
    assert of_even.low < of_even.value < of_even.high
    assert of_uneven.high - of_uneven.low > 2.5 * (of_even.high - of_even.low)


def test_a_failed_request_has_one_gap_that_never_ended():
    seen = streams([0.01] * 100, [[0.001] * 9] * 100)
    seen.samples["outcome"][50] = Outcome.RESET
    found = gaps_s(seen)
    assert (len(found), np.isinf(found).sum()) == (901, 1)
    # It stands with the gaps of its own request, so that runs of slow ones are seen as runs.
    assert 450 <= np.flatnonzero(np.isinf(found))[0] <= 459
    assert ask("gap_p50", seen).value == pytest.approx(0.001)


def test_requests_for_other_answers_do_not_count_among_streams():
    seen = streams([0.01] * 300, [[0.001]] * 300)
    requests = seen.samples
    requests["payload"] = np.arange(300) % 3
    requests["events"][requests["payload"] == 1] = 0
    requests["first_event_ns"][requests["payload"] == 1] = 0
    requests["outcome"][requests["payload"] == 2] = Outcome.TIMEOUT
    # The first payload streams, the second does not, and of the third nobody knows: it had no good answer.
    assert set(streamed(requests)["payload"]) == {0, 2}
    requests["events"][0] = requests["first_event_ns"][0] = 0
    assert ask("ttft_p50", seen).n == 200
    assert ask("ttft_p50", seen).value == math.inf


@pytest.mark.parametrize("measure", ["ttft_p95", "gap_p99", "tokens_per_s"])
def test_without_a_stream_there_is_nothing_to_measure(measure):
    with pytest.raises(
        MeasurementError, match="no answer was a stream: expected Content-Type text/event-stream"
    ):
        ask(measure, samples([0.01] * 100))


def test_streams_of_one_event_have_no_gaps():
    with pytest.raises(MeasurementError, match="no answer had two events"):
        ask("gap_p99", streams([0.01] * 100, [[]] * 100))


def test_when_all_requests_failed_the_service_has_failed():
    lost = samples([0.01] * 200, outcome=Outcome.CLIENT_ERROR, status=404)
    for measure in ("ttft_p95", "gap_p99"):
        found = ask(measure, lost)
        assert found.low == math.inf
        assert "all 200 requests failed (404 Not Found)" in found.note
    assert ask("tokens_per_s", lost).value == 0


@pytest.mark.parametrize("measure", ["ttft_p95", "gap_p50"])
def test_the_reading_lag_stands_beside_every_time_of_a_stream(measure):
    known, unknown = (streams([0.01] * 300, [[0.001]] * 300, lag_ns=lag) for lag in (42_000, UNKNOWN_LAG))
    assert "99 % of the events were read within 0.042 ms of their arrival" in ask(measure, known).note
    assert "the kernel did not tell how long the events had waited" in ask(measure, unknown).note
