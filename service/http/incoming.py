"""Bytes of a connection that have come and are not read yet."""

_LINE_ENDS = b"\r\n"


class Incoming:
    """A queue of bytes. Reading small requests out of a large piece costs no copies of the rest."""

    __slots__ = ("_at", "_data")

    def __init__(self) -> None:
        self._data = b""
        self._at = 0

    def __len__(self) -> int:
        """Return how many bytes are not read yet."""
        return len(self._data) - self._at

    def add(self, data: bytes) -> None:
        """Take what has come."""
        self._data = self._data[self._at :] + data if len(self) else data
        self._at = 0

    def peek(self, limit: int) -> bytes:
        """Return the next bytes, at most ``limit``; a whole piece is returned as it came."""
        return self._data[self._at : self._at + limit]

    def skip(self, count: int) -> None:
        """Note that bytes have been read."""
        self._at += count
        if self._at == len(self._data):
            self._data, self._at = b"", 0

    def skip_line_ends(self) -> None:
        """Skip empty lines before a request (RFC 9112, section 2.2)."""
        at = self._at
        while at < len(self._data) and self._data[at] in _LINE_ENDS:
            at += 1
        self.skip(at - self._at)

    def clear(self) -> int:
        """Skip everything; return how many bytes that was."""
        size = len(self)
        self._data, self._at = b"", 0
        return size
