"""One of the inputs of a request that may have several: what waits for a decoding thread and for a batch."""

from collections.abc import Callable
from typing import Any, Protocol

from tailgate.service.batching.requests.timing import Timeline
from tailgate.service.errors import RequestError
from tailgate.service.models.items import Item, Result


class Owner(Protocol):
    """The request whose input a row is.

    Attributes:
        request_id: from its head, None where it has none.
        start_s: when its head was complete.
        deadline_s: after which its answer is useless, None for never.
    """

    request_id: bytes | None
    start_s: float
    deadline_s: float | None

    def row_decoded(self, row: "Row", outcome: object) -> None:
        """Go on with what decoding a row returned or raised."""

    def row_computed(self, row: "Row") -> None:
        """Go on with a row's outcome."""

    def refuse(self, error: BaseException) -> None:
        """Answer the whole request with an error."""


class Row(Timeline):
    """One input. Its attributes are those of :class:`~tailgate.service.batching.policy.Queued` and of a worker's request."""

    # What is not known yet stands in the class.
    index: int = 0
    waiting: bool = False
    outcome: Result | RequestError | None = None
    work: Callable[[], object] | None = None

    def __init__(self, owner: Owner, index: int, item: Item | None, whole_s: float) -> None:
        self.owner = owner
        self.index = index
        self.item: Any = item  # None while it is to be decoded
        self.request_id = owner.request_id
        self.start_s = owner.start_s
        self.whole_s = self.queued_s = whole_s
        self.deadline_s = owner.deadline_s

    def worked(self, outcome: object, run_s: float) -> None:
        """Go on after a decoding thread."""
        self.decode_s = run_s
        self.owner.row_decoded(self, outcome)

    def computed(self) -> None:
        """Go on after the batch."""
        self.owner.row_computed(self)

    def refuse(self, error: BaseException) -> None:
        """Answer the whole request with an error."""
        self.owner.refuse(error)
