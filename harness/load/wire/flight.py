"""A request on its way: from the moment it is due until it is recorded."""

import math
from typing import TYPE_CHECKING

from tailgate.harness.load.wire.server_timing import UNTOLD, Stages

if TYPE_CHECKING:
    from tailgate.harness.load.wire.connection import Connection


class Flight:
    """What is known of one request so far; times in nanoseconds, 0 for not yet."""

    __slots__ = (
        "behaviour",
        "bytes_received",
        "carrier",
        "connection",
        "dispatched_ns",
        "ended",
        "first_byte_ns",
        "intended_ns",
        "kept",
        "payload",
        "request",
        "retry_after_s",
        "sent_ns",
        "stages",
        "stale_retries",
        "status",
        "why",
    )

    def __init__(
        self, request: int, payload: int, intended_ns: int, dispatched_ns: int, behaviour: int = 0
    ) -> None:
        self.request = request
        self.payload = payload
        self.intended_ns = intended_ns
        self.dispatched_ns = dispatched_ns
        self.behaviour = behaviour  # a Behaviour
        self.sent_ns = 0
        self.first_byte_ns = 0
        self.bytes_received = 0
        self.connection = 0
        self.carrier: Connection | None = None  # while it is on one
        self.status = 0
        self.kept = b""  # the first bytes of an answer that is no good one
        self.why = ""  # why there was no answer
        self.stale_retries = 0
        self.retry_after_s = math.nan
        self.stages: Stages = UNTOLD
        self.ended = False  # recorded, and to be passed over wherever it still stands in a queue
