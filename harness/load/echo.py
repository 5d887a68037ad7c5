"""What the generator's self-check loads: a server that costs next to nothing, in a process of its own.

    python -m tailgate.harness.load.echo REQUEST_BYTES [PROCESSOR]

All requests are of one known length, so it counts bytes and parses nothing. It prints its port, and serves until its
standard input ends.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import uvloop

# A classifier's answer, with the stages that a server tells, since reading them is part of the generator's work.
_BODY = b'{"class": 281, "label": "tabby"}'
_TIMING = (
    b'queue;dur=1.234, decode;dur=0.512, compute;dur=3.250, encode;dur=0.101, batch;desc="8", total;dur=5.097'
)
ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nserver-timing: %b\r\ncontent-length: %d\r\n\r\n%b"
    % (_TIMING, len(_BODY), _BODY)
)


class Echo(asyncio.Protocol):
    """Answers every so many bytes with the same answer."""

    def __init__(self, request_bytes: int) -> None:
        self._request_bytes = request_bytes
        self._received = 0
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        """Keep the way back; uvloop's transports are no asyncio.Transport."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request that is whole."""
        whole, self._received = divmod(self._received + len(data), self._request_bytes)
        if whole:
            self._transport.write(ANSWER * whole)


async def serve(connection: Callable[[], asyncio.Protocol], processor: str | None = None) -> None:
    """Print a port, and serve connections there until standard input ends; on one processor where it is given."""
    if processor is not None:
        os.sched_setaffinity(0, {int(processor)})
    loop = asyncio.get_running_loop()
    server = await loop.create_server(connection, "127.0.0.1", 0, backlog=1024)
    os.write(sys.stdout.fileno(), b"%d\n" % server.sockets[0].getsockname()[1])
    await loop.run_in_executor(None, sys.stdin.buffer.read)


if __name__ == "__main__":
    request, *on = sys.argv[1:]
    uvloop.run(serve(partial(Echo, int(request)), *on))
