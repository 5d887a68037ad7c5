"""Headers that every answer carries: for a client that is a browser, or a cache on the way.

Under ``python -m tailgate.service`` uvicorn adds them, on both edges (:mod:`tailgate.service.server`); under another server, which knows
nothing of them, :class:`AddHeaders` does. No answer ever has an ``Access-Control`` header: no page of another origin may
read one.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]

# A body is what its type says, never a script; and an answer belongs to who asked, not to who asks next.
SECURITY_HEADERS = {"x-content-type-options": "nosniff", "cache-control": "no-store"}
_ENCODED = [(name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]


class AddHeaders:
    """ASGI middleware that adds them to each answer."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Pass on the request, and the answer with the headers."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_ENCODED]
            await send(message)

        await self._app(scope, receive, send_with_headers)
