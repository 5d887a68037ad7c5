"""The server that the generator is measured against: it answers at once, whatever is asked, on uvloop.

    python benchmarks/echo_server.py [PROCESSOR]

Prints its port, then serves until its standard input ends.
"""

import asyncio
import os
import sys
from typing import Any

import httptools
import uvloop

BODY = b'{"class": 281, "label": "tabby"}'
TIMING = (
    b'queue;dur=1.234, decode;dur=0.512, compute;dur=3.250, encode;dur=0.101, total;dur=5.097, batch;desc="8"'
)
ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nserver-timing: %b\r\ncontent-length: %d\r\n\r\n%b"
    % (TIMING, len(BODY), BODY)
)


class Echo(asyncio.Protocol):
    """Answers each request with the same bytes."""

    def connection_made(self, transport: Any) -> None:
        """Prepare a parser for the connection."""
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        """Answer (called by the parser)."""
        self.transport.write(ANSWER)


async def main() -> None:
    """Serve until standard input ends."""
    if len(sys.argv) > 1:
        os.sched_setaffinity(0, {int(sys.argv[1])})
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(main())
