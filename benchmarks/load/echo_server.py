"""The barest server, on uvloop: it answers every request at once.

    python -m benchmarks.load.echo_server [PROCESSOR]

It parses requests, as any server must, so that every client may be measured against it. It prints its port, then serves
until its standard input ends.
"""

import asyncio
import os
import sys
from typing import Any

import httptools
import uvloop

from tailgate.harness.load.echo import ANSWER


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
