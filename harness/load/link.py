"""Messages between the harness and a generator: whole frames over two pipes, or over one socket.

The frames are those of :mod:`multiprocessing.connection`, whose challenge lets nobody in who does not know the token.
Nothing is pickled: a frame is JSON, records as they lie on disk, or the question for the clock. ::

    harness                                  generator
                                         ◀── {"name", "version", "machine", "clock"}
    {"files", "environment"}, the files  ──▶ opens its first connections
                                         ◀── {"event": "ready"}
    clock                                ──▶
                                         ◀── its time
    {"run", "stretch", "at_ns"}          ──▶ sends the phase; nothing is said meanwhile
                                         ◀── {"event": "done", …}, answers, samples, events
    the end                              ──▶ ends, even in the middle of a phase

In the place of any answer may come ``{"event": "error", "message"}``. A generator that is alone has its files already, and its
records stay where they are: it says neither who it is nor what it recorded.
"""

import contextlib
import os
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import orjson

from tailgate import __version__

# What the generator is told by whoever starts it.
NAME_VARIABLE = "TAILGATE_LOAD_NAME"
TOKEN_VARIABLE = "TAILGATE_LOAD_TOKEN"  # noqa: S105 - the name of a variable
CLOCK = b"clock"
_TIME = struct.Struct("<q")
_FRAME_BYTES = 2**20


class Link:
    """One end of the way between the harness and a generator.

    Its methods raise EOFError or OSError where the other end is gone.
    """

    def __init__(self, reading: Connection, writing: Connection, stop: Callable[[], object]) -> None:
        self._reading = reading
        self._writing = writing
        # Lets the other end know that no more will come, from any thread.
        self._stop = stop

    @property
    def descriptor(self) -> int:
        """What becomes readable when something comes, or the other end is gone."""
        return self._reading.fileno()

    def send(self, data: bytes | memoryview) -> None:
        """Send one frame."""
        self._writing.send_bytes(data)

    def receive(self) -> bytes:
        """Wait for the next frame."""
        # What is longer is no frame of a generator, but what some program said before it.
        return self._reading.recv_bytes(2 * _FRAME_BYTES)

    def tell(self, **message: Any) -> None:
        """Send a message."""
        self.send(orjson.dumps(message))

    def told(self) -> dict[str, Any]:
        """Wait for the next message."""
        message: dict[str, Any] = orjson.loads(self.receive())
        return message

    def send_records(self, data: bytes, record_bytes: int = 1) -> None:
        """Send records in frames that cut none of them; an empty frame is their end."""
        step = max(1, _FRAME_BYTES // record_bytes) * record_bytes
        whole = memoryview(data)
        for start in range(0, len(data), step):
            self.send(whole[start : start + step])
        self.send(b"")

    def records(self) -> Iterator[bytes]:
        """Yield the frames that the other end's :meth:`send_records` sends."""
        while frame := self.receive():
            yield frame

    def ask_clock(self) -> tuple[int, int, int]:
        """Return the time here, the time there, and the time here again."""
        sent_ns = time.monotonic_ns()
        self.send(CLOCK)
        (told_ns,) = _TIME.unpack(self.receive())
        return sent_ns, told_ns, time.monotonic_ns()

    def tell_clock(self) -> None:
        """Answer the question for the clock."""
        self.send(_TIME.pack(time.monotonic_ns()))

    def stop(self) -> None:
        """Let the other end know that no more will come, from any thread."""
        with contextlib.suppress(OSError):
            self._stop()

    def close(self) -> None:
        """Close this end."""
        self.stop()
        self._reading.close()
        self._writing.close()


def over_pipes(reading: int, writing: int) -> Link:
    """Return the link over two descriptors, which it owns from now on."""
    output = Connection(writing, readable=False)
    return Link(Connection(reading, writable=False), output, output.close)


def over_standard() -> Link:
    """Return the link over the standard input and output of this process."""
    return over_pipes(os.dup(sys.stdin.fileno()), os.dup(sys.stdout.fileno()))


def over_socket(connected: socket.socket) -> Link:
    """Return the link over a socket, which it owns from now on."""
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # A machine that vanishes says nothing more.
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    both = Connection(os.dup(connected.fileno()))

    def stop() -> None:
        with contextlib.suppress(OSError):
            connected.shutdown(socket.SHUT_WR)
        connected.close()

    return Link(both, both, stop)


def introduction(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return what a generator says of itself first: the same machine and the same clock have the same names."""
    machine = clock = None
    with contextlib.suppress(OSError):
        machine = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        # A time namespace has a CLOCK_MONOTONIC of its own (time_namespaces(7)).
        clock = f"{machine} {Path('/proc/self/ns/time').readlink()}"
    name = environment.get(NAME_VARIABLE) or socket.gethostname()
    return {"name": name, "version": __version__, "machine": machine, "clock": clock}
