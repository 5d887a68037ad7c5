"""A server whose service times follow known laws, and that records its own times.

    python -m benchmarks.load.law_server PROCESSOR TRUTH_FILE

``POST /zero``, ``/constant``, ``/exponential`` and ``/bimodal`` are answered after the time that the law draws, without a
queue. ``POST /freeze`` stops the whole process for two seconds. When standard input ends, it writes its own times as
JSON by path: seconds from the request's last byte to the write of the answer. It waits with the generator's own pacer, to
microseconds.
"""

import contextlib
import heapq
import os
import select
import socket
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson

from tailgate.harness.load.sending.pacer import Pacer
from tailgate.harness.load.settings import TimerMode

FREEZE_S = 2.0
CONSTANT_S, EXPONENTIAL_S, SHORT_S, LONG_S, LONG_SHARE = 0.005, 0.005, 0.002, 0.020, 0.1
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
SEED = 11
_FAR_NS = 10**9


def laws() -> dict[str, Callable[[], float]]:
    """Return a draw of seconds for each path."""
    rng = np.random.default_rng(SEED)
    return {
        "/zero": lambda: 0.0,
        "/constant": lambda: CONSTANT_S,
        "/exponential": lambda: float(rng.exponential(EXPONENTIAL_S)),
        "/bimodal": lambda: LONG_S if rng.random() < LONG_SHARE else SHORT_S,
    }


class LawServer:
    """All connections in one loop; requests are small and come in one piece each."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.truth: dict[str, list[float]] = defaultdict(list)
        self._laws = laws()
        self._pacer = Pacer(TimerMode.SPIN)
        self._pacer.sharpen()
        self._pacer.epoll.register(self.listener, select.EPOLLIN)
        self._pacer.epoll.register(sys.stdin, select.EPOLLIN)
        self._connections: dict[int, socket.socket] = {}
        self._due: list[tuple[int, int, int, str, socket.socket]] = []

    def serve(self) -> None:
        """Serve until standard input ends."""
        while True:
            until_ns = self._due[0][0] if self._due else time.monotonic_ns() + _FAR_NS
            for descriptor, _ in self._pacer.wait(until_ns):
                if descriptor == sys.stdin.fileno():
                    return
                if descriptor == self.listener.fileno():
                    self._accept()
                else:
                    self._read(descriptor)
            while self._due and self._due[0][0] <= time.monotonic_ns():
                _, _, arrived_ns, path, connection = heapq.heappop(self._due)
                self._answer(connection, arrived_ns, path)

    def _accept(self) -> None:
        connection, _ = self.listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections[connection.fileno()] = connection
        self._pacer.epoll.register(connection, select.EPOLLIN)

    def _read(self, descriptor: int) -> None:
        arrived_ns = time.monotonic_ns()
        connection = self._connections[descriptor]
        try:
            request = connection.recv(65536)
        except OSError:  # a client that leaves with requests open resets its connections
            request = b""
        if not request:
            del self._connections[descriptor]
            connection.close()
            return
        path = request.split(b" ", 2)[1].decode()
        if path == "/freeze":
            time.sleep(FREEZE_S)
            self._answer(connection, arrived_ns, path)
        elif service_ns := round(self._laws[path]() * 1e9):
            heapq.heappush(self._due, (arrived_ns + service_ns, descriptor, arrived_ns, path, connection))
        else:
            self._answer(connection, arrived_ns, path)

    def _answer(self, connection: socket.socket, arrived_ns: int, path: str) -> None:
        # Taken before the write: on the loopback the write delivers at once, and is transport.
        self.truth[path].append((time.monotonic_ns() - arrived_ns) / 1e9)
        with contextlib.suppress(OSError):  # a client may leave with requests open
            connection.send(ANSWER)


def main(processor: int, truth: Path) -> None:
    """Serve, then write the truth."""
    os.sched_setaffinity(0, {processor})
    with contextlib.suppress(OSError):
        # Its record does not hold the time before it reads a request, so nothing may delay the read.
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    server = LawServer()
    print(server.listener.getsockname()[1], flush=True)
    server.serve()
    truth.write_bytes(orjson.dumps(server.truth))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
