"""What is in flight: how many requests, and the bytes of their bodies. All methods are called on the event loop."""

import asyncio

from tailgate.service.errors import BytesFull


class InFlight:
    """Requests that are read, waiting, computed or answered."""

    def __init__(self, most_bytes: int) -> None:
        self.requests = 0
        self.bytes = 0  # of their bodies so far
        self._most_bytes = most_bytes
        self._nothing = asyncio.Event()

    def require_room(self, size: int) -> None:
        """Raise BytesFull where so many bytes more would be beyond ``TAILGATE_MAX_IN_FLIGHT_BYTES``."""
        if self.bytes + size > self._most_bytes:
            raise BytesFull(self._most_bytes)

    def hold(self, size: int) -> int:
        """Count so many bytes more, and return how many; BytesFull where there is no room, and none is counted."""
        self.require_room(size)
        self.bytes += size
        return size

    def leave(self, held_bytes: int) -> None:
        """Note that a request has ended, which held so many bytes."""
        self.bytes -= held_bytes
        self.requests -= 1
        if not self.requests:
            self._nothing.set()

    async def nothing(self) -> None:
        """Wait until no request is in flight."""
        while self.requests:
            self._nothing.clear()
            await self._nothing.wait()
