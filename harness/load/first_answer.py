"""Ask a server once, with exactly the bytes that the generator sends, over a plain blocking socket."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from tailgate.harness.errors import LoadError
from tailgate.harness.load.settings import LoadSettings
from tailgate.harness.load.wire.answer import Answer, MalformedAnswerError
from tailgate.harness.load.wire.endpoint import Endpoint, connect_blocking
from tailgate.harness.load.wire.request import encode_request
from tailgate.harness.scenario.payloads.payload import Payload

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
    error_event: bytes | None = None  # what an event of a stream said of its failure

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
                reader.raw = reader.raw or piece[:60]
                reader.feed(piece)
        why = "" if reader.end() else "the connection was closed before the answer's end"
    except TimeoutError:
        why = f"no whole answer within {settings.timeout_s:g} s"
    except MalformedAnswerError as error:
        why = f"what came is not an HTTP answer ({error}): {reader.raw!r}"
    except (OSError, LoadError) as error:
        why = f"no answer: {getattr(error, 'strerror', None) or error}"
    said = reader.so_far()
    return FirstAnswer(
        time.monotonic() - began_s,
        why,
        reader.status or None,
        reader.headers,
        said.body,
        said.length,
        said.crc,
        None if reader.stream is None else reader.stream.error,
    )


class _Reader(Answer):
    """Reads the answer as the generator does, and keeps its headers as well."""

    __slots__ = ("headers", "raw")

    def __init__(self) -> None:
        self.raw = b""  # the first bytes that came
        super().__init__()

    def begin(self) -> None:
        super().begin()
        self.headers: dict[str, str] = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")
        super().on_header(name, value)
