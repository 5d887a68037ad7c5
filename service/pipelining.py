"""When bytes are read from a connection on which requests wait for their turn.

uvicorn reads on with each answer, and with each look of an application at its body, however many requests wait behind it;
each read may hold thousands more.
"""

from collections import deque
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.flow_control import FlowControl

if TYPE_CHECKING:
    import asyncio

# Requests that wait behind the one that is answered; the last of them ends the connection. Browsers never sent more than 8.
MAX_PIPELINED = 64


class Flow(FlowControl):
    """uvicorn's flow control, which reads on only where nothing waits.

    Attributes:
        stopped: nothing more is read, whoever asks.
    """

    def __init__(self, transport: "asyncio.Transport", pipeline: deque[Any]) -> None:
        super().__init__(transport)
        self._pipeline = pipeline
        self.stopped = False

    def resume_reading(self) -> None:
        """Read on, unless requests wait for their turn; the protocol asks again when they have had it."""
        if self.read_paused and not self._pipeline and not self.stopped:
            super().resume_reading()

    def stop_reading(self) -> None:
        """Read nothing more."""
        self.stopped = True
        self.pause_reading()
