"""Growth of what a server holds, and drift of its latency: slopes that are put in are found."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_records import MEASURES, record, samples, window

from tailgate.harness.errors import MeasurementError, UsageError
from tailgate.harness.load.records.samples import Outcome
from tailgate.harness.measures.resources import MOST_STRETCHES, stretches
from tailgate.harness.observe.beside.resources import ResourceReading
from tailgate.harness.observe.window import PhaseRecord
from tailgate.harness.results.verdict import Better, Verdict
from tailgate.harness.scenario.arrivals import Poisson
from tailgate.harness.scenario.scenario import Criterion, Phase, quantile_name
from tailgate.harness.units import Unit
from tailgate.harness.verdict.judge import decide

MIB = 2**20


def held(rss_bytes, *, name="soak", fds=20, threads=8, period_s=2.0, requests=100):
    rss = np.asarray(rss_bytes, np.float64)
    count = len(rss)
    held = zip(
        1_000 + np.arange(count) * period_s,
        rss.astype(int),
        *np.broadcast_arrays(fds, threads, rss)[:2],
        strict=True,
    )
    readings = tuple(ResourceReading(*one) for one in held)
    return PhaseRecord(Phase(name, Poisson(1.0), requests=1), samples([0.1] * requests), resources=readings)


def estimate(measure, *records, limit=1.0):
    names = tuple(record.phase.name for record in records)
    return measure.estimate(window(*records), Criterion(measure.name, limit, names))


def test_memory_that_stays_has_no_slope():
    made = estimate(MEASURES["rss_growth_per_hour"], held([500 * MIB] * 600))
    assert (made.value, made.low, made.high, made.n) == (0, 0, 0, 600)
    assert made.note == f"over 1,198 s, from {500 * MIB:,} to {500 * MIB:,}"


@pytest.mark.parametrize(
    ("per", "unit", "expected"),
    [
        ("per_hour", Unit.BYTES, 1.8 * 1_024 * MIB),  # half a MiB a second
        ("per_1000", Unit.BYTES, 5_990 * MIB),  # 599 MiB in 1,198 s and 100 requests
        ("share_per_hour", Unit.SHARE, 1_800 / 799.5),
    ],
)
def test_a_leak_is_found_with_its_slope(per, unit, expected):
    noise = np.random.default_rng(1).normal(0, 2 * MIB, 600)
    made = estimate(MEASURES[f"rss_growth_{per}"], held(500 * MIB + np.arange(600) * MIB + noise))
    assert MEASURES[f"rss_growth_{per}"].unit is unit
    assert made.value == pytest.approx(expected, rel=0.03)
    assert made.low < made.value < made.high
    assert decide(made, expected / 2, Better.LOWER) is Verdict.FAIL


def test_a_few_readings_far_off_do_not_move_a_slope():
    rss = np.full(600, 500.0 * MIB)
    rss[np.random.default_rng(1).choice(600, 60, replace=False)] *= 4
    made = estimate(MEASURES["rss_growth_per_hour"], held(rss))
    assert (made.value, made.low, made.high) == (0, 0, 0)


@pytest.mark.parametrize("resource", ["fd", "thread"])
def test_descriptors_and_threads_have_slopes_too(resource):
    rising = np.arange(600) // 60
    grown = estimate(
        MEASURES[f"{resource}_growth_per_hour"], held([1.0] * 600, fds=20 + rising, threads=8 + rising)
    )
    # Ten more in 1,200 s.
    assert grown.value == pytest.approx(30, rel=0.15)
    assert MEASURES[f"{resource}_growth_per_hour"].unit is Unit.COUNT


@given(st.integers(1, 2_000))
def test_stretches_are_few_and_keep_the_order_of_time(count):
    x, y = stretches(np.arange(count, dtype=float), np.arange(count, dtype=float))
    assert len(x) == len(y) == min(count, MOST_STRETCHES)
    assert (np.diff(x) > 0).all()
    assert (x == y).all()


def test_too_few_readings_have_no_slope():
    with pytest.raises(MeasurementError, match="9 readings give no slope"):
        estimate(MEASURES["rss_growth_per_hour"], held([1.0] * 9))


@pytest.mark.parametrize("measure", [MEASURES["fd_growth_per_hour"], MEASURES["rss_rise"]])
def test_a_server_whose_processes_cannot_be_seen_has_no_growth(measure):
    unseen = PhaseRecord(Phase("soak", Poisson(1.0), requests=1), samples([0.1]))
    names = ("soak",) if measure.name == "fd_growth_per_hour" else ("soak", "more")
    with pytest.raises(MeasurementError, match="processes cannot be seen"):
        measure.estimate(window(unseen), Criterion(measure.name, 1.0, names))


def test_a_slope_is_of_one_phase():
    with pytest.raises(UsageError, match="is the slope of one phase"):
        estimate(MEASURES["rss_growth_per_hour"], held([1.0] * 20), held([1.0] * 20, name="more"))


def test_a_rise_is_the_peak_over_what_was_usual_before():
    before, later = held([100.0, 100.0, 300.0], name="a"), held([100.0, 150.0, 110.0], name="b")
    made = estimate(MEASURES["rss_rise"], before, later)
    assert (made.value, made.low, made.high, made.n) == (0.5, 0.5, 0.5, 6)
    with pytest.raises(UsageError, match="a phase to compare with first"):
        estimate(MEASURES["rss_rise"], before)


def drift(latencies_s, share=0.5):
    return estimate(MEASURES[f"drift_{quantile_name(share)}"], record(samples(latencies_s)), limit=0.25)


def test_latency_that_stays_does_not_drift():
    made = drift(np.random.default_rng(1).gamma(4, 0.02, 3_000))
    assert made.low < 0 < made.high
    assert made.value == pytest.approx(0, abs=0.05)
    assert made.n == 2_000


def test_latency_that_rises_drifts_by_that():
    rng = np.random.default_rng(1)
    made = drift(rng.gamma(100, 0.001, 3_000) * np.linspace(1.0, 2.0, 3_000))
    # From 1.167 in the middle of the first third to 1.833 in that of the last.
    assert made.value == pytest.approx(1.833 / 1.167 - 1, abs=0.05)
    # Each third rises, too, so that its requests say less of its middle than as many that do not.
    assert 0.15 < made.low < made.value < made.high


def test_what_comes_after_failures_that_fill_a_third_has_no_drift():
    records = samples([0.1] * 30)
    records["outcome"][:10] = Outcome.TIMEOUT
    with pytest.raises(MeasurementError, match="p50 of the first third is not finite"):
        MEASURES["drift_p50"].estimate(window(records), Criterion("drift_p50", 0.25, ("load",)))
    with pytest.raises(MeasurementError, match="2 requests have no thirds"):
        drift([0.1, 0.1])


def test_a_last_third_of_failures_is_an_endless_drift():
    records = samples([0.1] * 300)
    records["outcome"][200:] = Outcome.TIMEOUT
    made = MEASURES["drift_p50"].estimate(window(records), Criterion("drift_p50", 0.25, ("load",)))
    assert made.value == made.low == np.inf


def light(latencies_s, name):
    return PhaseRecord(Phase(name, Poisson(1.0), requests=1), samples(latencies_s))


def test_a_rise_is_that_of_the_last_phase_over_the_first_whatever_lay_between():
    rng = np.random.default_rng(2)
    before, heavy, after = (rng.gamma(100, 0.001, 300) * factor for factor in (1.0, 9.0, 1.5))
    made = estimate(
        MEASURES["p50_rise"], light(before, "before"), light(heavy, "heavy"), light(after, "after")
    )
    assert made.value == pytest.approx(0.5, abs=0.05)
    assert 0.25 < made.low < made.value < made.high
    assert made.n == 600
    assert decide(made, 0.25, Better.LOWER) is Verdict.FAIL


def test_failures_after_the_load_are_an_endless_rise_and_before_it_nothing_to_compare_with():
    well, lost = light([0.1] * 300, "well"), light([0.1] * 300, "lost")
    lost.samples["outcome"][:] = Outcome.TIMEOUT
    assert estimate(MEASURES["p50_rise"], well, lost).value == np.inf
    with pytest.raises(MeasurementError, match="p50_rise: p50 of 'lost' is not finite"):
        estimate(MEASURES["p50_rise"], lost, well)
    with pytest.raises(MeasurementError, match="there are no requests of 'none'"):
        estimate(MEASURES["p50_rise"], light([], "none"), well)
    with pytest.raises(MeasurementError, match="there are no requests of 'none'"):
        estimate(MEASURES["p50_rise"], well, light([], "none"))
    with pytest.raises(UsageError, match="a phase to compare with first"):
        estimate(MEASURES["p50_rise"], well)


def test_a_rise_to_a_phase_that_was_not_reached_is_not_measured():
    asked = Criterion("p50_rise", 0.25, ("well", "after"))
    with pytest.raises(MeasurementError, match="not all of well, after were measured"):
        MEASURES["p50_rise"].estimate(window(light([0.1] * 300, "well")), asked)


def test_a_rise_from_where_half_nearly_failed_has_no_lower_end_to_speak_of():
    shaky, worse = light([0.1] * 300, "shaky"), light([0.1] * 300, "worse")
    anywhere = np.random.default_rng(4).permutation(300)
    shaky.samples["outcome"][anywhere[:149]] = Outcome.TIMEOUT
    worse.samples["outcome"][anywhere[:200]] = Outcome.TIMEOUT
    made = estimate(MEASURES["p50_rise"], shaky, worse)
    assert (made.low, made.high) == (-1.0, np.inf)
    assert decide(made, 0.25, Better.LOWER) is Verdict.INCONCLUSIVE
