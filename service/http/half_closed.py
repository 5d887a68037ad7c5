"""A client that says nothing more: does it wait for its answer, or has it gone?

A client may close its sending half behind its request and wait for the answer, as ``nc -N`` and ``socat`` do (RFC 9112,
section 9.6). A client that has gone has closed both halves. The server sees the same FIN of either. They differ in what
they do with bytes: the first reads them, the second's machine answers with a reset. So a client whose answer is not there
after a moment is sent ``100 Continue``, an interim answer that clients of HTTP/1.1 read over, whether they asked for one
or not (RFC 9110, sections 15.2 and 15.2.1).
"""

import asyncio
import socket
from collections.abc import Callable

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# Most answers are there by then, and their clients never see the interim one.
ASK_AFTER_S = 0.02
# Each look follows the one before after twice the time, at most this.
LONGEST_PAUSE_S = 1.0


def ask_soon(transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, owes: Callable[[], bool]) -> None:
    """End a connection whose client has gone, as soon as that is known.

    ``owes`` tells whether its client is owed an answer of which nothing has been written.
    """
    peer: socket.socket | None = transport.get_extra_info("socket")

    def ask() -> None:
        if owes() and not transport.is_closing():
            transport.write(CONTINUE)
            look(ASK_AFTER_S)

    def look(pause_s: float) -> None:
        # Nothing is read from the connection any more, so that the event loop would not tell of a reset.
        if peer is None or not owes() or transport.is_closing():
            return
        if peer.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            transport.abort()
        else:
            loop.call_later(pause_s, look, min(2 * pause_s, LONGEST_PAUSE_S))

    loop.call_later(ASK_AFTER_S, ask)
