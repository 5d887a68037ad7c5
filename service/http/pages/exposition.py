"""``/metrics`` for many who ask at once: one rendering at a time, shared by those who wait for it, with a rest after each.

A rendering takes milliseconds of the interpreter lock, which the event loop and the executor need. Nobody gets a rendering
that began before it was asked for: whoever has its answer and then asks finds that request counted.
"""

import asyncio
from collections.abc import Awaitable, Callable

# A rendering is followed by so many times its own length without one, and by this many seconds at most.
REST_SHARE = 4
LONGEST_REST_S = 0.05


class Exposition:
    """The text of ``/metrics``. All methods are called on the event loop, whose clock it keeps.

    Args:
        render: returns the text as it is when called, in the format of a media type.
    """

    def __init__(self, render: Callable[[str], Awaitable[bytes]]) -> None:
        self._render = render
        self._at_work = asyncio.Lock()
        self._next: dict[str, asyncio.Task[bytes]] = {}  # by media type
        self._rested_s = 0.0

    async def text(self, media_type: str) -> bytes:
        """Return the next rendering to begin in a format."""
        if media_type not in self._next:
            self._next[media_type] = asyncio.create_task(self._render_next(media_type))
        # One who asked and left takes it from nobody else.
        return await asyncio.shield(self._next[media_type])

    async def _render_next(self, media_type: str) -> bytes:
        loop = asyncio.get_running_loop()
        async with self._at_work:
            await asyncio.sleep(self._rested_s - loop.time())
            del self._next[media_type]
            began_s = loop.time()
            try:
                return await self._render(media_type)
            finally:
                ended_s = loop.time()
                self._rested_s = ended_s + min(REST_SHARE * (ended_s - began_s), LONGEST_REST_S)
