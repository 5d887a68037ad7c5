"""What the queue knows of a request, without the request."""

from dataclasses import dataclass
from typing import Any


@dataclass(eq=False, slots=True)
class Ticket:
    """See :class:`tailgate.service.batching.policy.Queued`."""

    item: Any
    queued_s: float
    deadline_s: float | None = None
    waiting: bool = False
    bound_s: float | None = None
    batch_size: int = 0
    computed_s: float | None = None
    outcome: Any = None
