"""The body of an inference request, whole: to a call and its items."""

import math
from typing import NamedTuple

from tailgate.service.codec.inputs import CHECKED_AT_ONCE, too_many_marks
from tailgate.service.codec.intent import InferHead
from tailgate.service.codec.oip import call as calls
from tailgate.service.codec.oip import first_version
from tailgate.service.codec.oip.call import Call
from tailgate.service.codec.oip.codings import decoded
from tailgate.service.codec.oip.items import pictures_of, rows_of
from tailgate.service.codec.oip.reply import Frame, frame_of
from tailgate.service.errors import BadInput, TooLarge
from tailgate.service.models.items import Item
from tailgate.service.models.spec import Served
from tailgate.service.settings import Settings

# JSON that is read on the event loop: some ten microseconds. A client's JSON without data has some hundred bytes.
READ_AT_ONCE = 16 * 2**10
# Numbers in JSON, at most, where one item has fewer: parsing them keeps the interpreter lock, for some ten milliseconds.
JSON_NUMBERS = 2**19
# Calls that are remembered, and bytes of their JSON, at most.
KNOWN_CALLS, KNOWN_BYTES = 64, 2048


class Known(NamedTuple):
    """A call, and what its answers have in common where the call is remembered."""

    call: Call
    frame: Frame | None


class Read(NamedTuple):
    """A body that has been read: its items, or the files of pictures that are still to be decoded, and its bytes."""

    known: Known
    items: list[Item]
    pictures: list[bytes]
    size: int


class KnownCalls:
    """The calls that clients make again and again, by their JSON. Safe in several threads."""

    def __init__(self) -> None:
        self._calls: dict[bytes, Known] = {}

    def met(self, head: InferHead, body: bytes | bytearray | memoryview) -> Known | None:
        """Return the call of a body whose JSON is known; None for any other."""
        length = head.header_length
        if not length or length > KNOWN_BYTES or head.coding is not None:
            return None
        return self._calls.get(bytes(body[:length]))

    def read(self, header: memoryview, served: Served, most_items: int) -> Known:
        """Read JSON, and remember it if it may come again; raises as :func:`.call.call_from` does."""
        _require_few_values(header, served)
        call = calls.call_from(header, served, most_items)
        if not call.lasting or len(header) > KNOWN_BYTES:
            return Known(call, None)
        if len(self._calls) >= KNOWN_CALLS:
            self._calls.clear()
        known = self._calls[bytes(header)] = Known(call, frame_of(call, served))
        return known


def reads_long(head: InferHead, size: int, served: Served) -> bool:
    """Tell whether reading a body of so many bytes takes so long that a thread does it."""
    in_json = size if head.header_length is None else min(size, head.header_length)
    return head.coding is not None or in_json > READ_AT_ONCE or takes_long(size, served)


def takes_long(size: int, served: Served) -> bool:
    """Tell whether items of so many bytes take so long to be checked or packed that a thread does it."""
    return size > CHECKED_AT_ONCE and (len(served.inputs) > 1 or served.item.dtype.kind in "fb")


def read_body(
    head: InferHead,
    body: bytes | bytearray | memoryview,
    served: Served,
    settings: Settings,
    known: KnownCalls,
) -> Read:
    """Read a body; ``settings`` say how many items may wait, and how many bytes a body may have once it is unpacked.

    Raises:
        BadInput: not what the headers say, not JSON, or not a request of the protocol.
        TooLarge: more bytes once it is unpacked, or more numbers in JSON, than are taken.
        WrongShape, NotOffered: as :func:`tailgate.service.codec.oip.call.call_from` says.
    """
    if head.coding is not None:
        body = decoded(body, head.coding, settings.max_body_bytes)
    view, most_items = memoryview(body), settings.queue_capacity
    size = len(view)
    if not size:
        raise BadInput("the body is empty")
    if head.first:
        _require_few_values(view, served)
        return read_items(Known(first_version.call_from(view, served, most_items), None), view[size:], size)
    if head.header_length == 0:
        return read_items(Known(calls.raw_call(view, served), None), view, size)
    length = size if head.header_length is None else head.header_length
    if length > size:
        raise BadInput(
            f"Inference-Header-Content-Length: {length} bytes of JSON are announced, and the body has {size}"
        )
    return read_items(known.read(view[:length], served, most_items), view[length:], size)


def read_items(known: Known, tail: bytes | bytearray | memoryview, size: int) -> Read:
    """Take the items of a call out of what follows its JSON, in a body of ``size`` bytes."""
    if known.call.pictures:
        return Read(known, [], pictures_of(known.call, tail), size)
    return Read(known, rows_of(known.call, tail), [], size)


def _require_few_values(header: memoryview, served: Served) -> None:
    """Refuse JSON of far more values than a request needs, with TooLarge, before it is parsed.

    Each value stands behind a bracket, a comma or a colon; empty lists are the worst, 25 times as large once parsed.
    """
    if len(header) <= READ_AT_ONCE:
        return
    numbers = max(JSON_NUMBERS, *(math.prod(tensor.spec.shape) for tensor in served.inputs))
    crowd = too_many_marks(header, {b"[": numbers, b",": numbers, b"{": 0, b":": 0})
    if crowd is not None:
        raise TooLarge(f"the JSON has {crowd}; send the tensors as binary data instead")
