"""The rule of dynamic batching: who goes now. No threads, no clock.

:func:`next_batch` is the rule, :class:`BatchQueue` the bounded queue that it is applied to. Both take the time as an argument,
so that tests run them in virtual time. :mod:`tailgate.service.batching.dispatcher` adds a lock, a clock and a thread.

A free executor takes all waiting requests at once, up to the cap, unless others are about to come: those that are being decoded
on the same processors (:mod:`tailgate.service.batching.decoded`), or clients that have just been answered
(:mod:`tailgate.service.batching.returning`). A lone request is never delayed. With a window, the executor waits for
more requests, counted from the arrival of the oldest one. Either wait ends when the batch is full, when nobody else may come,
or where a deadline lies within it.

A batch can be bound while another one runs only if it is full or nobody else can come, since waiting gains nothing then. It
is not bound if a deadline passes before it could start: what is bound is computed.

A request that has expired is never bound. Its timer (:class:`tailgate.service.batching.requests.request.Request`) answers it.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

from tailgate.service.batching.decoded import PATIENCE, Coming, worthwhile
from tailgate.service.batching.returning import Returning
from tailgate.service.errors import QueueFull, Unavailable


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """How large a batch may be, and how long one may wait to become so."""

    max_batch_size: int  # requests in a batch, at most
    queue_capacity: int  # requests waiting, at most
    max_wait_s: float | None = 0.0  # the batching window; 0 never waits, None waits for those about to come
    limit_s: float = 0.0  # seconds after which a batch that runs counts as hung; 0 for never

    @property
    def full(self) -> int:
        """Requests that nobody joins: a whole batch, or as many as may wait."""
        return min(self.max_batch_size, self.queue_capacity)


@dataclass(frozen=True, slots=True)
class Take:
    """Run the ``size`` oldest requests now."""

    size: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Run nothing yet: look again at ``until_s``, or when ``size`` requests wait."""

    until_s: float | None = None  # None: only the number of requests matters
    size: int = 1  # how many make a batch that is worth running at once


def next_batch(
    policy: BatchPolicy,
    waiting: int,
    held: Wait,
    now_s: float,
    *,
    deadline_s: float = math.inf,
    closed: bool = False,
    busy: bool = False,
) -> Take | Wait:
    """Decide what a free executor does, or what is put together for a busy one.

    Args:
        policy: the cap.
        waiting: requests in the queue.
        held: how long it waits for others while nothing changes; a time that has passed where it does not.
        now_s: the present, on the clock of ``held``.
        deadline_s: the earliest of those who wait: a wait that lasts until then would last until it is too late.
        closed: nothing more will come, so nothing is worth waiting for.
        busy: a batch runs, and this one would stand behind it.
    """
    if not waiting:
        return Wait()
    if waiting >= policy.full or closed:
        return Take(min(waiting, policy.max_batch_size))
    if busy:
        return Wait()
    if held.until_s is None or now_s >= held.until_s or deadline_s <= held.until_s:
        return Take(waiting)
    return held


class Queued(Protocol):
    """What a queue knows of a request."""

    item: Any  # one model input
    queued_s: float  # when the input was complete, and began to wait for a batch
    deadline_s: float | None  # after which the answer is useless, None for never
    waiting: bool  # it is in the queue
    bound_s: float | None  # when its batch had the executor to itself, None before it is bound to a batch
    batch_size: int  # requests in its batch, 0 before
    computed_s: float | None  # seconds that its batch took, None before its end
    outcome: Any  # result or error of its batch, None before its end


Q = TypeVar("Q", bound=Queued)
_AT_ONCE = Wait()


class BatchQueue(Generic[Q]):
    """The requests that wait, oldest first. Not safe for threads by itself.

    Args:
        policy: the rule of batching.
        expected_s: seconds of a batch by its size.
        coming: what is being decoded on the processors that the batches need.
    """

    def __init__(
        self,
        policy: BatchPolicy,
        expected_s: Callable[[int], float] = lambda _: 0.0,
        coming: Callable[[], Coming] = Coming,
    ) -> None:
        self.policy = policy
        self._returning = Returning(expected_s)
        self._expected_s = expected_s
        self._coming = coming
        self.closed = False
        self._waiting: deque[Q] = deque()
        # How many of them have a deadline: where nobody has one, nobody is looked at.
        self._with_deadline = 0

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    def put(self, request: Q) -> None:
        """Accept a request.

        Raises:
            QueueFull: as many wait as may.
            Unavailable: the queue is closed.
        """
        if self.closed:
            raise Unavailable(
                "the service is stopping and takes no new requests; send this one to another replica"
            )
        if len(self._waiting) >= self.policy.queue_capacity:
            raise QueueFull(len(self._waiting), self.policy.queue_capacity)
        self._waiting.append(request)
        self._returning.arrived(request.queued_s)
        request.waiting = True
        self._with_deadline += request.deadline_s is not None

    def put_all(self, requests: Sequence[Q]) -> None:
        """Accept several requests or none of them; raises what :meth:`put` raises."""
        if len(self._waiting) + len(requests) > self.policy.queue_capacity:
            raise QueueFull(len(self._waiting), self.policy.queue_capacity, items=len(requests))
        for request in requests:
            self.put(request)

    def withdraw(self, request: Q) -> bool:
        """Take a request back; False when a batch has it already, or it is not in the queue."""
        if not request.waiting:
            return False
        self._waiting.remove(request)
        self._leave(request)
        return True

    def take(self, now_s: float, busy_until_s: float | None = None) -> tuple[list[Q], Wait | None]:
        """Bind the next batch.

        Args:
            now_s: the present.
            busy_until_s: a batch runs, probably until then, and this one would stand behind it; None for a free executor.

        Returns:
            The requests of the batch, and how long to wait where there are none.
        """
        waiting = self._waiting
        held = _AT_ONCE
        if (
            waiting
            and busy_until_s is None
            and self.policy.max_wait_s != 0
            and len(waiting) < self.policy.full
        ):
            held = self._hold(len(waiting), waiting[0].queued_s)
        decision = next_batch(
            self.policy,
            len(waiting),
            held,
            now_s,
            deadline_s=math.inf if held is _AT_ONCE else self._earliest_s(len(waiting)),
            closed=self.closed,
            busy=busy_until_s is not None,
        )
        if isinstance(decision, Wait):
            return [], decision
        if busy_until_s is not None and self._earliest_s(decision.size) <= busy_until_s:
            return [], Wait()
        batch: list[Q] = []
        while waiting and len(batch) < decision.size:
            request = waiting.popleft()
            self._leave(request)
            # A request that has expired is computed for nobody; its timer answers it.
            if request.deadline_s is None or request.deadline_s > now_s:
                batch.append(request)
        if not batch:
            return self.take(now_s, busy_until_s)
        for request in batch:
            request.bound_s = now_s
            request.batch_size = len(batch)
        return batch, None

    def ended(self, now_s: float, size: int) -> None:
        """Note the end of a batch of ``size``, whose answers leave now."""
        self._returning.ended(now_s, size)

    def close(self) -> None:
        """Accept nothing more; what waits will still be taken."""
        self.closed = True

    def _hold(self, waiting: int, oldest_s: float) -> Wait:
        """Return how long a free executor waits for others, and for how many; a time that has passed where it does not.

        ``waiting`` requests are fewer than a full batch, and the oldest of them has waited since ``oldest_s``.
        """
        full = self.policy.full
        if self.policy.max_wait_s is not None:
            return Wait(oldest_s + self.policy.max_wait_s, full)
        coming = self._coming()
        size = min(full, worthwhile(waiting, coming, self._expected_s)) if coming.inputs else 0
        if size > waiting:
            return Wait(oldest_s + PATIENCE * size * coming.each_s, size)
        until_s = self._returning.until_s(waiting, full - waiting)
        return Wait(until_s, min(full, waiting + self._returning.away))

    def _leave(self, request: Q) -> None:
        request.waiting = False
        self._with_deadline -= request.deadline_s is not None

    def _earliest_s(self, count: int) -> float:
        """Return the earliest deadline of the ``count`` oldest, infinity where they have none."""
        if not self._with_deadline:
            return math.inf
        oldest = islice(self._waiting, count)
        return min((each.deadline_s for each in oldest if each.deadline_s is not None), default=math.inf)
