"""The answer that is being read on a connection: HTTP/1.1 by httptools, one answer after another."""

import email.utils
import math
import time
import zlib
from typing import NamedTuple

import httptools

from tailgate.harness.load.wire.server_timing import UNTOLD, Stages, parse_server_timing
from tailgate.harness.load.wire.stream import UNKNOWN_LAG, EventStream, stream_of

# More would be no waiting time: int() of a hostile length would take long.
_MOST_DIGITS = 9
# Of an answer that failed: an ordinary head, and more of the body than any report shows.
_KEPT_BYTES = 8192


# Of a body; of what is beyond, a checksum.
KEPT_BODY = 2**20


class WholeAnswer(NamedTuple):
    """What an answer said, to be set beside other answers."""

    content_type: bytes
    body: bytes  # its first bytes, KEPT_BODY at the most
    length: int  # of the whole body
    crc: int  # of the rest of it (CRC-32), 0 for none


class MalformedAnswerError(Exception):
    """What came is not an HTTP answer."""


def _parse_retry_after(value: bytes) -> float:
    """Return the seconds that a Retry-After asks for (RFC 9110, section 10.2.3); NaN where it is neither form."""
    if value.isdigit() and len(value) <= _MOST_DIGITS:
        return float(value)
    try:
        date = email.utils.parsedate_to_datetime(value.decode("latin-1"))
        return max(0.0, date.timestamp() - time.time())
    except (ValueError, OverflowError):
        return math.nan


class Answer:
    """Parses answers in pieces; ``begin`` makes it ready for the next one.

    Interim answers (1xx) are passed over. ``kept`` has the first bytes of an answer that is not 2xx, head included, or what
    a stream said of its failure. ``stream`` counts the events of a good answer that is a stream; None for any other.
    """

    __slots__ = (
        "_chunked",
        "_content_type",
        "_crc",
        "_framed",
        "_headed",
        "_lag_ns",
        "_length",
        "_parser",
        "_pieces",
        "_read_ns",
        "complete",
        "keep_alive",
        "kept",
        "retry_after_s",
        "stages",
        "status",
        "stream",
    )

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._read_ns = 0
        self._lag_ns = UNKNOWN_LAG
        self.begin()

    def begin(self) -> None:
        """Forget the last answer."""
        self._headed = False
        self._framed = False
        self._chunked = False
        self._content_type = b""
        self._pieces: list[bytes] = []
        self._length = 0
        self._crc = 0
        self.complete = False
        self.keep_alive = False
        self.kept = b""
        self.status = 0
        self.retry_after_s = math.nan
        self.stages: Stages = UNTOLD
        self.stream: EventStream | None = None

    def feed(self, data: bytes | memoryview, read_ns: int = 0, lag_ns: int = UNKNOWN_LAG) -> None:
        """Take the next piece; raise MalformedAnswerError at no HTTP, another protocol, or anything behind the answer.

        ``read_ns`` is when it was read, and ``lag_ns`` how long the kernel had held it by then.
        """
        self._read_ns, self._lag_ns = read_ns, lag_ns
        if self.stream is not None:
            self.stream.read_at(read_ns, lag_ns)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.kept = self.kept or bytes(data[:_KEPT_BYTES])
            raise MalformedAnswerError(str(error)) from error
        if self.status >= 300 and len(self.kept) < _KEPT_BYTES:
            self.kept += data[: _KEPT_BYTES - len(self.kept)]

    def end(self) -> bool:
        """Say whether the end of the connection completes the answer.

        It does where neither Content-Length nor Transfer-Encoding frames it (RFC 9112, section 6.3, rule 8).
        """
        if not self.complete and self._headed and not self._framed:
            self.complete = True
            self._end_stream()
        return self.complete

    def close(self) -> None:
        """Break the cycle with the parser: the garbage collector is off during a run."""
        del self._parser

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note what frames the body and what the server tells of itself (called by the parser)."""
        # Lengths first: most headers are none of these, and this runs for each of them.
        length = len(name)
        if length == 13:
            if name.lower() == b"server-timing":
                self.stages = parse_server_timing(value, self.stages)
        elif length == 14:
            if name.lower() == b"content-length":
                self._framed = True
        elif length == 17:
            if name.lower() == b"transfer-encoding":
                self._framed = True
                self._chunked = b"chunked" in value.lower()
        elif length == 12:
            if name.lower() == b"content-type":
                self._content_type = value
        elif length == 11 and name.lower() == b"retry-after":
            self.retry_after_s = _parse_retry_after(value)

    def on_headers_complete(self) -> None:
        """Take the status (called by the parser)."""
        if self.complete:
            raise MalformedAnswerError("a second answer to one request")
        self.status = self._parser.get_status_code()
        self._headed = True
        if 200 <= self.status < 300:
            self.stream = stream_of(self._content_type, chunked=self._chunked)
            if self.stream is not None:
                self.stream.read_at(self._read_ns, self._lag_ns)

    def on_body(self, piece: bytes) -> None:
        """Keep what may be kept of the body, and count the events of a stream (called by the parser)."""
        if self.stream is not None:
            self.stream.feed(piece)
        room = KEPT_BODY - self._length
        self._length += len(piece)
        if len(piece) <= room:
            self._pieces.append(piece)
            return
        if room > 0:
            self._pieces.append(piece[:room])
            piece = piece[room:]
        self._crc = zlib.crc32(piece, self._crc)

    def on_chunk_complete(self) -> None:
        """Tell a stream whose chunks are its events (called by the parser)."""
        if self.stream is not None:
            self.stream.end_chunk()

    def whole(self) -> WholeAnswer | None:
        """Return what it said, once it is complete."""
        return self.so_far() if self.complete else None

    def so_far(self) -> WholeAnswer:
        """Return what has come of it."""
        pieces = self._pieces
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return WholeAnswer(self._content_type, body, self._length, self._crc)

    def on_message_complete(self) -> None:
        """Note the end, or begin anew after an interim answer (called by the parser)."""
        if 100 <= self.status < 200:
            self.begin()
            return
        self.complete = True
        self.keep_alive = self._parser.should_keep_alive()
        self._end_stream()

    def _end_stream(self) -> None:
        if self.stream is not None:
            self.stream.end()
            self.kept = (self.stream.error or b"")[:_KEPT_BYTES]
