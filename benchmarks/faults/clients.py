"""Clients that do wrong, and one that does right. Each sends bytes on its own connection and reports the answer."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

Address = tuple[str, int]
HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
OCTETS = b"application/octet-stream"
PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one client: status None where the connection ended without one, error empty for no refusal."""

    status: int | None
    error: str

    def __str__(self) -> str:
        """``400: the body is empty``, or ``no answer``."""
        if self.status is None:
            return "no answer"
        return f"{self.status}: {self.error}" if self.error else str(self.status)


NOTHING = Reply(None, "")


def post(body: bytes, kind: bytes = OCTETS) -> bytes:
    """Return a request that announces its length."""
    return HEAD % (kind, len(body)) + body


async def send(
    address: Address, *pieces: bytes, pause_s: float = 0.0, patience_s: float = PATIENCE_S
) -> Reply:
    """Send pieces with pauses between them, and read one answer; it may come before all is sent."""
    try:
        reader, writer = await asyncio.open_connection(*address)
    except OSError:
        return NOTHING

    async def write() -> None:
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                if pause_s:
                    await asyncio.sleep(pause_s)

    writing = asyncio.create_task(write())
    try:
        return await asyncio.wait_for(_answer(reader), patience_s)
    except (TimeoutError, ConnectionError, asyncio.IncompleteReadError):
        return NOTHING
    finally:
        writing.cancel()
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> Reply:
    """Read an answer with a Content-Length."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
    lengths = [int(line.split(":")[1]) for line in lines if line.startswith("content-length:")]
    body = await reader.readexactly(lengths[0] if lengths else 0)
    return Reply(int(lines[0].split()[1]), _error(body))


def _error(body: bytes) -> str:
    try:
        return str(json.loads(body).get("error", ""))
    except (ValueError, AttributeError):
        return body.decode("latin-1")[:100]


async def all_at_once(
    address: Address, requests: Sequence[bytes], patience_s: float = PATIENCE_S
) -> list[Reply]:
    """Send each request on its own connection, all at once."""
    sending = (send(address, request, patience_s=patience_s) for request in requests)
    return list(await asyncio.gather(*sending))


async def leave(address: Address, sent: bytes) -> None:
    """Send something and leave."""
    _, writer = await asyncio.open_connection(*address)
    writer.write(sent)
    await writer.drain()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


def told(replies: Sequence[Reply]) -> str:
    """Return how many clients got which answer."""
    counted = Counter(map(str, replies))
    return "; ".join(f"{count} x {text}" if count > 1 else text for text, count in counted.most_common())
