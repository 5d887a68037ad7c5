"""A program between the load and a target: it passes bytes on, and holds answers as a case says.

    python -m tailgate.harness.drill.proxy --fd 3 --case all-5 --to 127.0.0.1:8000 [--pid 4711 ...]

It reads no HTTP: an answer begins with the first byte from the target after the last one from the client. A thread serves a
connection, since an event loop's timers wait in whole milliseconds. Base has a proxy as well, of the case ``unchanged``: what
passing bytes on costs is the same on both sides.
"""

import argparse
import contextlib
import random
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable

from tailgate.harness.drill.case import CASES, Case
from tailgate.harness.observe.machine import cpu_seconds

READY = "passing bytes on to"
PIECE = 1 << 16
# Reading processor time costs some itself.
READ_EVERY_S = 0.02
LONGEST_SPIN_S = 0.05


class Holder:
    """Holds answers, of all connections together."""

    def __init__(self, case: Case, spent_s: Callable[[], float], seed: int = 0) -> None:
        self._case = case
        self._spent_s = spent_s  # processor seconds of the target so far
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._lock = threading.Lock()
        self._answers = 0
        self._latency_s = 0.0
        self._start_s = spent_s()
        self._paid_s = 0.0
        self._read_s = 0.0

    def hold(self, latency_s: float) -> None:
        """Hold an answer that took so long: work for the share of the target's processor time, and sleep for the rest."""
        began_s = time.perf_counter()
        with self._lock:
            self._answers += 1
            self._latency_s += latency_s
            delay_s = self._case.delay_s(latency_s, self._latency_s / self._answers, self._random.random())
            self._work()
        rest_s = delay_s - (time.perf_counter() - began_s)
        if rest_s > 0:
            time.sleep(rest_s)

    def _work(self) -> None:
        now_s = time.monotonic()
        if now_s - self._read_s < READ_EVERY_S:
            return
        self._read_s = now_s
        owed_s = self._case.share * (self._spent_s() - self._start_s) - self._paid_s
        owed_s = min(owed_s, LONGEST_SPIN_S)
        if owed_s <= 0:
            return
        until_s = time.thread_time() + owed_s
        while time.thread_time() < until_s:
            pass
        self._paid_s += owed_s


def processor_seconds(pids: Iterable[int]) -> float:
    """Return the processor seconds of processes so far; one that has ended counts as nothing."""
    return sum(cpu_seconds(pid) or 0.0 for pid in pids)


def connect(address: str) -> socket.socket:
    """Return a connection to ``host:port``, or to a Unix socket where the address is a path."""
    if address.startswith("/"):
        upstream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        upstream.connect(address)
        return upstream
    host, _, port = address.rpartition(":")
    upstream = socket.create_connection((host.strip("[]"), int(port)))
    upstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return upstream


def relay(client: socket.socket, upstream: socket.socket, hold: Callable[[float], None]) -> None:
    """Pass bytes both ways until either side ends."""
    poll = select.poll()
    for side in (client, upstream):
        poll.register(side, select.POLLIN)
    asked_s: float | None = None
    while True:
        for number, _ in poll.poll():
            of_client = number == client.fileno()
            piece = (client if of_client else upstream).recv(PIECE)
            if not piece:
                return
            if of_client:
                upstream.sendall(piece)
                asked_s = time.perf_counter()
                continue
            if asked_s is not None:
                hold(time.perf_counter() - asked_s)
                asked_s = None
            client.sendall(piece)


def _serve(client: socket.socket, address: str, hold: Callable[[float], None]) -> None:
    # A side that goes away ends the connection, as it would without a proxy.
    with client, contextlib.suppress(OSError), connect(address) as upstream:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        relay(client, upstream, hold)


def main() -> None:
    """Serve connections until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--fd", type=int, required=True, help="a socket that listens")
    parser.add_argument("--case", choices=CASES, required=True)
    parser.add_argument("--to", required=True, help="host:port, or the path of a Unix socket")
    parser.add_argument("--pid", type=int, action="append", default=[], help="a process of the target")
    asked = parser.parse_args()
    holder = Holder(CASES[asked.case], lambda: processor_seconds(asked.pid))
    with socket.socket(fileno=asked.fd) as listener:
        sys.stderr.write(f"{READY} {asked.to}\n")
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_serve, args=(client, asked.to, holder.hold), daemon=True).start()


if __name__ == "__main__":
    main()
