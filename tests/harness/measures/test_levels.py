"""Level changes: how often one is found where there is none, and how soon where there is one."""

import numpy as np
import pytest

from tailgate.harness.measures.levels import FEWEST, MOST, SHORTEST, levels, penalty

LAWS = {
    "normal": lambda rng, n: rng.normal(10.0, 1.0, n),
    "long tail": lambda rng, n: rng.lognormal(0.0, 1.5, n),
    "Cauchy": lambda rng, n: rng.standard_cauchy(n),
}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("n", [FEWEST, 25])
def test_without_a_change_few_histories_have_one_whatever_the_noise(law, n):
    rng = np.random.default_rng(n)
    found = sum(len(levels(LAWS[law](rng, n))) > 1 for _ in range(300))
    # One in a hundred is stated; of 300, more than 9 would be seen once in 1,200 times.
    assert found <= 9


@pytest.mark.parametrize(("before", "after"), [(6, 6), (16, 4), (26, 4), (45, 5), (95, 5)])
@pytest.mark.parametrize("factor", [0.5, 1.5])
def test_a_clear_change_is_found_at_its_run_after_a_few_runs(before, after, factor):
    rng = np.random.default_rng(before)
    values = rng.normal(10.0, 0.5, before + after)
    values[before:] *= factor
    first, second = levels(values)
    # The run before the change may itself have been the quickest of all.
    assert before - 1 <= first.end == second.start <= before
    assert (first.start, second.end) == (0, before + after)
    assert second.median / first.median == pytest.approx(factor, rel=0.1)


def test_a_change_and_its_mending_are_two():
    rng = np.random.default_rng(5)
    values = rng.normal(10.0, 0.2, 45)
    values[15:30] += 3
    assert [level.start for level in levels(values)] == [0, 15, 30]


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_what_never_changes_has_one_level(value):
    assert levels([value] * 20) == ((0, 20, value),)


def test_one_failure_among_many_runs_without_is_no_level():
    values = [0.0] * 30
    values[12] = 0.4
    assert len(levels(values)) == 1


def test_two_slow_runs_at_the_end_are_no_level_yet():
    assert len(levels([1.0 + 0.01 * (place % 5) for place in range(28)] + [9.0, 9.1])) == 1


def test_the_fewest_runs_are_the_least_whose_order_can_tell():
    for n in range(2 * SHORTEST, 2 * FEWEST):
        assert (len(levels(list(range(n)))) > 1) is (n >= FEWEST), n
    assert penalty(MOST) > penalty(FEWEST)
