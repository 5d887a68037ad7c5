"""A closed loop of our own: N connections, each sending its next request when the last is answered.

    python -m benchmarks.serving.closed_loop PORT PATH BODY_FILE CONNECTIONS SECONDS [HEADER VALUE]...

Prints one line of JSON. It stands beside wrk as a second client, and measures stretches shorter than wrk's whole
seconds. A closed loop measures capacity and the latency of a lone request, but no tail under load.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httptools
import orjson
import uvloop

ANSWER_TIMEOUT_S = 10.0


@dataclass(slots=True)
class Loop:
    """What all connections share: the request, the time to stop, and what was measured."""

    request: bytes
    stop_s: float
    latencies_s: list[float] = field(default_factory=list)
    failed: int = 0


class Connection(asyncio.Protocol):
    """One request at a time, until the time to stop."""

    def __init__(self, loop: Loop, ended: asyncio.Future[None]) -> None:
        self._loop = loop
        self._ended = ended
        self._sent_s = 0.0

    def connection_made(self, transport: Any) -> None:
        """Send the first request."""
        self._transport = transport
        self._parser = httptools.HttpResponseParser(self)
        self._send()

    def data_received(self, data: bytes) -> None:
        """Parse what came of the answer."""
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        """Record the answer and send the next request (called by the parser)."""
        now_s = time.perf_counter()
        if self._parser.get_status_code() == 200:
            self._loop.latencies_s.append(now_s - self._sent_s)
        else:
            self._loop.failed += 1
        if now_s >= self._loop.stop_s:
            self._transport.close()
        else:
            self._parser = httptools.HttpResponseParser(self)
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio gives it
        """End, early or not; an early end counts as a failure."""
        if time.perf_counter() < self._loop.stop_s:
            self._loop.failed += 1
        if not self._ended.done():
            self._ended.set_result(None)

    def _send(self) -> None:
        self._sent_s = time.perf_counter()
        self._transport.write(self._loop.request)


async def run(port: int, request: bytes, connections: int, seconds: float) -> dict[str, float]:
    """Measure; return counts and seconds."""
    event_loop = asyncio.get_running_loop()
    start_s, cpu_s = time.perf_counter(), time.process_time()
    loop = Loop(request, start_s + seconds)
    ends = [event_loop.create_future() for _ in range(connections)]
    for end in ends:
        await event_loop.create_connection(partial(Connection, loop, end), "127.0.0.1", port)
    _, hanging = await asyncio.wait(ends, timeout=seconds + ANSWER_TIMEOUT_S)
    elapsed_s = time.perf_counter() - start_s
    ordered = sorted(loop.latencies_s) or [0.0]
    return {
        "requests": len(loop.latencies_s),
        "seconds": elapsed_s,
        "cpu_s": time.process_time() - cpu_s,
        "failed": loop.failed + len(hanging),
        "p50_s": ordered[len(ordered) // 2],
        "p99_s": ordered[len(ordered) * 99 // 100],
    }


def main(arguments: Sequence[str]) -> None:
    """Run one measurement."""
    port, path, body_file, connections, seconds, *headers = arguments
    with open(body_file, "rb") as file:  # noqa: PTH123 - pathlib costs start-up time here
        body = file.read()
    further = [f"{name}: {value}" for name, value in zip(headers[::2], headers[1::2], strict=True)]
    lines = [f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", *further]
    head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode()
    measured = uvloop.run(run(int(port), head + body, int(connections), float(seconds)))
    print(orjson.dumps(measured).decode())


if __name__ == "__main__":
    main(sys.argv[1:])
