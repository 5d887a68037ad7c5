"""Admission over both queues in virtual time: decoding threads, then batches, with more requests than either can do.

Requests come at random, and items take random times to be decoded; the forecast learns from them as the service does. What is
asserted is what the latency objective promises: who is let in is answered in time, and no capacity lies idle.
"""

import heapq
import itertools
import random
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from tailgate.service.batching.admission import given_up, why_late
from tailgate.service.batching.forecast import Decoding, Forecast, Running
from tailgate.service.batching.headroom import Stages, capacity_per_s
from tailgate.service.batching.policy import BatchPolicy, Take, Wait, next_batch

REQUESTS = 3000
OBJECTIVE_S = 1.0
CAPACITY = 256


@dataclass(frozen=True)
class Plant:
    """So many threads that take so long for an item, and batches that take a·n + b."""

    threads: int
    item_s: float
    per_item_s: float
    fixed_s: float
    cap: int

    def batch_s(self, size):
        return self.per_item_s * size + self.fixed_s

    @property
    def rate(self):
        """Requests a second that the slower of its stages can do."""
        return min(self.threads / self.item_s, self.cap / self.batch_s(self.cap))


PLANTS = {
    "decoding is the bottleneck": Plant(2, 0.02, 0.001, 0.002, 16),
    "computing is the bottleneck": Plant(8, 0.004, 0.02, 0.01, 8),
    "both are equally fast": Plant(2, 0.02, 0.0085, 0.01, 8),
    "decoding takes a tenth of the objective": Plant(4, 0.1, 0.002, 0.005, 16),
}


class Course:
    """So many times the requests that a plant can do, in virtual time.

    Attributes:
        answered_s: seconds until the answer, of those who were answered.
        refused: how many were not, at the door or later.
        now_s: when the last of them ended.
    """

    def __init__(self, plant, load, seed=0, timeout_s=None, objective_s=OBJECTIVE_S):
        self.answered_s, self.refused, self.now_s = [], 0, 0.0
        self._plant, self._timeout_s, self._objective_s = plant, timeout_s, objective_s
        self._random, self._order, self._events = random.Random(seed), itertools.count(), []
        self._forecast = Forecast(plant.batch_s, plant.cap)
        self._policy = BatchPolicy(plant.cap, CAPACITY)
        self._to_decode, self._decoding, self._to_compute, self._batch = [], {}, [], None
        self._began_s = {}
        apart_s = (self._random.expovariate(load * plant.rate) for _ in range(REQUESTS))
        for number, at_s in enumerate(itertools.accumulate(apart_s)):
            self._at(at_s, self._comes, number)
        while self._events:
            self.now_s, _, happens, number = heapq.heappop(self._events)
            happens(number)
            self._go_on()
        assert len(self.answered_s) + self.refused == REQUESTS

    @property
    def late(self):
        """The share of the answers that missed the objective."""
        return sum(seconds > OBJECTIVE_S for seconds in self.answered_s) / len(self.answered_s)

    @property
    def in_time_a_second(self):
        return sum(seconds <= OBJECTIVE_S for seconds in self.answered_s) / self.now_s

    def _at(self, at_s, happens, number=None):
        heapq.heappush(self._events, (at_s, next(self._order), happens, number))

    def _queues(self):
        spent_s = sum(self.now_s - start_s for start_s in self._decoding.values())
        threads = Decoding(self._plant.threads, len(self._to_decode), len(self._decoding), spent_s)
        running = None if self._batch is None else Running(len(self._batch[1]), self._batch[0])
        return len(self._to_decode) + len(self._decoding) + len(self._to_compute), running, threads

    def _admits(self):
        waiting, running, threads = self._queues()
        waits = bool(self._to_compute) or threads.busy
        if waiting >= CAPACITY or not (waits or running):
            return waiting < CAPACITY
        outlook = self._forecast.outlook(waiting, running, self.now_s, threads)
        return why_late(outlook, self._timeout_s, 0.0, self._objective_s if waits else None) is None

    def _comes(self, number):
        if self._admits():
            self._began_s[number] = self.now_s
            self._to_decode.append(number)
        else:
            self.refused += 1

    def _decoded(self, number):
        self._forecast.learn_decoding(self.now_s - self._decoding.pop(number))
        self._to_compute.append(number)
        waiting, running, threads = self._queues()
        newest_first = (
            SimpleNamespace(
                work_since_s=self._began_s[each],
                start_s=self._began_s[each],
                deadline_s=None if self._timeout_s is None else self._began_s[each] + self._timeout_s,
            )
            for each in reversed(self._to_decode)
        )

        def outlook(left_out):
            return self._forecast.outlook(waiting - left_out, running, self.now_s, threads.without(left_out))

        late = given_up(newest_first, outlook, self._objective_s, self.now_s)
        self.refused += len(late)
        del self._to_decode[len(self._to_decode) - len(late) :]

    def _computed(self, _):
        start_s, batch = self._batch
        self._batch = None
        self._forecast.learn(len(batch), self.now_s - start_s)
        self.answered_s += [self.now_s - self._began_s[each] for each in batch]

    def _go_on(self):
        while self._to_decode and len(self._decoding) < self._plant.threads:
            number = self._to_decode.pop(0)
            self._decoding[number] = self.now_s
            take_s = self._random.lognormvariate(-0.125, 0.5) * self._plant.item_s  # of mean 1
            self._at(self.now_s + take_s, self._decoded, number)
        if self._batch is None and self._to_compute:
            decision = next_batch(self._policy, len(self._to_compute), Wait(), self.now_s)
            assert isinstance(decision, Take)
            self._batch = self.now_s, self._to_compute[: decision.size]
            del self._to_compute[: decision.size]
            take_s = self._plant.batch_s(decision.size) * self._random.uniform(0.95, 1.1)
            self._at(self.now_s + take_s, self._computed)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("load", [1.0, 2.0, 10.0])
@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
def test_under_overload_those_who_are_let_in_are_answered_in_time_and_nothing_lies_idle(plant, load, seed):
    course = Course(plant, load, seed)
    assert course.late < 0.03
    assert max(course.answered_s) < 1.3 * OBJECTIVE_S
    assert course.in_time_a_second > 0.9 * plant.rate


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
def test_clients_that_say_how_long_they_wait_are_let_in_only_if_that_is_enough(plant):
    course = Course(plant, 2.0, timeout_s=OBJECTIVE_S, objective_s=None)
    assert course.late < 0.03
    assert course.in_time_a_second > 0.9 * plant.rate


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
def test_at_half_of_what_can_be_done_hardly_anybody_is_refused(plant):
    course = Course(plant, 0.5)
    assert course.refused < 0.01 * REQUESTS
    assert course.late == 0


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
def test_at_the_capacity_that_autoscalers_are_told_hardly_anybody_is_refused_or_late(plant):
    stages = Stages(
        plant.per_item_s,
        plant.fixed_s,
        plant.cap,
        threads=plant.threads,
        decode_s=plant.item_s,
        decoded=1.0,
    )
    assert stages.saturated_per_s == pytest.approx(plant.rate)
    course = Course(plant, capacity_per_s(stages, OBJECTIVE_S) / plant.rate)
    assert course.refused < 0.01 * REQUESTS
    assert course.late < 0.01
