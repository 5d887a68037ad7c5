"""How the generator reaches a target, and on which processor it runs.

A server of one thread, or of a few workers, may stay with a connection until its client closes it, idle or not. A client
that keeps more of them open is never answered on the others, which would be the harness's fault. So the server is asked
before the load.
"""

import contextlib
import http.client
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tailgate.harness.load.settings import LoadSettings
from tailgate.harness.load.wire.request_id import draw_prefix
from tailgate.harness.options.settings import GateSettings
from tailgate.harness.options.table import Pin
from tailgate.harness.target.asking.client import connected
from tailgate.harness.target.target import RunningTarget

# As many as the generator opens ahead.
MOST = 8
# A server that has just been ready answers sooner, but for one that does not answer at all.
PATIENCE_S = 1.0
FIRST_ANSWER_S = 10.0
# What is ten times as late as the first answer is not just slow.
SLOWER = 10.0

Connect = Callable[[], http.client.HTTPConnection]
Headers = Sequence[tuple[str, str]]
# With fewer, the server needs what the generator would get.
PROCESSORS_TO_PIN = 4


def keeps_connections(connect: Connect, path: str, headers: Headers = ()) -> bool:
    """Tell whether a connection stays open after an answer; so it does, as far as is known, where there is no answer."""
    connection = connect()
    try:
        _ask(connection, path, FIRST_ANSWER_S, headers)
    except (OSError, http.client.HTTPException):
        return True
    else:
        return connection.sock is not None
    finally:
        connection.close()


def answered_at_once(
    connect: Connect, path: str, headers: Headers = (), patience_s: float = PATIENCE_S
) -> int | None:
    """Return on how many open connections a server answers, one of them in use and the others idle; None for no bound.

    A bound counts only if it is found twice, and if the server answers as soon as the idle ones are closed: what is late
    for other reasons is none. ``path`` is one that a server answers soon, such as its readiness path.
    """
    bounds = {_bound(connect, path, headers, patience_s)}
    if None not in bounds:
        bounds.add(_bound(connect, path, headers, patience_s))
    return bounds.pop() if len(bounds) == 1 else None


def _bound(connect: Connect, path: str, headers: Headers, patience_s: float) -> int | None:
    with contextlib.ExitStack() as idle:
        for held in range(MOST):
            connection = connect()
            began_s = time.monotonic()
            try:
                _ask(connection, path, FIRST_ANSWER_S if held == 0 else patience_s, headers)
            except TimeoutError:
                idle.close()
                answers = held > 0 and _answers(connection)
                connection.close()
                return held if answers else None
            except (OSError, http.client.HTTPException):
                connection.close()
                return None
            if held == 0:
                patience_s = max(patience_s, SLOWER * (time.monotonic() - began_s))
            idle.callback(connection.close)
    return None


def _ask(connection: http.client.HTTPConnection, path: str, within_s: float, headers: Headers) -> None:
    connection.timeout = within_s
    host = any(name.lower() == "host" for name, _ in headers)
    connection.putrequest("GET", path, skip_host=host, skip_accept_encoding=True)
    for name, value in headers:
        connection.putheader(name, value)
    connection.endheaders()
    connection.getresponse().read()


def _answers(connection: http.client.HTTPConnection) -> bool:
    """Tell whether an answer comes after all."""
    if connection.sock is None:  # not even the connection was made
        return False
    connection.sock.settimeout(FIRST_ANSWER_S)
    try:
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    return True


def load_settings(running: RunningTarget, settings: GateSettings) -> LoadSettings:
    """Return the generator's settings for a target that takes load; it is asked how it treats connections."""
    path = running.prefix + (running.settings.readiness_path or "/")
    kept = keeps_connections(lambda: _connection(running), path, running.headers)
    return LoadSettings(
        host=running.host,
        port=running.port,
        prefix=running.prefix,
        tls=running.tls,
        trust=running.settings.trust,
        socket_path=running.socket_path,
        headers=running.headers,
        id_prefix=draw_prefix(),
        # Opened ahead, they would hold up a server that has done with a connection after one answer.
        connections_warm=MOST if kept else 0,
        at_once=answered_at_once(lambda: _connection(running), path, running.headers) if kept else None,
        timeout_s=settings.request_timeout,
        processor=generator_processor(settings),
    )


def _connection(running: RunningTarget) -> http.client.HTTPConnection:
    if running.tls:
        return http.client.HTTPSConnection(
            running.host, running.port, context=running.settings.trust.context()
        )
    if running.socket_path is not None:
        return SocketConnection(running.socket_path)
    return http.client.HTTPConnection(running.host, running.port)


class SocketConnection(http.client.HTTPConnection):
    """A connection to a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        """Connect."""
        self.sock = connected(self._path, self.timeout)


def generator_processor(settings: GateSettings) -> int | None:
    """Return the processor that the generator gets for itself; None where the server needs it, or there are many."""
    processors = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    one = settings.generators is None and settings.pin is Pin.AUTO
    pinned = one and len(processors) >= PROCESSORS_TO_PIN
    return processors[-1] if pinned else None
