"""A request on its way: from the moment it is due until it is recorded."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tailgate.harness.load.wire.server_timing import UNTOLD, Stages

if TYPE_CHECKING:
    from tailgate.harness.load.wire.connection import Connection


@dataclass(slots=True, eq=False)
class Flight:
    """What is known of one request so far; times in nanoseconds, 0 for not yet."""

    request: int
    payload: int
    intended_ns: int
    dispatched_ns: int
    behaviour: int = 0  # a Behaviour
    sent_ns: int = 0
    first_byte_ns: int = 0
    bytes_received: int = 0
    connection: int = 0
    carrier: "Connection | None" = None  # while it is on one
    status: int = 0
    kept: bytes = b""  # the first bytes of an answer that is no good one
    why: str = ""  # why there was no answer
    stale_retries: int = 0
    retry_after_s: float = math.nan
    stages: Stages = UNTOLD
    ended: bool = False  # recorded, and to be passed over wherever it still stands in a queue
