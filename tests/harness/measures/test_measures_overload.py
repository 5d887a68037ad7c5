"""The measures of overload: accepted, refused, goodput and what comes after, on records whose truth is known."""

import math
from dataclasses import replace

import numpy as np
import pytest
from sample_records import MEASURES, delta, record, samples, window

from tailgate.harness.errors import MeasurementError, UsageError
from tailgate.harness.load.records.samples import Outcome
from tailgate.harness.observe.beside.probes import Asked, ProbeRecord
from tailgate.harness.observe.window import PhaseRecord
from tailgate.harness.results.criterion import Witness
from tailgate.harness.scenario.arrivals import ClosedLoop, Poisson
from tailgate.harness.scenario.behaviour import Behaviour
from tailgate.harness.scenario.scenario import Criterion, Phase

SPREAD = np.random.default_rng(3).permutation(np.linspace(0.001, 1.0, 1_000))


def estimate(measure, made, *, phases=("load",), witness=Witness.CLIENT, limit=0.5, objective_s=None):
    return measure.estimate(made, Criterion(measure.name, limit, phases, witness, objective_s))


def shed(records, indices, *, after_s=0.002, retry_after_s=1.0):
    records["outcome"][indices], records["status"][indices] = Outcome.SHED, 503
    records["done_ns"][indices] = records["dispatched_ns"][indices] + round(after_s * 1e9)
    records["retry_after_s"] = np.nan
    records["retry_after_s"][indices] = retry_after_s
    return records


def test_refused_requests_do_not_count_in_the_latency_of_accepted_ones():
    records = shed(samples(np.concatenate([SPREAD, np.full(500, 9.0)])), slice(1_000, None))
    assert estimate(MEASURES["accepted_p95"], window(records)).value == pytest.approx(0.95)
    assert estimate(MEASURES["accepted_p95"], window(records)).n == 1_000
    assert estimate(MEASURES["p95"], window(records)).value == math.inf


@pytest.mark.parametrize("outcome", [Outcome.SERVER_ERROR, Outcome.TIMEOUT, Outcome.RESET])
def test_what_was_accepted_and_then_lost_is_infinitely_late(outcome):
    records = samples(SPREAD)
    records["outcome"][:60] = outcome
    assert estimate(MEASURES["accepted_p95"], window(records)).value == math.inf


def test_where_all_was_refused_nothing_was_accepted():
    with pytest.raises(MeasurementError, match="all 10 requests were refused"):
        estimate(MEASURES["accepted_p95"], window(shed(samples(np.ones(10)), slice(None))))


def test_a_refusal_is_timed_from_when_the_generator_took_it_up():
    records = samples(np.ones(100), lag_s=0.05)
    made = estimate(MEASURES["refusal_p50"], window(shed(records, slice(0, 40), after_s=0.004)))
    assert (made.value, made.n) == (pytest.approx(0.004), 40)
    assert made.low <= made.value <= made.high


@pytest.mark.parametrize("measure", [MEASURES["refusal_p50"], MEASURES["unhinted_refusals"]])
def test_a_load_that_was_no_overload_has_no_refusals_to_judge(measure):
    with pytest.raises(MeasurementError, match="none of 5 requests was refused: this load was no overload"):
        estimate(measure, window(samples(np.ones(5))))


def test_refusals_that_do_not_say_when_to_come_back_are_counted():
    records = shed(samples(np.ones(100)), slice(0, 40))
    records["retry_after_s"][:10] = np.nan
    made = estimate(MEASURES["unhinted_refusals"], window(records), limit=0.0)
    assert (made.value, made.low, made.high, made.n) == (0.25, 0.25, 0.25, 40)


def test_what_is_neither_answered_nor_refused_is_lost():
    records = shed(samples(np.ones(100)), slice(0, 40))
    records["outcome"][40:43] = [Outcome.TIMEOUT, Outcome.SERVER_ERROR, Outcome.CLIENT_ERROR]
    assert estimate(MEASURES["lost_rate"], window(records), limit=0.0).value == 0.03


def steady(rate_per_s, seconds=20.0, latency_s=0.1, share_good=1.0):
    """Evenly spaced requests of which every so many are answered, the rest refused."""
    n = round(rate_per_s * seconds)
    records = samples(np.full(n, latency_s), rate_per_s=rate_per_s)
    good = np.floor(np.arange(1, n + 1) * share_good + 1e-9) > np.floor(np.arange(n) * share_good + 1e-9)
    return shed(records, np.flatnonzero(~good))


def test_goodput_counts_what_was_answered_in_time_while_the_load_lasted():
    made = estimate(MEASURES["goodput"], window(steady(100.0, share_good=0.5)), objective_s=0.2)
    assert made.value == pytest.approx(50.0, rel=0.01)
    assert made.low <= made.value <= made.high
    assert made.high - made.low < 2.0
    assert estimate(MEASURES["goodput"], window(steady(100.0, share_good=0.5)), objective_s=0.05).value == 0.0


def test_a_service_that_stalls_first_is_not_credited_with_a_later_start():
    """The way in ends when the first answer was due, and not when it came."""
    late = steady(100.0, latency_s=0.1)
    late["outcome"][: len(late) // 2] = Outcome.TIMEOUT
    assert estimate(MEASURES["goodput"], window(late), objective_s=0.5).value == pytest.approx(50.0, rel=0.05)


def test_goodput_of_an_instant_is_refused():
    with pytest.raises(MeasurementError, match="too short to give a rate"):
        estimate(MEASURES["goodput"], window(samples([0.1] * 5, intended_s=[0.0] * 5)), objective_s=1.0)


def closed(records):
    return PhaseRecord(Phase("saturated", ClosedLoop(4), requests=1), records)


def overload(records):
    return PhaseRecord(Phase("overload", Poisson(2.0), requests=1), records)


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_goodput_under_overload_is_a_share_of_the_saturated_throughput(share):
    made = estimate(
        MEASURES["goodput_share"],
        window(closed(steady(100.0)), overload(steady(200.0, share_good=share))),
        phases=("saturated", "overload"),
        objective_s=0.5,
    )
    assert made.value == pytest.approx(2 * share, rel=0.02)
    assert made.low <= made.value <= made.high


@pytest.mark.parametrize("seed", range(20))
def test_the_interval_of_goodput_holds_the_truth_of_a_server_whose_answers_are_poisson(seed):
    """Each end errs in one run of a hundred; none of these twenty does."""
    rng = np.random.default_rng(seed)

    def answered(rate_per_s):
        return samples(np.full(600, 0.01), intended_s=np.cumsum(rng.exponential(1 / rate_per_s, 600)))

    made = estimate(
        MEASURES["goodput_share"],
        window(closed(answered(50.0)), overload(answered(40.0))),
        phases=("saturated", "overload"),
        objective_s=1.0,
    )
    assert made.low < 0.8 < made.high


def test_goodput_share_needs_a_closed_loop_to_compare_with():
    both = overload(steady(100.0)), overload(steady(100.0))
    with pytest.raises(UsageError, match="needs a closed loop first"):
        estimate(MEASURES["goodput_share"], window(*both), phases=("a", "b"), objective_s=0.5)


def test_goodput_share_of_nothing_in_time_is_none():
    made = estimate(
        MEASURES["goodput_share"],
        window(closed(steady(100.0)), overload(steady(200.0, latency_s=3.0))),
        phases=("saturated", "overload"),
        objective_s=0.5,
    )
    assert (made.value, made.high, made.note) == (0.0, 0.0, "no answer was in time")


def after(latencies_s, begins_s=25.0, rate_per_s=10.0):
    times = begins_s + np.arange(len(latencies_s)) / rate_per_s
    return record(samples(latencies_s, intended_s=times), name="afterwards")


def settled(afterwards, overload_s=20.0):
    first = record(samples([0.1] * 101, intended_s=np.linspace(0, overload_s, 101)), name="overload")
    return estimate(
        MEASURES["settle"],
        window(first, afterwards),
        phases=("overload", "afterwards"),
        objective_s=0.5,
        limit=2.0,
    )


def test_a_service_has_settled_when_the_last_late_request_ended():
    made = settled(after([0.7, 0.7, 0.1, 0.8, 0.1]))
    assert made.value == pytest.approx(5.0 + 0.3 + 0.8)
    assert (made.low, made.high, made.n) == (made.value, made.value, 5)
    assert made.note == "3 of 5 requests afterwards were late"


def test_without_a_late_request_it_had_settled_when_the_harness_looked_again():
    assert settled(after([0.1] * 5)).value == pytest.approx(5.0)


def test_a_service_that_lost_a_request_for_ever_never_settles():
    afterwards = after([0.1] * 5)
    afterwards.samples["outcome"][2], afterwards.samples["done_ns"][2] = Outcome.TIMEOUT, 0
    assert settled(afterwards).value == math.inf


def test_settling_needs_two_phases():
    with pytest.raises(UsageError, match="needs two phases"):
        estimate(MEASURES["settle"], window(samples([0.1])), objective_s=0.5)


def probed(*seconds, asked=Asked.HEALTH):
    records = tuple(ProbeRecord(asked, 1, one, 200 if one < math.inf else None) for one in seconds)
    return PhaseRecord(Phase("load", Poisson(1.0), requests=1), samples([0.1]), probes=records)


def test_probes_without_a_good_answer_are_infinitely_late():
    made = estimate(MEASURES["health_p90"], window(probed(*[0.01] * 40, *[math.inf] * 10)))
    assert (made.value, made.n, made.note) == (math.inf, 50, "10 of 50 probes had no good answer")
    assert estimate(MEASURES["health_p50"], window(probed(*[0.01] * 7))).high == 0.01


def test_probes_of_another_path_do_not_count():
    with pytest.raises(MeasurementError, match="metrics_p90: no probe was sent"):
        estimate(MEASURES["metrics_p90"], window(probed(0.01)))


def disturbed(*kinds):
    """Build a phase with one disturber for each (behaviour, outcome, status)."""
    records = samples([0.1] * len(kinds))
    records["behaviour"] = [behaviour for behaviour, _, _ in kinds]
    records["outcome"] = [outcome for _, outcome, _ in kinds]
    records["status"] = [code for _, _, code in kinds]
    return records


def test_disturbers_are_held_to_what_they_have_coming():
    theirs = disturbed(
        (Behaviour.CORRUPT, Outcome.CLIENT_ERROR, 400),
        (Behaviour.CORRUPT, Outcome.OK, 200),  # wrong
        (Behaviour.CORRUPT, Outcome.SERVER_ERROR, 500),  # wrong
        (Behaviour.DRIPS, Outcome.OK, 200),
        (Behaviour.DRIPS, Outcome.CLIENT_ERROR, 408),  # wrong
        (Behaviour.LEAVES, Outcome.LEFT, 0),
        (Behaviour.BREAKS_OFF, Outcome.LEFT, 0),
    )
    phase = PhaseRecord(Phase("load", Poisson(1.0), requests=1), samples([0.1]), disturbers=theirs)
    made = estimate(MEASURES["misanswered"], window(phase), limit=0.0)
    assert (made.value, made.n) == (0.6, 5)


@pytest.mark.parametrize(
    ("counted", "missing"),
    [
        (12, 1),  # ten answered, two left, and one of the three is in no book
        (13, 0),
        (14, 0),  # the one that broke off may be in the books
        (15, 1),
    ],
)
def test_every_request_that_was_sent_whole_is_in_the_servers_books_once(counted, missing):
    theirs = disturbed(
        (Behaviour.LEAVES, Outcome.LEFT, 0),
        (Behaviour.LEAVES, Outcome.LEFT, 0),
        (Behaviour.LEAVES, Outcome.OK, 200),
        (Behaviour.BREAKS_OFF, Outcome.LEFT, 0),
    )
    phase = PhaseRecord(
        Phase("load", Poisson(1.0), requests=1),
        samples([0.1] * 10),
        delta([0.1] * counted),
        disturbers=theirs,
    )
    made = estimate(MEASURES["unaccounted"], window(phase), witness=Witness.SERVER, limit=0.0)
    assert (made.value, made.n, made.note) == (missing, 14, f"ok {counted}")


def test_the_harness_s_own_scrape_is_in_nobody_s_books():
    made = PhaseRecord(
        Phase("load", Poisson(1.0), requests=1), samples([0.1] * 3), delta([0.1] * 4), own_scrapes=1
    )
    assert estimate(MEASURES["unaccounted"], window(made), witness=Witness.SERVER, limit=0.0).value == 0
    assert (
        estimate(MEASURES["unaccounted"], window(replace(made, own_scrapes=2)), witness=Witness.SERVER).value
        == 1
    )


def test_the_books_are_the_servers():
    with pytest.raises(UsageError, match="from the server's record only"):
        estimate(MEASURES["unaccounted"], window(record(samples([0.1]), delta([0.1]))))
    with pytest.raises(MeasurementError, match="has no metrics"):
        estimate(MEASURES["unaccounted"], window(samples([0.1])), witness=Witness.SERVER)
