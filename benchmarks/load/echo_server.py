"""The barest server, on uvloop: it answers every request at once.

    python -m benchmarks.load.echo_server [PROCESSOR]

It parses requests, as any server must, so that every client may be measured against it. It prints its port, then serves
until its standard input ends.
"""

import asyncio
import sys
from typing import Any

import httptools
import uvloop

from tailgate.harness.load.echo import ANSWER, serve


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


if __name__ == "__main__":
    uvloop.run(serve(Echo, *sys.argv[1:]))
