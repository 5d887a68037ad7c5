"""A server that streams tokens by a known law, and records when it wrote each.

    python -m benchmarks.load.stream_server PROCESSOR TRUTH_FILE

It answers every request with server-sent events: the first after an exponential time, then 20 more, each after a fixed
time and an exponential one. It is an asyncio program, as most that stream are. What it waits is only about what the law
says, so that the truth is its own record: the monotonic clock at each write, by the id of the request. When standard input
ends, it writes the record as JSON.
"""

import asyncio
import contextlib
import os
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import httptools
import numpy as np
import orjson

from tailgate.harness.load.echo import serve

SEED = 12
FIRST_S, LEAST_GAP_S, MORE_GAP_S, FURTHER = 0.020, 0.002, 0.006, 20
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = b'data: {"token": "and"}\n\n'
CHUNK = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
END = b"0\r\n\r\n"


class Stream(asyncio.Protocol):
    """One connection; ``truth`` takes the moments of every write by the request's id."""

    def __init__(self, random: np.random.Generator, truth: dict[str, list[int]]) -> None:
        self._random = random
        self._truth = truth
        self._id = ""

    def connection_made(self, transport: Any) -> None:
        """Prepare a parser for the connection."""
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take the request's id (called by the parser)."""
        if name.lower() == b"x-request-id":
            self._id = value.decode()

    def on_message_complete(self) -> None:
        """Send the head at once, and plan the first token (called by the parser)."""
        self._transport.write(HEAD)
        loop = asyncio.get_running_loop()
        loop.call_later(self._random.exponential(FIRST_S), self._write, self._truth[self._id], FURTHER)

    def _write(self, written_ns: list[int], further: int) -> None:
        if self._transport.is_closing():  # a client may leave with requests open
            return
        # Taken before the write: on the loopback the write delivers at once, and is transport.
        written_ns.append(time.monotonic_ns())
        self._transport.write(CHUNK if further else CHUNK + END)
        if further:
            gap_s = LEAST_GAP_S + self._random.exponential(MORE_GAP_S)
            asyncio.get_running_loop().call_later(gap_s, self._write, written_ns, further - 1)


def main(processor: str, file: Path) -> None:
    """Serve, then write the truth."""
    random, truth = np.random.default_rng(SEED), defaultdict[str, list[int]](list)
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    asyncio.run(serve(lambda: Stream(random, truth), processor))
    file.write_bytes(orjson.dumps(truth))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
