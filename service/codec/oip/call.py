"""An inference request becomes a :class:`Call`: which inputs for the model, and which outputs in what form are asked for.

A client that calls a model again sends the same JSON again, and other bytes behind it. So the JSON is read and checked here,
for a call that can be kept, and :mod:`tailgate.service.codec.oip.items` takes the inputs out of the bytes.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from tailgate.service.codec.images import is_picture
from tailgate.service.codec.inputs import Kind, require_length
from tailgate.service.codec.oip import datatypes
from tailgate.service.codec.oip.datatypes import BF16, BYTES, NAMES
from tailgate.service.errors import BadInput, NotOffered, WrongShape
from tailgate.service.models.spec import NamedTensor, Served, TensorSpec

Parameters = dict[str, str | int | float | bool]
# What Triton reserves; the other parameters are a client's own, and come back in the answer.
_RESERVED = {
    *("sequence_id", "sequence_start", "sequence_end", "priority", "timeout", "headers"),
    *("binary_data_output", "classification"),
}
_RESERVED_PREFIX = "triton_"
MOST_TOLD = 40  # characters of a client's name that an error repeats


class _Input(msgspec.Struct):
    """``$request_input``."""

    name: str
    shape: list[int]
    datatype: str
    parameters: Parameters | None = None
    data: Any = None


class _Output(msgspec.Struct):
    """``$request_output``."""

    name: str
    parameters: Parameters | None = None


class _Request(msgspec.Struct):
    """``$inference_request``; other members mean nothing."""

    inputs: list[_Input]
    id: str | None = None
    parameters: Parameters | None = None
    outputs: list[_Output] | None = None


_decode = msgspec.json.Decoder(_Request).decode


class Source(NamedTuple):
    """Where the elements of an input are: in the bytes behind the JSON from ``start`` to ``stop``, or in ``data``."""

    name: str
    spec: TensorSpec  # of one item
    datatype: str
    shape: tuple[int, ...]
    start: int = 0
    stop: int = 0
    data: Any = None


class Wanted(NamedTuple):
    """An output that is asked for: which, as binary data or as JSON, and how many of its classes (0: the tensor)."""

    which: int
    binary: bool
    classes: int = 0


class Call(NamedTuple):
    """What a request asks for."""

    rows: int  # items for the model
    sources: tuple[Source, ...]  # the inputs in the model's order
    outputs: tuple[Wanted, ...]  # in the order in which they are asked for
    tail_bytes: int  # behind the JSON
    id: str | None = None  # which the answer repeats
    parameters: Parameters | None = None  # which the answer repeats
    timeout_s: float | None = None  # how long the client waits, None for no limit

    @property
    def pictures(self) -> bool:
        """Whether the items are pictures, which are still to be decoded."""
        return self.sources[0].datatype == BYTES

    @property
    def lasting(self) -> bool:
        """Whether the same JSON may come again: it has no id and no elements."""
        return self.id is None and all(source.data is None for source in self.sources)


def raw_call(body: bytes | bytearray | memoryview, served: Served) -> Call:
    """Return what a body means that is all of the only input of one item; every output is answered as binary data."""
    if len(served.inputs) != 1:
        raise BadInput(
            f"Inference-Header-Content-Length: 0 is for models of one input, and {served.name} has {len(served.inputs)}: "
            f"{_names(served.inputs)}"
        )
    ((name, spec),) = served.inputs
    outputs = tuple(Wanted(index, binary=True) for index in range(len(served.outputs)))
    if served.image is not None and len(body) != spec.nbytes and is_picture(bytes(body[:16])):
        return Call(1, (Source(name, spec, BYTES, (1,), data=bytes(body)),), outputs, len(body))
    require_length(Kind.PIXELS, len(body), spec)
    return Call(
        1, (Source(name, spec, NAMES[spec.dtype], (1, *spec.shape), 0, len(body)),), outputs, len(body)
    )


def call_from(header: bytes | bytearray | memoryview, served: Served, most_items: int) -> Call:
    """Read the JSON of a request, of which ``most_items`` may wait at once.

    Raises:
        BadInput: not JSON, or not an ``$inference_request``.
        WrongShape: other inputs than the model's, or of another shape or datatype.
        NotOffered: an extension that is not there.
    """
    try:
        request = _decode(header)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(
            f"the body is not an inference request of the Open Inference Protocol: {error}"
        ) from None
    parameters = request.parameters or {}
    sources, place = [], 0
    for each in request.inputs:
        source = _source(each, place, served)
        sources.append(source)
        place = source.stop or place
    ordered = _ordered(sources, served)
    count = ordered[0].shape[0]
    if any(source.shape[0] != count for source in ordered):
        raise WrongShape(
            f"inputs: expected as many items in each, got {[source.shape[0] for source in ordered]} in {_names(served.inputs)}"
        )
    if not 1 <= count <= most_items:
        raise WrongShape(
            f"input {ordered[0].name!r}: expected 1 to {most_items} items in its first dimension, got {count} "
            "(TAILGATE_QUEUE_CAPACITY is how many may wait)"
        )
    binary = _flag(parameters, "binary_data_output", "parameters")
    timeout_us = _number(parameters, "timeout", "parameters")
    own = {
        key: value
        for key, value in parameters.items()
        if key not in _RESERVED and not key.startswith(_RESERVED_PREFIX)
    }
    return Call(
        count,
        ordered,
        tuple(_wanted(request.outputs, served, binary=binary)),
        place,
        request.id,
        own or None,
        timeout_us / 1e6 if timeout_us else None,
    )


def _source(given: _Input, place: int, served: Served) -> Source:
    """Return where an input is, whose binary data begin at ``place``."""
    known = {tensor.name: tensor.spec for tensor in served.inputs}
    spec = known.get(given.name)
    if spec is None:
        raise WrongShape(f"inputs: expected {_names(served.inputs)}, got {_told(given.name)}")
    what, shape = f"input {given.name!r}", tuple(given.shape)
    parameters = given.parameters or {}
    if "shared_memory_region" in parameters:
        raise NotOffered(f"{what}: shared memory is not supported; send the tensor in the body")
    expected = NAMES[spec.dtype]
    taken = [expected] + [BF16] * (expected == "FP32") + [BYTES] * (served.image is not None)
    if given.datatype not in taken:
        raise WrongShape(f"{what}: expected datatype {' or '.join(taken)}, got {_told(given.datatype)}")
    rest = ((), (1,)) if given.datatype == BYTES else (spec.shape,)
    if not shape or shape[1:] not in rest:
        raise WrongShape(f"{what}: expected shape {[-1, *rest[0]]} of {given.datatype}, got {list(shape)}")
    size = _number(parameters, "binary_data_size", what)
    if (size is None) == (given.data is None):
        raise BadInput(f"{what}: expected either data or the parameter binary_data_size, got both or neither")
    if size is None:
        return Source(given.name, spec, given.datatype, shape, data=given.data)
    element = datatypes.element_size(given.datatype)
    if element is not None and size != math.prod(shape) * element:
        raise WrongShape(
            f"{what}: expected binary_data_size {math.prod(shape) * element} for {given.datatype} {list(shape)}, got {size}"
        )
    return Source(given.name, spec, given.datatype, shape, place, place + size)


def _ordered(sources: Sequence[Source], served: Served) -> tuple[Source, ...]:
    """Return one source per input of the model, in the model's order; WrongShape where one is missing or comes twice."""
    by_name = {source.name: source for source in sources}
    if len(sources) != len(served.inputs) or len(by_name) != len(sources):
        raise WrongShape(
            f"inputs: expected each of {_names(served.inputs)} once, got {[source.name for source in sources]}"
        )
    return tuple(by_name[tensor.name] for tensor in served.inputs)


def _wanted(asked: list[_Output] | None, served: Served, *, binary: bool) -> Iterator[Wanted]:
    """Yield the outputs that are asked for; all of them where none is named."""
    if not asked:
        yield from (Wanted(index, binary) for index in range(len(served.outputs)))
        return
    places = {tensor.name: index for index, tensor in enumerate(served.outputs)}
    for each in asked:
        index = places.pop(each.name, None)
        if index is None:
            raise WrongShape(
                f"outputs: expected each of {_names(served.outputs)} at most once, got {_told(each.name)}"
            )
        what, parameters = f"output {each.name!r}", each.parameters or {}
        if "shared_memory_region" in parameters:
            raise NotOffered(f"{what}: shared memory is not supported; the tensor comes in the body")
        own = _flag(parameters, "binary_data", what) if "binary_data" in parameters else binary
        yield Wanted(index, own, _number(parameters, "classification", what) or 0)


def _flag(parameters: Parameters, name: str, what: str) -> bool:
    value = parameters.get(name, False)
    if not isinstance(value, bool):
        raise BadInput(f"{what}: {name}: expected true or false, got {_told(value)}")
    return value


def _number(parameters: Parameters, name: str, what: str) -> int | None:
    value = parameters.get(name)
    if value is not None and (type(value) is not int or value < 0):
        raise BadInput(f"{what}: {name}: expected a whole number of 0 or more, got {_told(value)}")
    return value


def _names(tensors: Sequence[NamedTensor]) -> str:
    return ", ".join(repr(tensor.name) for tensor in tensors)


def _told(value: object) -> str:
    text = repr(value)
    return text if len(text) <= MOST_TOLD else text[:MOST_TOLD] + "…"
