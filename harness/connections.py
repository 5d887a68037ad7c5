"""How many connections a server answers at a time, asked before the load: some answer one, and wait for it to be closed.

A server of one thread, or of a few workers, may stay with a connection until its client closes it, idle or not. A client
that keeps more of them open is never answered on the others, which would be this harness's fault and not the server's.
"""

import contextlib
import http.client
import time
from collections.abc import Callable, Sequence

# As many as the generator opens ahead.
MOST = 8
# A server that has just been ready answers sooner, but for one that does not answer at all.
PATIENCE_S = 1.0
FIRST_ANSWER_S = 10.0
# What is ten times as late as the first answer is not just slow.
SLOWER = 10.0

Connect = Callable[[], http.client.HTTPConnection]
Headers = Sequence[tuple[str, str]]


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

    A bound is believed that is found twice, and only where the server answers as soon as the idle ones are closed: what
    is late for other reasons is none.

    Args:
        connect: makes a connection, which is opened when it is first used.
        path: that a server answers soon, such as its readiness path.
        headers: of each request.
        patience_s: after which an answer is missing.
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
    connection.request("GET", path, headers=dict(headers))
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
