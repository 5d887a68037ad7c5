"""The line through the measured times of batches, and the largest batch that pays."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgate.service.execution.trials.batch_times import (
    DEARER,
    NEARLY_ALL,
    Cap,
    fit,
    is_clear,
    is_settled,
    worthwhile_cap,
)
from tailgate.service.execution.trials.trial import ROUNDS

SIZES = (1, 2, 4, 8, 16, 32)
TRIED = "the largest that is tried"
DEARER_WHY = "a larger batch costs clearly more per request"
LATE_WHY = "the latency objective: a larger batch takes more than half of it"
positive = st.floats(1e-6, 1.0)


def line(per_item_s, fixed_s, sizes=SIZES):
    return {size: per_item_s * size + fixed_s for size in sizes}


@given(positive, positive, st.sets(st.integers(1, 4096), min_size=2, max_size=12))
def test_times_on_a_line_give_the_line(per_item_s, fixed_s, sizes):
    times = fit(line(per_item_s, fixed_s, sorted(sizes)))
    for size in sizes:
        assert times.predict_s(size) == pytest.approx(per_item_s * size + fixed_s, rel=1e-6)


def test_the_fit_is_of_relative_errors_so_that_a_tenth_counts_the_same_at_every_size():
    small_off, large_off = line(1e-3, 1e-3), line(1e-3, 1e-3)
    small_off[1] *= 1.1
    large_off[32] *= 1.1
    for measured in (small_off, large_off):
        times = fit(measured)
        assert all(times.predict_s(size) == pytest.approx(measured[size], rel=0.1) for size in SIZES)
    assert fit(small_off).fixed_s == pytest.approx(1.15e-3, rel=0.1)


@given(positive, positive, st.lists(st.floats(-0.05, 0.05), min_size=len(SIZES), max_size=len(SIZES)))
def test_noise_of_five_percent_moves_no_fitted_time_by_more_than_twice_that(per_item_s, fixed_s, noise):
    measured = {
        size: seconds * (1 + each)
        for (size, seconds), each in zip(line(per_item_s, fixed_s).items(), noise, strict=True)
    }
    times = fit(measured)
    assert all(times.predict_s(size) == pytest.approx(measured[size], rel=0.2) for size in SIZES)


@given(st.dictionaries(st.integers(1, 64), st.floats(1e-6, 10), min_size=1, max_size=8))
def test_neither_part_is_ever_negative_and_what_was_measured_is_kept_in_order(measured):
    times = fit(measured)
    assert times.per_item_s >= 0
    assert times.fixed_s >= 0
    assert list(times.measured_s.items()) == sorted(measured.items())


def test_one_size_says_nothing_of_a_fixed_part():
    times = fit({4: 0.02})
    assert (times.per_item_s, times.fixed_s) == (pytest.approx(0.005), 0)


@pytest.mark.parametrize(
    ("measured_ms", "per_item_ms", "fixed_ms"),
    [
        ({1: 1, 2: 4, 4: 16}, 2, 0),  # dearer the larger: all of it is each request's own
        ({1: 8, 2: 4, 4: 2}, 0, 4),  # cheaper the larger: all of it is the batch's
        ({1: 4.1, 2: 4.0, 4: 4.0, 8: 4.0, 16: 3.9, 32: 3.9}, 0, 4),  # launches alone, and some noise
    ],
)
def test_where_noise_has_bent_the_line_the_wrong_way_all_of_the_cost_is_of_one_kind(
    measured_ms, per_item_ms, fixed_ms
):
    times = fit({size: value / 1e3 for size, value in measured_ms.items()})
    assert times.per_item_s == pytest.approx(per_item_ms / 1e3)
    assert times.fixed_s == pytest.approx(fixed_ms / 1e3)


# The largest batch that is worth it.


def quiet(measured_ms, rounds=ROUNDS):
    """Return what rounds without noise measure, in seconds."""
    return {size: [value / 1e3] * rounds for size, value in measured_ms.items()}


@pytest.mark.parametrize(
    ("measured_ms", "objective_ms", "cap", "why"),
    [
        ({1: 10, 2: 11, 4: 13, 8: 17, 16: 25, 32: 41}, None, 32, TRIED),  # the fixed part is most of it
        ({1: 10, 2: 20, 4: 40, 8: 80}, None, 8, TRIED),  # nothing is saved, and nothing is lost
        ({1: 10, 2: 15, 4: 25, 8: 48, 16: 95, 32: 189}, None, 32, TRIED),
        ({1: 10, 2: 20, 4: 40, 8: 87}, None, 8, TRIED),  # a little dearer is not clearly dearer
        ({1: 10, 2: 12, 4: 20, 8: 60}, None, 4, DEARER_WHY),  # beyond the processor's cache
        ({1: 10, 2: 25, 4: 60, 8: 140}, None, 1, DEARER_WHY),  # dearer from the start
        ({1: 10, 2: 12, 4: 20, 8: 60, 16: 80}, None, 16, TRIED),  # a bump on the way
        (
            {1: 10, 2: 11, 4: 13, 8: 17, 16: 25, 32: 41},
            50,
            16,
            LATE_WHY,
        ),  # waits for one batch, is in the next
        ({1: 10, 2: 11, 4: 13, 8: 17, 16: 25, 32: 41}, 49.9, 8, LATE_WHY),
        ({1: 10, 2: 11, 4: 13, 8: 17, 16: 25, 32: 41}, 1000, 32, TRIED),
        ({1: 10, 2: 12, 4: 20, 8: 60, 16: 200}, 130, 4, DEARER_WHY),
        (
            {1: 10, 2: 11, 4: 13},
            5,
            1,
            "the latency objective: even the smallest batch takes more than half of it",
        ),
        ({8: 10}, None, 8, TRIED),
    ],
)
def test_the_largest_batch_is_taken_unless_a_smaller_one_is_clearly_cheaper_or_the_objective_asks_for_it(
    measured_ms, objective_ms, cap, why
):
    objective_s = None if objective_ms is None else objective_ms / 1e3
    assert worthwhile_cap(quiet(measured_ms), objective_s, TRIED) == Cap(cap, why)


@given(
    st.integers(1, 9).flatmap(
        lambda rounds: st.dictionaries(
            st.integers(1, 64),
            st.lists(st.floats(1e-6, 10), min_size=rounds, max_size=rounds),
            min_size=1,
            max_size=8,
        )
    ),
    st.none() | st.floats(1e-6, 30),
)
def test_the_cap_was_measured_and_keeps_the_objective_and_no_smaller_size_was_clearly_cheaper(
    rounds_s, objective_s
):
    cap = worthwhile_cap(rounds_s, objective_s).size
    allowed = [size for size in rounds_s if objective_s is None or 2 * min(rounds_s[size]) <= objective_s]
    if not allowed:
        assert cap == min(rounds_s)
        return
    assert cap in allowed
    for smaller in allowed:
        dearer = [
            large / cap > small / smaller * (1 + DEARER)
            for large, small in zip(rounds_s[cap], rounds_s[smaller], strict=True)
        ]
        assert smaller >= cap or sum(dearer) < NEARLY_ALL * len(dearer)


# Two starts choose the same, on a machine that is not quiet. Milliseconds per request, by batch size.

SAVES_MUCH = dict(zip(SIZES, (8.0, 4.5, 2.7, 1.8, 1.4, 1.15), strict=True))
SAVES_LITTLE = dict(zip(SIZES, (12.4, 11.5, 11.3, 11.2, 11.0, 11.0), strict=True))
SAVES_NOTHING = dict.fromkeys(SIZES, 11.0)
MUCH_DEARER = dict(zip(SIZES, (11.0, 10.0, 9.5, 9.0, 8.8, 17.6), strict=True))


def spread(share):
    """Return noise that multiplies each run."""
    return lambda rng, shape: rng.lognormal(0, share, shape)


def only_adds(rng, shape):
    return 1 + rng.exponential(0.2, shape)


def spikes(rng, shape):
    return 1 + (rng.random(shape) < 0.1) * rng.exponential(3.0, shape)


def slow_minutes(rng, shape):
    """The machine is at half its speed for some runs in a row."""
    changes = rng.random(shape[0] * shape[1]) < 0.05
    return np.where(np.cumsum(changes) % 2, 2.0, 1.0).reshape(shape) * rng.lognormal(0, 0.03, shape)


def slower_and_slower(rng, shape):
    return np.linspace(1, 2, shape[0])[:, None] * rng.lognormal(0, 0.03, shape)


def differing(caps):
    """Return the probability that two starts, drawn from these, differ."""
    return 1 - sum((count / len(caps)) ** 2 for count in Counter(caps).values())


@pytest.mark.parametrize(
    "noise", [spread(0.02), spread(0.15), only_adds, spikes, slow_minutes, slower_and_slower]
)
@pytest.mark.parametrize("costs_ms", [SAVES_MUCH, SAVES_LITTLE, SAVES_NOTHING])
def test_noise_does_not_make_two_starts_choose_differently(costs_ms, noise):
    rng = np.random.default_rng(0)
    seconds = np.array([size * cost / 1e3 for size, cost in costs_ms.items()])
    starts = [seconds * noise(rng, (ROUNDS, len(SIZES))) for _ in range(200)]
    caps = [worthwhile_cap(dict(zip(SIZES, rounds.T, strict=True))).size for rounds in starts]
    assert max(caps) == 32
    assert differing(caps) <= 0.1


@pytest.mark.parametrize("noise", [spread(0.02), spread(0.15), slow_minutes, slower_and_slower])
def test_a_batch_that_is_twice_as_dear_is_not_taken_whatever_the_noise(noise):
    rng = np.random.default_rng(0)
    seconds = np.array([size * cost / 1e3 for size, cost in MUCH_DEARER.items()])
    starts = [seconds * noise(rng, (ROUNDS, len(SIZES))) for _ in range(200)]
    caps = [worthwhile_cap(dict(zip(SIZES, rounds.T, strict=True))).size for rounds in starts]
    assert sum(cap <= 16 for cap in caps) >= 0.95 * len(caps)


@pytest.mark.parametrize("model", ["efficientnet-lite0", "mobilenet_v3_small"])
def test_starts_on_a_machine_that_others_keep_busy_choose_the_same(model):
    """Recorded: a run takes up to five times as long as another of the same size."""
    recorded = json.loads((Path(__file__).parent / "batch_rounds.json").read_text())
    rounds_s = np.array(recorded[model]) / 1e3
    starts = [rounds_s[first : first + ROUNDS] for first in range(len(rounds_s) - ROUNDS)]
    caps = [worthwhile_cap(dict(zip(recorded["sizes"], rounds.T, strict=True))).size for rounds in starts]
    assert differing(caps) <= 0.03


costs = st.lists(st.sampled_from([0.9, 1.0, 1.05, 1.2, 3.0]), min_size=ROUNDS, max_size=ROUNDS)


@given(st.lists(costs, min_size=1, max_size=4), st.integers(2, ROUNDS))
def test_rounds_that_are_settled_choose_what_all_rounds_would(costs_s, seen):
    rounds_s = {
        size: [size * cost for cost in each]
        for size, each in zip(SIZES[: len(costs_s)], costs_s, strict=True)
    }
    first_s = {size: seconds[:seen] for size, seconds in rounds_s.items()}
    if is_settled(first_s, ROUNDS):
        assert worthwhile_cap(first_s) == worthwhile_cap(rounds_s) == Cap(max(rounds_s), TRIED)


@given(st.lists(costs, min_size=2, max_size=4), st.integers(2, ROUNDS))
def test_rounds_that_are_not_settled_could_still_choose_a_smaller_batch(costs_s, seen):
    """So no round is run for nothing: were every further one against the sizes that are open, one of them would go."""
    sizes = SIZES[: len(costs_s)]
    first_s = {size: [size * cost for cost in each[:seen]] for size, each in zip(sizes, costs_s, strict=True)}
    if not is_settled(first_s, ROUNDS):
        steep_s = {
            size: [*seconds, *[size * 10.0**size] * (ROUNDS - seen)] for size, seconds in first_s.items()
        }
        assert any(
            sum(steep_s[size][n] / size > steep_s[other][n] / other * (1 + DEARER) for n in range(ROUNDS))
            >= NEARLY_ALL * ROUNDS
            for size in sizes
            for other in sizes
            if other < size
        )


@pytest.mark.parametrize(
    ("rounds_s", "clear"),
    [
        ([{1: [1, 2], 2: [3, 6]}], True),
        ([{1: [1, 2], 2: [3, 6]}, {1: [2, 4], 2: [6, 12]}], True),
        ([{1: [1, 2], 2: [3, 6]}, {1: [2, 1.9], 2: [6, 5.9]}], False),
        ([{1: [1, 2]}, {1: [1.05, 2.1]}], False),
        ([{1: [1, 2]}, {1: [2, 4]}, {1: [0.99, 1.99]}], False),
        ([{1: [1, 2]}, {1: [2, 4], 2: [0.1, 0.1]}], True),
    ],
)
def test_an_executor_is_clearly_the_fastest_where_each_round_says_so(rounds_s, clear):
    assert is_clear(rounds_s) is clear
