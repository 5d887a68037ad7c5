"""One of the inputs of a request that may have several: what waits for a decoding thread and for a batch."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tailgate.service.batching.requests.timing import Timeline
from tailgate.service.errors import RequestError
from tailgate.service.models.items import Item, Result

if TYPE_CHECKING:
    from tailgate.service.batching.requests.infer import InferRequest


class Row(Timeline):
    """One input. Its attributes are those of :class:`~tailgate.service.batching.policy.Queued` and of a worker's request."""

    # What is not known yet stands in the class.
    waiting: bool = False
    outcome: Result | RequestError | None = None
    work: Callable[[], object] | None = None

    def __init__(self, owner: "InferRequest", index: int, item: Item | None, whole_s: float) -> None:
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
