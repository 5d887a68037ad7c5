"""The service's own queue in virtual time: the rates and latencies that batching itself causes, on a machine without noise.

The event loop reads and answers one request at a time. The executor takes t(n) for a batch of n. Nothing else takes time.
"""

import heapq
import itertools
import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tailgate.service.batching.policy import BatchQueue

ROUND_TRIP_S = 100e-6


@dataclass(eq=False, slots=True)
class Asked:
    """A request, as the queue knows it."""

    item: int  # its client
    sent_s: float
    queued_s: float = 0.0
    deadline_s: float | None = None
    waiting: bool = False
    bound_s: float | None = None
    batch_size: int = 0
    computed_s: float | None = None
    outcome: Any = None


class Closed:
    """Clients that send again when they have their answer, after a time to think where there is one."""

    def __init__(self, clients: int, think_s: float = 0.0, round_trip_s: float = ROUND_TRIP_S) -> None:
        self.clients, self.think_s, self.round_trip_s = clients, think_s, round_trip_s

    def first(self, dice: random.Random) -> Iterable[tuple[float, int]]:
        """Yield the times of the first requests, with their clients."""
        return [(dice.random() / 1000, client) for client in range(self.clients)]

    def again_s(self, _client: int, dice: random.Random) -> float | None:
        """Return after how long a client sends again."""
        think_s = dice.expovariate(1 / self.think_s) if self.think_s else 0.0
        return self.round_trip_s * dice.uniform(0.7, 1.6) + think_s


class Open:
    """Requests that come at times of their own, singly or in bursts."""

    def __init__(self, rate_per_s: float, count: int, burst: int = 1, apart_s: float = 0.0) -> None:
        self.rate_per_s, self.count, self.burst, self.apart_s = rate_per_s, count, burst, apart_s

    def first(self, dice: random.Random) -> Iterable[tuple[float, int]]:
        """Yield the times of all requests."""
        time_s = 0.0
        for number in range(0, self.count, self.burst):
            time_s += dice.expovariate(self.rate_per_s / self.burst)
            for place in range(self.burst):
                yield time_s + place * self.apart_s, -1 - number - place

    def again_s(self, _client: int, _dice: random.Random) -> float | None:
        """Nobody sends again."""
        return None


class Both:
    """A closed loop and an open one."""

    def __init__(self, closed: Closed, opened: Open) -> None:
        self.closed, self.opened = closed, opened

    def first(self, dice: random.Random) -> Iterable[tuple[float, int]]:
        """Yield the first requests of the one and all of the other."""
        return itertools.chain(self.closed.first(dice), self.opened.first(dice))

    def again_s(self, client: int, dice: random.Random) -> float | None:
        """Return after how long a client of the closed loop sends again."""
        return self.closed.again_s(client, dice) if client >= 0 else None


class At:
    """Requests at given times."""

    def __init__(self, times_s: Sequence[float]) -> None:
        self.times_s = times_s

    def first(self, _dice: random.Random) -> Iterable[tuple[float, int]]:
        """Return all times."""
        return [(time_s, -1 - number) for number, time_s in enumerate(self.times_s)]

    def again_s(self, _client: int, _dice: random.Random) -> float | None:
        """Nobody sends again."""
        return None


Clients = Closed | Open | Both | At
BatchTime = Callable[[int], float]


@dataclass(slots=True)
class World:
    """One service and its clients, in virtual time.

    Attributes:
        queue: the service's own.
        batch_s: t(n), seconds of a batch by its size.
        clients: who sends.
        event_loop_s: seconds of reading a request, and again of answering it.
        spread: of t(n), lognormal; 0 for none.
        latencies_s: from each sending to its answer, in the order of the answers.
        ended_s: when the last thing happened.
    """

    queue: BatchQueue[Asked]
    batch_s: BatchTime
    clients: Clients
    event_loop_s: float = 0.0
    spread: float = 0.0
    dice: random.Random = field(default_factory=lambda: random.Random(7))
    agenda: list[tuple[float, int, Callable[[float], None]]] = field(default_factory=list)
    order: Iterator[int] = field(default_factory=itertools.count)
    loop_free_s: float = 0.0
    busy: bool = False
    latencies_s: list[float] = field(default_factory=list)
    ended_s: float = 0.0

    def at(self, time_s: float, what: Callable[[float], None]) -> None:
        """Have something happen."""
        heapq.heappush(self.agenda, (time_s, next(self.order), what))

    def run(self, requests: float = math.inf) -> None:
        """Let time pass until so many requests have been answered, or all."""
        for time_s, client in self.clients.first(self.dice):
            self.at(time_s, partial(self.send, client))
        while self.agenda and len(self.latencies_s) < requests:
            now_s, _, what = heapq.heappop(self.agenda)
            what(now_s)
            self.ended_s = now_s

    def send(self, client: int, now_s: float) -> None:
        """Have a request read when the event loop has the time."""
        request = Asked(client, now_s)
        self.at(self.turn(now_s), partial(self.read, request))

    def turn(self, now_s: float) -> float:
        """Take one turn of the event loop; return when it ends."""
        self.loop_free_s = max(self.loop_free_s, now_s) + self.event_loop_s
        return self.loop_free_s

    def read(self, request: Asked, now_s: float) -> None:
        """Queue a request."""
        request.queued_s = now_s
        self.queue.put(request)
        self.look(now_s)

    def look(self, now_s: float) -> None:
        """Do what a free executor does."""
        if self.busy:
            return
        batch, wait = self.queue.take(now_s)
        if batch:
            self.busy = True
            factor = self.dice.lognormvariate(0, self.spread) if self.spread else 1.0
            self.at(now_s + factor * self.batch_s(len(batch)), partial(self.end, batch))
        elif wait is not None and wait.until_s is not None:
            self.at(wait.until_s, self.look)

    def end(self, batch: list[Asked], now_s: float) -> None:
        """End a batch, and answer its requests one after the other."""
        self.busy = False
        self.queue.ended(now_s, len(batch))
        for request in batch:
            answered_s = self.turn(now_s)
            self.latencies_s.append(answered_s - request.sent_s)
            again_s = self.clients.again_s(request.item, self.dice)
            if again_s is not None:
                self.at(answered_s + again_s, partial(self.send, request.item))
        self.look(now_s)
