"""The answer to an inference request: JSON, and behind it the outputs that are asked for as binary data."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from tailgate.service.codec.answers import NUMBERS_AT_ONCE, written
from tailgate.service.codec.oip import datatypes
from tailgate.service.codec.oip.call import Call, Wanted
from tailgate.service.models.items import Result
from tailgate.service.models.spec import Served

# Models have no versions here; Triton's clients want one, as text.
VERSION = "1"
HEADER_LENGTH = b"inference-header-content-length"
# Numbers that are copied into an answer in one go: some hundred microseconds.
COPIED_AT_ONCE = 2**20


class Written(NamedTuple):
    """The body of an answer, and how many of its bytes are JSON; None for all."""

    body: bytes
    header_length: int | None


class Frame(NamedTuple):
    """What every answer to a call has in common, where all outputs are binary data."""

    header: bytes  # the JSON
    lines: bytes  # of the head of HTTP
    body_bytes: int  # of the answer, if the outputs are as the warm-up saw them
    takes_long: bool  # as :func:`takes_long` says


def frame_of(call: Call, served: Served) -> Frame | None:
    """Return what all answers to a call have in common; None where that is too little."""
    if any(wanted.classes or not wanted.binary for wanted in call.outputs):
        return None
    outputs, numbers, tail_bytes = [], 0, 0
    for wanted in call.outputs:
        name, spec = served.outputs[wanted.which]
        described = {"name": name, "datatype": datatypes.NAMES[spec.dtype], "shape": [call.rows, *spec.shape]}
        outputs.append(described | {"parameters": {"binary_data_size": call.rows * spec.nbytes}})
        numbers += call.rows * math.prod(spec.shape)
        tail_bytes += call.rows * spec.nbytes
    header = orjson.dumps(_document(call, served, outputs))
    return Frame(header, length_line(len(header)), len(header) + tail_bytes, numbers > COPIED_AT_ONCE)


def length_line(header_length: int) -> bytes:
    """Return the header line that says how many bytes of an answer are JSON."""
    return b"inference-header-content-length: %d\r\n" % header_length


def framed(frame: Frame, call: Call, results: Sequence[Result]) -> bytes | None:
    """Return the answer to a call in its frame; None where the outputs are not of the sizes that it says."""
    pieces = [result.all_outputs[wanted.which].tobytes() for wanted in call.outputs for result in results]
    body = b"".join((frame.header, *pieces))
    return body if len(body) == frame.body_bytes else None


def takes_long(call: Call, results: Sequence[Result]) -> bool:
    """Tell whether writing the answer takes so long that the event loop should not."""
    numbers = [
        sum(np.size(result.all_outputs[wanted.which]) for result in results) for wanted in call.outputs
    ]
    in_json = any(
        size > NUMBERS_AT_ONCE for size, each in zip(numbers, call.outputs, strict=True) if not each.binary
    )
    return in_json or sum(numbers) > COPIED_AT_ONCE


def reply_body(call: Call, results: Sequence[Result], served: Served) -> Written:
    """Return the answer to a call, whose results are in the order of its items."""
    outputs, tails = [], []
    for wanted in call.outputs:
        output, tail = _output(wanted, [result.all_outputs[wanted.which] for result in results], served)
        outputs.append(output)
        tails.append(tail)
    header = orjson.dumps(_document(call, served, outputs))
    if not any(wanted.binary for wanted in call.outputs):
        return Written(header, None)
    return Written(b"".join((header, *tails)), len(header))


def _document(call: Call, served: Served, outputs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return ``$inference_response``."""
    document: dict[str, Any] = {"model_name": served.name, "model_version": VERSION}
    if call.id is not None:
        document["id"] = call.id
    if call.parameters is not None:
        document["parameters"] = call.parameters
    document["outputs"] = outputs
    return document


def _output(wanted: Wanted, rows: Sequence[Any], served: Served) -> tuple[dict[str, Any], bytes]:
    """Return ``$response_output``, and its binary data."""
    name, spec = served.outputs[wanted.which]
    shape: list[int]
    if wanted.classes:
        labels = served.labels if wanted.which == 0 else None
        classes = [classified(row, wanted.classes, labels) for row in rows]
        strings = [text for row in classes for text in row]
        datatype, shape = datatypes.BYTES, [len(rows), len(classes[0])]
        tail = datatypes.bytes_of_strings(strings) if wanted.binary else b""
        data = b"" if wanted.binary else orjson.dumps([text.decode() for text in strings])
    else:
        tensor = rows[0][None] if len(rows) == 1 else np.stack(rows)
        datatype, shape = datatypes.NAMES[spec.dtype], list(tensor.shape)
        tail = tensor.tobytes() if wanted.binary else b""
        data = b"" if wanted.binary else written(np.ascontiguousarray(tensor).reshape(-1))
    output: dict[str, Any] = {"name": name, "datatype": datatype, "shape": shape}
    if wanted.binary:
        output["parameters"] = {"binary_data_size": len(tail)}
    else:
        output["data"] = orjson.Fragment(data)
    return output, tail


def classified(row: NDArray[Any], count: int, labels: Sequence[str] | None) -> list[bytes]:
    """Return the ``count`` largest values of an item's output as text, ``value:index`` or ``value:index:label``.

    The largest stands first, and equal values stand in the order of their indices; all come where there are fewer. Floats have
    six decimals, as Triton writes them.
    """
    flat = np.asarray(row).reshape(-1)
    if flat.dtype.kind == "b":
        flat = flat.astype(np.uint8)
    # Sorted backwards, so that a stable order of equal values comes out forwards.
    best = flat.size - 1 - np.argsort(flat[::-1], kind="stable")[::-1][:count]
    form = "{:f}:{}" if flat.dtype.kind == "f" else "{}:{}"
    texts = [
        form.format(value, index) for value, index in zip(flat[best].tolist(), best.tolist(), strict=True)
    ]
    if labels is not None and len(labels) == flat.size:
        texts = [f"{text}:{labels[index]}" for text, index in zip(texts, best.tolist(), strict=True)]
    return [text.encode() for text in texts]
