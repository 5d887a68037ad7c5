"""The events of an answer that is a stream: how many there were, when each was read, and whether one says that it failed.

Three kinds of answers are streams, told by their headers:

* ``text/event-stream``: server-sent events (WHATWG, HTML Living Standard, section 9.2). An event counts when its blank
  line was read, if it carries data. ``data: [DONE]`` ends many streams and is no event here.
* ``application/x-ndjson`` and its like: each line that is not blank is an event.
* ``text/plain`` with chunked transfer coding: each chunk is an event.

A stream says that it failed by an event named ``error``, or by JSON data with a top-level ``error`` that is neither null,
false, 0 nor empty.
"""

from array import array

import orjson

# Of a line, and of the data of an event: more is counted and not kept. An error's words are far shorter.
_KEPT_BYTES = 65_536
# Of one answer: a book of a thousand pages has about half as many tokens.
MOST_EVENTS = 1_000_000
# What a lag is where the kernel told no time of arrival.
UNKNOWN_LAG = 2**32 - 1
_DONE = b"[DONE]"
# Most answers are one of these, and need no closer look.
_NO_STREAMS = frozenset({b"", b"application/json", b"application/octet-stream", b"text/html; charset=utf-8"})
LINES = frozenset(
    {
        b"application/x-ndjson",
        b"application/ndjson",
        b"application/jsonl",
        b"application/x-jsonlines",
        b"application/stream+json",
    }
)


class EventStream:
    """Counts events of one answer; the subclasses know where an event ends.

    ``read_ns`` has the moment (CLOCK_MONOTONIC) at which each event's end was read, and ``lags_ns`` how long the kernel
    had held these bytes by then. ``error`` is what the first event said that told of a failure; None where none did.
    """

    __slots__ = ("_lag_ns", "_now_ns", "error", "lags_ns", "read_ns")

    def __init__(self) -> None:
        self.read_ns = array("q")
        self.lags_ns = array("I")
        self.error: bytes | None = None
        self._now_ns = 0
        self._lag_ns = UNKNOWN_LAG

    def read_at(self, now_ns: int, lag_ns: int = UNKNOWN_LAG) -> None:
        """Take the moment at which the pieces that follow were read, and how long the kernel had held them."""
        self._now_ns = now_ns
        # It has four bytes in the record, which hold four seconds.
        self._lag_ns = lag_ns if lag_ns <= UNKNOWN_LAG else UNKNOWN_LAG - 1

    def feed(self, piece: bytes) -> None:
        """Take the next piece of the body, cut anywhere."""
        raise NotImplementedError

    def end_chunk(self) -> None:
        """Take the end of a chunk (chunked transfer coding)."""

    def end(self) -> None:
        """Take the end of the whole answer."""

    def _event(self, data: bytes, name: bytes = b"") -> None:
        if name == b"error" or _tells_error(data):
            self.error = self.error or data or name
        elif data.strip() != _DONE and len(self.read_ns) < MOST_EVENTS:
            self.read_ns.append(self._now_ns)
            self.lags_ns.append(self._lag_ns)


class _Lined(EventStream):
    """A stream of lines that end with LF, CR or CRLF."""

    __slots__ = ("_after_cr", "_rest")

    def __init__(self) -> None:
        super().__init__()
        self._rest = b""
        self._after_cr = False  # the last byte read was a CR: an LF would be of the same end of line

    def feed(self, piece: bytes) -> None:
        """Take the lines that this piece completes."""
        if self._after_cr and piece:
            self._after_cr = False
            if piece[:1] == b"\n":
                piece = piece[1:]
        if not piece:
            return
        self._after_cr = piece[-1:] == b"\r"
        # Of bytes, these three ends only: a str would be split at others, too.
        lines = (self._rest + piece).splitlines()
        self._rest = b"" if piece[-1:] in b"\r\n" else lines.pop()[:_KEPT_BYTES]
        for line in lines:
            self._line(line)

    def _line(self, line: bytes) -> None:
        raise NotImplementedError


class ServerSentEvents(_Lined):
    """``text/event-stream``."""

    __slots__ = ("_begun", "_data", "_name")

    def __init__(self) -> None:
        super().__init__()
        self._begun = False
        self._data: bytes | None = None
        self._name = b""

    def _line(self, line: bytes) -> None:
        if not self._begun:
            self._begun = True
            line = line.removeprefix(b"\xef\xbb\xbf")  # one byte order mark may stand at the beginning
        if not line:
            self._dispatch()
            return
        field, _, value = line.partition(b":")
        if field == b"data":
            value = value.removeprefix(b" ")
            # Lines of one event's data are joined by LF.
            data = value if self._data is None else b"%b\n%b" % (self._data, value)
            self._data = data[:_KEPT_BYTES]
        elif field == b"event":
            self._name = value.removeprefix(b" ")

    def _dispatch(self) -> None:
        data, name = self._data, self._name
        self._data, self._name = None, b""
        # Without data a browser drops an event of any name; a server that sends this one has failed all the same.
        if data is not None or name == b"error":
            self._event(data or b"", name)


class Lines(_Lined):
    """One JSON document per line."""

    __slots__ = ()

    def end(self) -> None:
        """Take the last line, which needs no end of its own."""
        self._line(self._rest)
        self._rest = b""

    def _line(self, line: bytes) -> None:
        if line := line.strip():
            self._event(line)


class Chunks(EventStream):
    """Text whose chunks are its tokens."""

    __slots__ = ("_filled",)

    def __init__(self) -> None:
        super().__init__()
        self._filled = False

    def feed(self, piece: bytes) -> None:
        """Note that the chunk has a body; the last one has none."""
        self._filled = self._filled or bool(piece)

    def end_chunk(self) -> None:
        """Count the chunk."""
        if self._filled:
            self._filled = False
            self._event(b"")


def stream_of(content_type: bytes, *, chunked: bool) -> EventStream | None:
    """Return what counts the events of an answer of this Content-Type; None for one that is no stream."""
    if content_type in _NO_STREAMS:
        return None
    media_type = content_type.partition(b";")[0].strip().lower()
    if media_type == b"text/event-stream":
        return ServerSentEvents()
    if media_type in LINES:
        return Lines()
    return Chunks() if chunked and media_type == b"text/plain" else None


def _tells_error(data: bytes) -> bool:
    if b'"error"' not in data:
        return False
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    return isinstance(document, dict) and bool(document.get("error"))
