"""The id of each request, in ``x-request-id`` and as the trace of ``traceparent`` (W3C Trace Context, section 3.2).

It is a prefix, which each generator draws for itself, and the request's number. So it needs no place in the samples.
"""

import secrets
import string
from collections.abc import Collection, Sequence

from tailgate.harness.load.wire.connection import Flight

_DIGITS = 16
# Of a number, those of the request within its phase.
_PHASE_BITS = 48
_NO_NUMBER = "0" * _DIGITS


def draw_prefix() -> str:
    """Return a new prefix, 16 hexadecimal digits."""
    return secrets.token_hex(_DIGITS // 2)


def request_id(prefix: str, phase: int, request: int) -> str:
    """Return the id of a request: 32 hexadecimal digits; empty where the generator sends none."""
    return prefix and prefix + _number(phase, request).decode()


def request_of(told: str, prefix: str, phase: int) -> int | None:
    """Return the index of the request of a phase that has this id; None for any other id."""
    number = told.removeprefix(prefix)
    if not prefix or number == told or len(number) != _DIGITS or not set(number) <= set(string.hexdigits):
        return None
    found, index = divmod(int(number, 16), 1 << _PHASE_BITS)
    return index - 1 if found == phase and index else None


def id_lines(prefix: str, said: Collection[str]) -> list[str]:
    """Return the lines of a request's head that have its id, as yet without the number.

    ``said`` are the names, in lower case, of the headers that the user sets: these stay as they are.
    """
    return [f"{name}: {value}" for name, value in _values(prefix).items() if prefix and name not in said]


def _values(prefix: str) -> dict[str, str]:
    return {
        "x-request-id": f"{prefix}{_NO_NUMBER}",
        "traceparent": f"00-{prefix}{_NO_NUMBER}-{_NO_NUMBER}-01",
    }


# Where the number stands in each of these values.
_IN_VALUE = {"x-request-id": (16,), "traceparent": (19, 36)}


def _number(phase: int, request: int) -> bytes:
    # From 1 on: a span's id must not be nil.
    return b"%016x" % (phase << _PHASE_BITS | request + 1)


class Requests:
    """The bytes of every payload's request, each with a place for its number; one phase after the other."""

    def __init__(self, encoded: Sequence[bytes], prefix: str) -> None:
        self.phase = 0
        self._encoded = [bytearray(one) for one in encoded]
        self._places = [_places(one, prefix) if prefix else [] for one in encoded]

    def bytes_of(self, flight: Flight) -> bytearray:
        """Return a request's bytes, good until the next call."""
        encoded = self._encoded[flight.payload]
        number = _number(self.phase, flight.request)
        for place in self._places[flight.payload]:
            encoded[place] = number
        return encoded


def _places(encoded: bytes, prefix: str) -> list[slice]:
    """Return where the number stands, as :func:`id_lines` wrote it."""
    head = encoded[: encoded.index(b"\r\n\r\n") + 2]
    found = []
    for name, value in _values(prefix).items():
        start = head.find(f"\r\n{name}: {value}\r\n".encode())
        if start >= 0:
            found += [start + len(f"\r\n{name}: ") + at for at in _IN_VALUE[name]]
    return [slice(at, at + _DIGITS) for at in found]
