"""gzip and deflate (RFC 9110, section 8.4.1), of bodies and of answers, with a limit on what comes out."""

import zlib

from tailgate.service.codec.accept import weighed
from tailgate.service.codec.message import Headers, told
from tailgate.service.errors import BadInput, Encoded, TooLarge

GZIP, DEFLATE = b"gzip", b"deflate"
# zlib's window bits: "deflate" is the zlib format, gzip has a header of its own.
_WINDOW = {GZIP: 16 + zlib.MAX_WBITS, DEFLATE: zlib.MAX_WBITS}
# RFC 9110, section 8.4.1.3: "A recipient SHOULD consider "x-gzip" to be equivalent to "gzip"".
_SAME = {b"x-gzip": GZIP, b"": b"identity"}
# A small answer gains nothing: it fits into one packet.
LEAST_BYTES = 1400
# The fastest: a better one costs more time than the bytes that it saves.
LEVEL = 1


def coding_of(headers: Headers) -> bytes | None:
    """Return the coding of a body, None where it has none; Encoded for any that is not decoded here."""
    values = b",".join(value for name, value in headers if name == b"content-encoding")
    codings = [coding for coding in map(_named, values.split(b",")) if coding != b"identity"]
    if not codings:
        return None
    if len(codings) > 1 or codings[0] not in _WINDOW:
        raise Encoded(
            f"Content-Encoding: expected gzip or deflate, got {told(values)}", taken=b"gzip, deflate"
        )
    return codings[0]


def accepted(headers: Headers) -> bytes | None:
    """Return the coding in which a client likes its answer best, None for none; gzip before deflate."""
    values = b",".join(value for name, value in headers if name == b"accept-encoding").decode("latin-1")
    weights = {_named(choice.encode("latin-1")): weight for choice, weight in weighed(values)}
    others = weights.get(b"*", 0.0)
    best = max(_WINDOW, key=lambda coding: weights.get(coding, others))
    return best if weights.get(best, others) > 0 else None


def _named(coding: bytes) -> bytes:
    coding = coding.strip().lower()
    return _SAME.get(coding, coding)


def decoded(body: bytes | bytearray | memoryview, coding: bytes, limit: int) -> bytes:
    """Return what a body means.

    gzip may have several members (RFC 1952, section 2.2). No client sends them, and some million empty ones would cost
    minutes, so only one is taken.

    Raises:
        BadInput: the body is damaged, or goes on behind its end.
        TooLarge: more than ``limit`` bytes would come out.
    """
    stream = zlib.decompressobj(_WINDOW[coding])
    try:
        whole = stream.decompress(body, limit + 1)
    except zlib.error as error:
        raise BadInput(f"the body is not {coding.decode()}: {error}") from None
    if len(whole) > limit:
        raise TooLarge(
            f"the body has more than {limit} bytes when it is unpacked, and at most {limit} are taken (TAILGATE_MAX_BODY_BYTES)"
        )
    if not stream.eof or stream.unused_data:
        raise BadInput(f"the body is not one whole {coding.decode()} stream")
    return whole


def encoded(body: bytes, coding: bytes) -> bytes:
    """Return a body in a coding."""
    stream = zlib.compressobj(LEVEL, wbits=_WINDOW[coding])
    return stream.compress(body) + stream.flush()
