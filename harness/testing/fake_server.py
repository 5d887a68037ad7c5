"""A server with a set service time and truthful metrics: what tests drive load at, without any model.

``python -m tailgate.harness.testing.fake_server --fd {fd} --service-time-ms 5`` answers ``/health/ready``, ``/metrics`` by
tailgate's names, and ``/predict``, which holds requests in one line and serves each for the set time by sleeping: its CPU
time says nothing. Requests wait, so it saturates at one over the service time; with ``--queue-capacity`` it refuses those
beyond a number that wait.
"""

import argparse
import asyncio
import signal
import socket
import time
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

BACKLOG = 2048
# Seconds, by factors of about 1.25, so that a quantile's interval is a quarter of its value wide.
LATENCY_BUCKETS_S = tuple(round(1e-4 * 1.25**power, 7) for power in range(56))
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64)
STAGES = ("queue", "decode", "compute", "encode")


def answer_of(status: HTTPStatus, body: bytes = b"", *headers: str) -> bytes:
    """Write an answer as HTTP/1.1."""
    lines = (f"HTTP/1.1 {status.value} {status.phrase}", f"Content-Length: {len(body)}", *headers, "", "")
    return "\r\n".join(lines).encode() + body


class Metrics:
    """The metrics of tailgate's service, under the same names."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        Info("tailgate", "what is served", registry=self.registry).info({"model": "fake", "device": "cpu"})
        seconds = partial(Histogram, buckets=LATENCY_BUCKETS_S, registry=self.registry)
        self.seconds = {
            stage: seconds(f"tailgate_{stage}_seconds", f"seconds of {stage}") for stage in STAGES
        }
        self.request_seconds = seconds(
            "tailgate_request_seconds", "seconds from arrival to answer", labelnames=["outcome"]
        )
        self.batch_size = Histogram(
            "tailgate_batch_size", "requests in a batch", buckets=BATCH_BUCKETS, registry=self.registry
        )
        self.requests = Counter("tailgate_requests", "finished requests", ["outcome"], registry=self.registry)
        self.queue_depth = Gauge("tailgate_queue_depth", "waiting requests", registry=self.registry)
        self.in_flight = Gauge("tailgate_in_flight", "requests in the server", registry=self.registry)
        self.busy = Counter("tailgate_executor_busy_seconds", "seconds at work", registry=self.registry)

    def refuse(self, total_s: float) -> None:
        """Count one refused request."""
        self.request_seconds.labels(outcome="full").observe(total_s)
        self.requests.labels(outcome="full").inc()

    def record(self, stages_s: dict[str, float], total_s: float) -> None:
        """Count one finished request."""
        self.request_seconds.labels(outcome="ok").observe(total_s)
        for stage, seconds in stages_s.items():
            self.seconds[stage].observe(seconds)
        self.batch_size.observe(1)
        self.busy.inc(stages_s["compute"])
        self.requests.labels(outcome="ok").inc()


class FakeServer:
    """One line of requests, each served for the same time."""

    def __init__(self, service_time_s: float, queue_capacity: int | None = None) -> None:
        self.service_time_s = service_time_s
        self.queue_capacity = queue_capacity
        self._waiting = 0
        self.metrics = Metrics()
        self._executor = asyncio.Lock()  # fair: first come, first served

    async def answer(self, method: str, path: str) -> bytes:
        """Answer one request."""
        match method, path:
            case "POST", "/predict":
                return await self._predict()
            case "GET", "/metrics":
                return answer_of(
                    HTTPStatus.OK, generate_latest(self.metrics.registry), "Content-Type: text/plain"
                )
            case "GET", "/health/ready" | "/health/live":
                return answer_of(HTTPStatus.OK, b"ready")
            case _:
                return answer_of(HTTPStatus.NOT_FOUND)

    async def _predict(self) -> bytes:
        arrived_s = time.perf_counter()
        if self.queue_capacity is not None and self._waiting >= self.queue_capacity:
            self.metrics.refuse(time.perf_counter() - arrived_s)
            return answer_of(HTTPStatus.TOO_MANY_REQUESTS, b"{}", "Retry-After: 1")
        with self.metrics.in_flight.track_inprogress():
            self.metrics.queue_depth.inc()
            self._waiting += 1
            async with self._executor:
                self._waiting -= 1
                self.metrics.queue_depth.dec()
                started_s = time.perf_counter()
                if self.service_time_s:
                    await asyncio.sleep(self.service_time_s)
                ended_s = time.perf_counter()
        stages_s = dict.fromkeys(STAGES, 0.0)
        stages_s["queue"] = started_s - arrived_s
        stages_s["compute"] = ended_s - started_s
        total_s = time.perf_counter() - arrived_s
        self.metrics.record(stages_s, total_s)
        told = {**stages_s, "total": total_s}
        timing = "".join(f"{name};dur={seconds * 1e3:.4f}, " for name, seconds in told.items())
        timing_header = f'Server-Timing: {timing}batch;desc="1"'
        return answer_of(HTTPStatus.OK, b"{}", "Content-Type: application/json", timing_header)

    async def serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request after the other until the client goes."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                method, path, _ = head.split(" ", 2)
                await reader.readexactly(_content_length(head))
                writer.write(await self.answer(method, path))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def _content_length(head: str) -> int:
    for line in head.split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            return int(value)
    return 0


async def serve(listener: socket.socket, service_time_s: float, queue_capacity: int | None = None) -> None:
    """Serve on a socket until TERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    fake = FakeServer(service_time_s, queue_capacity)
    server = await asyncio.start_server(fake.serve_connection, sock=listener, backlog=BACKLOG)
    await stop.wait()
    server.close()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the server."""
    parser = argparse.ArgumentParser(
        prog="python -m tailgate.harness.testing.fake_server",
        description="Serve requests one by one, each for a set time.",
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--fd", type=int, help="number of an inherited listening socket")
    where.add_argument("--port", type=int, help="port to listen on, at 127.0.0.1")
    parser.add_argument(
        "--service-time-ms", type=float, default=1.0, help="time that each request is served for"
    )
    parser.add_argument(
        "--queue-capacity", type=int, help="requests that wait, at most; default: without an end"
    )
    options = parser.parse_args(arguments)
    if options.fd is not None:
        listener = socket.socket(fileno=options.fd)
    else:
        listener = socket.create_server(("127.0.0.1", options.port), backlog=BACKLOG)
    asyncio.run(serve(listener, options.service_time_ms / 1e3, options.queue_capacity))


if __name__ == "__main__":
    main()
