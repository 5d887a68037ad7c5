"""Ask a server once, with exactly the bytes that the generator sends, over a plain blocking socket."""

import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import httptools

from tailgate.harness.errors import LoadError
from tailgate.harness.load.settings import LoadSettings
from tailgate.harness.load.wire.endpoint import Endpoint, connect_blocking
from tailgate.harness.load.wire.request import encode_request
from tailgate.harness.scenario.payload import Payload

# What lies beyond is counted, and goes into the checksum alone.
KEPT_BYTES = 2**20
PIECE_BYTES = 2**16


@dataclass(frozen=True, slots=True)
class FirstAnswer:
    """A whole answer, or why there is none."""

    seconds: float
    why: str = ""  # why there is no whole answer; empty for one
    status: int | None = None  # None where not even the head came
    headers: Mapping[str, str] = field(default_factory=dict)  # by name in small letters
    body: bytes = b""  # its first MiB
    length: int = 0  # bytes of the whole body
    crc: int = 0  # CRC-32 of what is beyond the first MiB

    @property
    def content_type(self) -> str:
        """The content type, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def text(self) -> str:
        """The kept part of the body as text."""
        return self.body.decode(errors="replace")


def ask(payload: Payload, settings: LoadSettings, endpoint: Endpoint) -> FirstAnswer:
    """Send one request on a connection of its own and read the answer; no answer is no error."""
    began_s = time.monotonic()
    deadline_s = began_s + settings.timeout_s
    reader = _Reader()
    try:
        with connect_blocking(endpoint, settings.timeout_s) as connection:
            connection.sendall(encode_request(payload, settings))
            while not reader.complete:
                connection.settimeout(max(0.001, deadline_s - time.monotonic()))
                piece = connection.recv(PIECE_BYTES)
                if not piece:
                    break
                reader.feed(piece)
        why = "" if reader.ended() else "the connection was closed before the answer's end"
    except TimeoutError:
        why = f"no whole answer within {settings.timeout_s:g} s"
    except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
        why = f"what came is not an HTTP answer ({error}): {bytes(reader.raw)!r}"
    except (OSError, LoadError) as error:
        why = f"no answer: {getattr(error, 'strerror', None) or error}"
    return FirstAnswer(
        time.monotonic() - began_s,
        why,
        reader.status,
        reader.headers,
        bytes(reader.body),
        reader.length,
        reader.crc,
    )


class _Reader:
    """Reads one answer in pieces; its methods named ``on_`` are called by the parser."""

    def __init__(self) -> None:
        self.complete = False
        self.raw = b""  # the first bytes that came
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.length = 0
        self.crc = 0
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, piece: bytes) -> None:
        self.raw = self.raw or piece[:60]
        self._parser.feed_data(piece)

    def ended(self) -> bool:
        """Tell whether the answer is whole, now that nothing follows (RFC 9112, section 6.3, rule 8)."""
        framed = {"content-length", "transfer-encoding"} & self.headers.keys()
        return self.complete or (self.status is not None and not framed)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()

    def on_body(self, piece: bytes) -> None:
        room = KEPT_BYTES - len(self.body)
        self.body += piece[:room]
        self.crc = zlib.crc32(piece[max(0, room) :], self.crc)
        self.length += len(piece)

    def on_message_complete(self) -> None:
        if self.status is not None and 100 <= self.status < 200:  # an interim answer: the answer follows
            self.status, self.headers = None, {}
        else:
            self.complete = True
