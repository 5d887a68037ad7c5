"""What acts do with a fleet, step by step, without a process."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgate.harness.target.fleet.acts import ACTS


class PaperFleet:
    """A fleet of numbers: each replica has one, by its place."""

    def __init__(self, size):
        self.size = size
        self.there = dict(enumerate(range(size)))
        self.started = size
        self.fewest = self.most = size

    @property
    def places(self):
        return tuple(sorted(self.there))

    @property
    def free_place(self):
        return min(set(range(self.size + 1)) - set(self.there))

    def add(self, place):
        assert place not in self.there
        self.there[place] = self.started
        self.started += 1
        self.most = max(self.most, len(self.there))

    def retire(self, place):
        del self.there[place]
        self.fewest = min(self.fewest, len(self.there))

    kill = retire


@given(st.integers(2, 20))
def test_a_rollout_replaces_each_replica_and_never_has_fewer(size):
    fleet = PaperFleet(size)
    ACTS["replace"](fleet, lambda _: False)
    assert set(fleet.there.values()) == set(range(size, 2 * size))
    assert (fleet.fewest, fleet.most) == (size, size + 1)


@given(st.integers(2, 20))
def test_a_kill_takes_one_replica_and_gives_another_in_its_place(size):
    fleet = PaperFleet(size)
    ACTS["kill"](fleet, lambda _: False)
    assert fleet.places == tuple(range(size))
    assert sorted(fleet.there.values()) == list(range(1, size + 1))
    assert (fleet.fewest, fleet.most) == (size - 1, size)


@pytest.mark.parametrize("act", ACTS)
@given(size=st.integers(2, 9), ends_after=st.integers(0, 30))
def test_an_act_leaves_as_many_replicas_as_it_found_whenever_the_load_ends(act, size, ends_after):
    fleet, waits = PaperFleet(size), iter([False] * ends_after)
    ACTS[act](fleet, lambda _: next(waits, True))
    assert len(fleet.there) == size
