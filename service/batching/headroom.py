"""How many more requests a replica could take, and how many replicas its requests need: what autoscalers go by. Pure.

What a replica can do follows from t(n) = a·n + b, the seconds of a batch, and m, the seconds of decoding:

- While a batch of k runs, a random number of requests come, λ·t(k) on average, and they are the next batch. So its mean
  size is λ·b / (1 − λ·a), and its variance is F times that, F = 1 / (1 − (λ·a)²). A quantile is found by these two and
  the skewness beyond Poisson's, (2·F − 2) / deviation, by the first terms of Cornish and Fisher's expansion.
- Where that is more than the cap, or more than there are decoding threads, a queue builds up. With random arrivals and
  constant times its length decays by a factor e^θ per request, and θ depends only on how busy the stage is: u·(e^θ − 1) = θ.

A replica's capacity is the highest rate at which 99 of 100 requests keep the latency objective, and at most 0.8 of what its
slower stage can do: a and b and m wander, and what comes wanders too.
"""

import math
from collections import deque
from dataclasses import dataclass
from operator import sub
from typing import NamedTuple

from tailgate.service.batching.forecast import Forecast

# A stage that is busier has a queue that grows several times when a little more comes.
MOST_BUSY = 0.8
LEAST_BUSY = 0.01  # of that
# The share of the requests that may be later than the objective, and the same as a number of standard deviations.
RARE = 0.01
DEVIATIONS = 2.33
SKEWED = (DEVIATIONS**2 - 1) / 6
# What comes is averaged over this time or a little longer: an autoscaler looks every 15 s or more seldom.
WINDOW_S = 30.0
SPACING_S = 1.0  # between two counts that are kept, however often somebody scrapes
BISECTIONS = 20


class Counts(NamedTuple):
    """What a replica has counted since its start."""

    time_s: float  # when, on any clock
    asked: int  # requests to the model, with those in flight and those that were refused because of others
    answered: int  # requests with a result
    decoded: int  # requests that a decoding thread has had
    items: int  # inputs in batches

    def since(self, former: "Counts") -> "Counts":
        """Return the differences."""
        return Counts(*map(sub, self, former))


class Lately:
    """The counts of the last half minute or so, whoever scrapes and however often. Called by one thread at a time."""

    def __init__(self, first: Counts) -> None:
        self._kept = deque([first])

    def note(self, now: Counts) -> Counts:
        """Take new counts, and return what was counted since those of half a minute ago, or since the oldest."""
        kept = self._kept
        while len(kept) > 1 and now.time_s - kept[1].time_s >= WINDOW_S:
            kept.popleft()
        if now.time_s - kept[-1].time_s >= SPACING_S:
            kept.append(now)
        return now.since(kept[0])


@dataclass(frozen=True, slots=True)
class Stages:
    """What a replica's stages take, as things are."""

    item_s: float  # a of t(n) = a·n + b
    fixed_s: float  # b
    cap: int  # inputs in a batch, at most
    items: float = 1.0  # inputs of one request
    threads: int = 1  # that decode
    decode_s: float = 0.0  # m; what one request takes in a thread, 0 where none has been decoded
    decoded: float = 0.0  # the share of the requests that go through a thread

    def batch_s(self, size: float) -> float:
        """Return t(n)."""
        return self.item_s * size + self.fixed_s

    @property
    def decoding_s(self) -> float:
        """Seconds of a thread per request, whether it is decoded or not."""
        return self.decode_s * self.decoded

    @property
    def saturated_per_s(self) -> float:
        """Requests per second that the slower stage can do when all batches are full."""
        computed = self.cap / self.batch_s(self.cap) / self.items
        return min(computed, self.threads / self.decoding_s) if self.decoding_s else computed

    def latency_s(self, per_s: float) -> float:
        """Return the seconds within which 99 of 100 requests are answered, at a rate below ``saturated_per_s``."""
        return self._decoded_s(per_s) + self._computed_s(per_s * self.items)

    def _decoded_s(self, per_s: float) -> float:
        busy = per_s * self.decoding_s / self.threads
        return self.decode_s * (1 + _queue(busy, busy) / self.threads) if busy else 0.0

    def _computed_s(self, items_per_s: float) -> float:
        load = items_per_s * self.item_s
        mean = max(items_per_s * self.fixed_s / (1 - load), items_per_s * self.batch_s(1))
        spread = 1 / (1 - load**2)
        deviation = math.sqrt(mean * spread)
        largest = max(1.0, mean + DEVIATIONS * deviation + SKEWED * 2 * (spread - 1))
        if largest <= self.cap:
            return 2 * self.batch_s(largest)  # the batch before it, and its own
        larger = math.erfc((self.cap - mean) / deviation / math.sqrt(2)) / 2
        queue = _queue(items_per_s * self.batch_s(self.cap) / self.cap, larger)
        return (2 + queue / self.cap) * self.batch_s(self.cap)


def _queue(busy: float, share: float) -> float:
    """Return the length that a queue exceeds for one of 100, where a ``share`` of the requests find a queue at all.

    ``busy`` is u, the share of the time in which its stage works.
    """
    # θ, by the first terms of u·(1 + θ/2 + θ²/6) = 1.
    decay = 1.5 * (math.sqrt(1 + 8 / 3 * (1 / busy - 1)) - 1)
    return max(0.0, math.log(share / RARE) / decay)


def stages_of(lately: Counts, forecast: Forecast, cap: int, threads: int) -> Stages:
    """Return what the stages take by what has been learned, and by the requests of late."""
    item_s = forecast.expected_s(2) - forecast.expected_s(1)
    decode_s = forecast.decode_s or 0.0
    answered = lately.answered
    return Stages(
        item_s=item_s,
        fixed_s=max(0.0, forecast.expected_s(1) - item_s),
        cap=cap,
        items=max(1.0, lately.items / answered) if answered else 1.0,
        threads=threads,
        decode_s=decode_s,
        decoded=min(1.0, lately.decoded / answered) if answered else float(decode_s > 0),
    )


def capacity_per_s(stages: Stages, objective_s: float | None) -> float:
    """Return the requests per second that a replica should get.

    An objective that is missed even at the least rate is left out, since more replicas would not help to keep it.
    """
    most = MOST_BUSY * stages.saturated_per_s
    kept, missed = LEAST_BUSY * most, most
    if objective_s is None or not stages.latency_s(kept) <= objective_s < stages.latency_s(missed):
        return most
    for _ in range(BISECTIONS):
        middle = (kept + missed) / 2
        if stages.latency_s(middle) <= objective_s:
            kept = middle
        else:
            missed = middle
    return kept


@dataclass(frozen=True, slots=True)
class Headroom:
    """What a replica's requests leave, and need."""

    spare_per_s: float  # requests per second that could come besides; negative where more come than should
    replicas: float  # like this one that its requests need; the sum over all is how many there should be


def headroom(lately: Counts, stages: Stages, objective_s: float | None) -> Headroom | None:
    """Return what the requests of late leave and need; None where no time has passed."""
    if lately.time_s <= 0:
        return None
    asked_per_s = lately.asked / lately.time_s
    capacity = capacity_per_s(stages, objective_s)
    return Headroom(capacity - asked_per_s, asked_per_s / capacity)
