"""Read HTTP/1.1 requests out of bytes, without a socket.

A :class:`HeadReader` takes the bytes of one head out of those that have come, in any pieces. :func:`body_of` returns the
reader of the body behind it. Neither takes a byte beyond. httptools (llhttp, the parser of Node.js) judges heads and chunks;
the bytes of a body are only counted.
"""

import httptools

from tailgate.service.codec.message import Headers
from tailgate.service.errors import BadInput, HeadTooLarge, UrlTooLong
from tailgate.service.http.head import Head, checked_head

# nginx takes 32 KiB of head and 8 KiB of request line, Apache 100 headers and 8 KB.
MAX_HEAD_BYTES = 32 * 2**10
MAX_HEADERS = 100
MAX_URL_BYTES = 8 * 2**10
# Chunk extensions or trailers between two pieces of a body.
MAX_FRAME_BYTES = 32 * 2**10
# Bytes that are looked at for a head in one go; nearly all heads are smaller.
HEAD_PIECE = 4096
# Bytes of a body in chunks that are looked through in one go.
CHUNKS_AT_ONCE = 2**16
END_OF_HEAD = b"\r\n\r\n"
_LINE_ENDS = b"\r\n"
_NOT_HTTP = "this is not HTTP/1.1 as RFC 9112 has it"


class Incoming:
    """Bytes that have come and are not read yet. Reading small requests out of a large piece copies nothing of the rest."""

    __slots__ = ("_at", "_data", "size")

    def __init__(self) -> None:
        self._data = b""
        self._at = self.size = 0  # where the next one is, and how many there are

    def add(self, data: bytes) -> None:
        """Take what has come."""
        self._data = self._data[self._at :] + data if self.size else data
        self._at = 0
        self.size = len(self._data)

    def peek(self, limit: int) -> bytes:
        """Return the next bytes, at most ``limit``; a whole piece is returned as it came."""
        return self._data[self._at : self._at + limit]

    def skip(self, count: int) -> None:
        """Note that bytes have been read."""
        self._at += count
        self.size -= count

    def skip_line_ends(self) -> None:
        """Skip empty lines before a request (RFC 9112, section 2.2)."""
        at = self._at
        while at < len(self._data) and self._data[at] in _LINE_ENDS:
            at += 1
        self.skip(at - self._at)

    def clear(self) -> int:
        """Skip everything; return how many bytes that was."""
        size = self.size
        self._data = b""
        self._at = self.size = 0
        return size


class HeadReader:
    """Reads one head."""

    __slots__ = ("_complete", "_headers", "_keep_alive", "_parser", "_raw", "_url")

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._raw = b""
        self._url = b""
        self._headers: Headers = []
        self._complete = False
        self._keep_alive = False

    def read(self, incoming: Incoming) -> tuple[Head, bytes] | None:
        """Return the head and all of its bytes; None while it is incomplete.

        Raises:
            BadInput: not HTTP/1.1, or a request that is not served.
            UrlTooLong, HeadTooLarge, UnknownVersion: as their names say.
        """
        data = incoming.peek(HEAD_PIECE)
        before = len(self._raw)
        raw = self._raw = self._raw + data if before else data
        end = raw.find(END_OF_HEAD, max(0, before - len(END_OF_HEAD) + 1))
        size = len(raw) if end < 0 else end + len(END_OF_HEAD)
        incoming.skip(size - before)
        try:
            self._parser.feed_data(data if end < 0 else data[: size - before])
        except httptools.HttpParserUpgrade:
            pass  # RFC 9110, section 7.8: "A server MAY ignore a received Upgrade header field".
        except httptools.HttpParserError:
            self._require_small(size)
            raise BadInput(_NOT_HTTP) from None
        self._require_small(size)
        if self._complete != (end >= 0):
            raise BadInput(_NOT_HTTP)
        if end < 0:
            return None
        method, version = self._parser.get_method(), self._parser.get_http_version()
        head = checked_head(method, self._url, version, self._headers, keep_alive=self._keep_alive)
        return head, raw[:size]

    def _require_small(self, size: int) -> None:
        if len(self._url) > MAX_URL_BYTES:
            raise UrlTooLong(
                f"the URL has {len(self._url)} bytes or more, and at most {MAX_URL_BYTES} are taken"
            )
        if size > MAX_HEAD_BYTES or len(self._headers) > MAX_HEADERS:
            raise HeadTooLarge(f"the head has more than {MAX_HEAD_BYTES} bytes or {MAX_HEADERS} headers")

    # httptools calls these.

    def on_url(self, url: bytes) -> None:
        """Take a piece of the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; the parser leaves the spaces behind a value."""
        self._headers.append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        """Note the empty line. Afterwards the parser may forget this request."""
        self._complete = True
        self._keep_alive = self._parser.should_keep_alive()


class SizedBody:
    """A body of announced length."""

    __slots__ = ("_left", "complete")

    def __init__(self, length: int) -> None:
        self._left = length
        self.complete = not length  # the last byte has come

    def read(self, incoming: Incoming) -> bytes:
        """Return bytes of the body, and skip them."""
        piece = incoming.peek(self._left)
        incoming.skip(len(piece))
        self._left -= len(piece)
        self.complete = not self._left
        return piece


class ChunkedBody:
    """A body in chunks. A parser judges every byte; this class finds the ends of chunks, which the parser does not tell."""

    __slots__ = ("_frame_bytes", "_in_trailer", "_left", "_line", "_parser", "complete")

    def __init__(self) -> None:
        self.complete = False  # the last byte of the trailer has come
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        self._line = b""
        self._left = 0  # bytes of the present chunk and its line end
        self._in_trailer = False
        self._frame_bytes = 0

    def read(self, incoming: Incoming) -> bytes:
        """Return bytes of the body, and skip those that belong to it; RequestError where the framing is broken."""
        data = incoming.peek(CHUNKS_AT_ONCE)
        body, place = [], 0
        while place < len(data) and not self.complete:
            if self._left:
                piece = data[place : place + self._left]
                body.append(piece[: max(0, self._left - 2)])
                self._left -= len(piece)
                self._frame_bytes = 0
            else:
                end = data.find(b"\n", place) + 1
                piece = data[place : end or len(data)]
                self._take_line(piece)
            self._parse(piece)
            place += len(piece)
            if self._line.endswith(b"\n"):
                self._end_line()
        incoming.skip(place)
        return b"".join(body)

    def on_message_complete(self) -> None:
        """Note the end of the trailers; called by the parser."""
        self.complete = True

    def _take_line(self, piece: bytes) -> None:
        self._line += piece
        self._frame_bytes += len(piece)
        if self._frame_bytes > MAX_FRAME_BYTES:
            raise HeadTooLarge(f"chunk extensions or a trailer have more than {MAX_FRAME_BYTES} bytes")

    def _parse(self, piece: bytes) -> None:
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserError:
            raise BadInput(_NOT_HTTP) from None

    def _end_line(self) -> None:
        line, self._line = self._line, b""
        if not self._in_trailer:
            size = int(line.partition(b";")[0], 16)
            self._in_trailer = not size
            self._left = size + 2 if size else 0


BodyReader = SizedBody | ChunkedBody


def body_of(head: Head) -> BodyReader:
    """Return the reader of the body behind a head."""
    return ChunkedBody() if head.length is None else SizedBody(head.length)
