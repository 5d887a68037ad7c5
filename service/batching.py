"""Who goes now: the rule of dynamic batching, without threads and without a clock.

:func:`next_batch` is the rule. :class:`BatchQueue` is the bounded queue that it is applied to: it takes time as an
argument, so that tests run it in virtual time. :mod:`tailgate.service.batcher` puts a lock, a clock and a thread around it.

The rule is work-conserving and binds late: whenever the executor is free, whatever waits goes, up to the cap, at that
moment. A lone request is never delayed. With a window, the executor waits for company, counted from the oldest
request's arrival, and no longer once the batch is full, nobody else may come, or somebody's deadline lies within it.

Where the next batch can be put together while one runs, it is bound before the executor is free only if it is full, or
nobody else can come: it has nothing to gain by waiting then. Nor is it bound if somebody's deadline passes before it could
start: what is bound is computed.
"""

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from tailgate.service.errors import Expired, QueueFull, Unavailable


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """How large a batch may be, and how long one may wait to become so.

    Attributes:
        max_batch_size: requests in a batch, at most.
        queue_capacity: requests waiting, at most.
        max_wait_s: the batching window; 0 never waits.
    """

    max_batch_size: int
    queue_capacity: int
    max_wait_s: float = 0.0

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
    """Run nothing yet: look again at ``until_s``, or when something changes; None: only when something changes."""

    until_s: float | None = None


def next_batch(
    policy: BatchPolicy,
    waiting: int,
    oldest_s: float | None,
    now_s: float,
    *,
    deadline_s: float = math.inf,
    closed: bool = False,
    busy: bool = False,
) -> Take | Wait:
    """Decide what a free executor does, or what is put together for a busy one.

    Args:
        policy: cap and window.
        waiting: requests in the queue.
        oldest_s: arrival of the oldest, None when none waits.
        now_s: the present, on the clock of ``oldest_s``.
        deadline_s: the earliest of those who wait: a window that is still open then would be held open until it is too late.
        closed: nothing more will come, so nothing is worth waiting for.
        busy: a batch runs, and this one would stand behind it.
    """
    if not waiting or oldest_s is None:
        return Wait()
    if waiting >= policy.full or closed:
        return Take(min(waiting, policy.max_batch_size))
    if busy:
        return Wait()
    end_s = oldest_s + policy.max_wait_s
    if now_s >= end_s or deadline_s <= end_s:
        return Take(waiting)
    return Wait(until_s=end_s)


class Ticket:
    """One accepted request: its item, and what has become of it.

    Attributes:
        item: one model input.
        queued_s: when its input was there, and it began to wait for a batch.
        deadline_s: after which it need not be computed, None for never.
        bound_s: when its batch had the executor to itself, None before it is bound to one.
        decode_wait_s: seconds that it has waited for a decoding thread before.
        computed_s: seconds that its batch took, None before it has run.
        batch_size: requests in its batch, 0 before.
        outcome: its result or its error, None before its end.
        ended: called with the ticket at its end, on the event loop; nothing here touches it.
    """

    __slots__ = (
        "batch_size",
        "bound_s",
        "computed_s",
        "deadline_s",
        "decode_wait_s",
        "ended",
        "item",
        "outcome",
        "queued_s",
    )

    def __init__(
        self, item: Any, queued_s: float, deadline_s: float | None = None, decode_wait_s: float = 0.0
    ) -> None:
        self.item = item
        self.decode_wait_s = decode_wait_s
        self.queued_s = queued_s
        self.deadline_s = deadline_s
        self.bound_s: float | None = None
        self.computed_s: float | None = None
        self.batch_size = 0
        self.outcome: Any = None
        self.ended: Any = None

    @property
    def waited_s(self) -> float:
        """Seconds in which it waited for a decoding thread and for its batch."""
        return self.decode_wait_s + ((self.bound_s or self.queued_s) - self.queued_s)


class BatchQueue:
    """The requests that wait, oldest first. Not safe for threads by itself."""

    def __init__(self, policy: BatchPolicy) -> None:
        self.policy = policy
        self.closed = False
        self._waiting: deque[Ticket] = deque()
        # No deadline passes before this: nobody looks for late requests where there cannot be any.
        self._no_deadline_before_s = math.inf

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    def put(self, ticket: Ticket) -> None:
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
        self._waiting.append(ticket)
        if ticket.deadline_s is not None:
            self._no_deadline_before_s = min(self._no_deadline_before_s, ticket.deadline_s)

    def withdraw(self, ticket: Ticket) -> bool:
        """Take a request back whose client has gone; False when a batch has it already, or it has ended."""
        try:
            self._waiting.remove(ticket)
        except ValueError:
            return False
        return True

    def take(self, now_s: float, busy_until_s: float | None = None) -> tuple[list[Ticket], Wait | None]:
        """Bind the next batch; ``busy_until_s``: to stand behind one that runs, and is expected to do so until then.

        Requests whose deadline has passed leave the queue with :class:`Expired` as their outcome and are part of the
        returned list with ``bound_s`` None: they have ended, and are not to be computed.

        Returns:
            The tickets that leave the queue now, and how long to wait where none is bound to a batch.
        """
        expired, _ = self.expire(now_s)
        oldest_s = self._waiting[0].queued_s if self._waiting else None
        windowed = self.policy.max_wait_s > 0 and len(self._waiting) < self.policy.full
        decision = next_batch(
            self.policy,
            len(self._waiting),
            oldest_s,
            now_s,
            deadline_s=_earliest_s(self._waiting) if windowed else math.inf,
            closed=self.closed,
            busy=busy_until_s is not None,
        )
        if isinstance(decision, Wait):
            return expired, decision
        # The bound first: most requests have no deadline, and nobody need be looked at.
        if (
            busy_until_s is not None
            and self._no_deadline_before_s <= busy_until_s
            and _earliest_s(islice(self._waiting, decision.size)) <= busy_until_s
        ):
            return expired, Wait()
        batch = [self._waiting.popleft() for _ in range(decision.size)]
        for ticket in batch:
            ticket.bound_s = now_s
            ticket.batch_size = decision.size
        return expired + batch, None

    def expire(self, now_s: float) -> tuple[list[Ticket], float]:
        """Take out what is late, its outcome :class:`Expired`.

        Returns:
            It, and a time before which no other deadline passes, infinity for never.
        """
        if now_s < self._no_deadline_before_s:
            return [], self._no_deadline_before_s
        expired: list[Ticket] = []
        next_deadline_s = math.inf
        for ticket in self._waiting:
            if ticket.deadline_s is None:
                continue
            if ticket.deadline_s <= now_s:
                ticket.outcome = Expired("the request's deadline passed while it waited in the queue")
                expired.append(ticket)
            else:
                next_deadline_s = min(next_deadline_s, ticket.deadline_s)
        if expired:
            self._waiting = deque(ticket for ticket in self._waiting if ticket.outcome is None)
        self._no_deadline_before_s = next_deadline_s
        return expired, next_deadline_s

    def close(self) -> None:
        """Accept nothing more; what waits will still be taken."""
        self.closed = True


def _earliest_s(tickets: Iterable[Ticket]) -> float:
    """Return the earliest deadline, infinity where there is none."""
    return min((ticket.deadline_s for ticket in tickets if ticket.deadline_s is not None), default=math.inf)
