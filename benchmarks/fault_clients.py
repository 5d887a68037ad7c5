"""Clients that do wrong, and one that does right: each sends bytes on a connection of its own and tells what came back."""

import asyncio
import contextlib
import json
import time
from collections import Counter
from dataclasses import dataclass

Address = tuple[str, int]
HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
OCTETS = b"application/octet-stream"
PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What a client got.

    Attributes:
        status: HTTP status, None where the connection ended without an answer.
        error: the text of a refusal, empty for none.
        seconds: until the answer was there.
    """

    status: int | None
    error: str
    seconds: float

    def __str__(self) -> str:
        """``400: the body is empty``, or ``no answer``."""
        if self.status is None:
            return "no answer"
        return f"{self.status}: {self.error}" if self.error else str(self.status)


def post(body: bytes, kind: bytes = OCTETS) -> bytes:
    """Return a request with its length announced."""
    return HEAD % (kind, len(body)) + body


async def send(
    address: Address, *pieces: bytes, pause_s: float = 0.0, patience_s: float = PATIENCE_S
) -> Reply:
    """Send pieces with pauses between them, and read one answer; it may come before all is sent."""
    start_s = time.monotonic()
    try:
        reader, writer = await asyncio.open_connection(*address)
    except OSError:
        return Reply(None, "", time.monotonic() - start_s)

    async def write() -> None:
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                if pause_s:
                    await asyncio.sleep(pause_s)

    writing = asyncio.create_task(write())
    try:
        status, body = await asyncio.wait_for(_answer(reader), patience_s)
    except (TimeoutError, ConnectionError, asyncio.IncompleteReadError):
        return Reply(None, "", time.monotonic() - start_s)
    finally:
        writing.cancel()
        writer.close()
    return Reply(status, _error(body), time.monotonic() - start_s)


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read an answer with a Content-Length."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    length = next(
        (int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length:")), 0
    )
    return int(lines[0].split()[1]), await reader.readexactly(length)


def _error(body: bytes) -> str:
    try:
        return str(json.loads(body).get("error", ""))
    except (ValueError, AttributeError):
        return body.decode("latin-1")[:100]


async def all_at_once(address: Address, requests: list[bytes]) -> list[Reply]:
    """Send each request on a connection of its own, all at once."""
    return list(await asyncio.gather(*(send(address, request) for request in requests)))


async def leave(address: Address, sent: bytes) -> None:
    """Send something and leave."""
    _, writer = await asyncio.open_connection(*address)
    writer.write(sent)
    await writer.drain()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


def told(replies: list[Reply]) -> str:
    """Return how many were answered what."""
    counted = Counter(str(reply) for reply in replies)
    return "; ".join(f"{count} x {text}" if count > 1 else text for text, count in counted.most_common())
