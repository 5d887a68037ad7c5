"""What the model made of one item becomes the bytes of an answer."""

from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from tailgate.service.codec.inputs import TENSOR, Kind
from tailgate.service.models.items import Result
from tailgate.service.models.spec import Served

# Numbers that are written in one go: some tens of microseconds, for which the interpreter lock is held.
NUMBERS_AT_ONCE = 4096


def answer_body(result: Result, kind: Kind, served: Served, *, batched: bool) -> bytes:
    """Return the JSON answer: the likeliest labels, or all outputs for tensors and for models without labels.

    ``batched``: the request had a batch dimension, and so has the answer.
    """
    if kind is TENSOR or served.labels is None:
        return outputs_body(result, served, batched=batched and kind is TENSOR)
    return labels_body(result, served, served.labels)


def takes_long(result: Result, kind: Kind, served: Served) -> bool:
    """Tell whether writing the answer takes so long that the event loop should not."""
    if kind is not TENSOR and served.labels is not None:
        return False
    return sum(np.size(each) for each in result.all_outputs) > NUMBERS_AT_ONCE


def labels_body(result: Result, served: Served, labels: tuple[str, ...]) -> bytes:
    """Return the most likely labels as JSON."""
    return orjson.dumps(
        {
            "model": served.name,
            "predictions": [
                {"label": labels[index], "class": index, "probability": probability}
                for index, probability in zip(result.classes, result.probabilities, strict=True)
            ],
        }
    )


def outputs_body(result: Result, served: Served, *, batched: bool) -> bytes:
    """Return the JSON answer to tensors, with a batch dimension where the request had one; several outputs by name."""
    # Not ascontiguousarray, which makes a list of a single number.
    texts = [written(np.asarray(each[None] if batched else each, order="C")) for each in result.all_outputs]
    text = texts[0]
    if len(texts) > 1:
        names = [orjson.dumps(tensor.name) for tensor in served.outputs]
        text = b"{%b}" % b",".join(b"%b:%b" % pair for pair in zip(names, texts, strict=True))
    return b'{"model":%b,"outputs":%b}' % (orjson.dumps(served.name), text)


def written(array: NDArray[Any]) -> bytes:
    """Return an array as nested JSON, written in pieces: orjson keeps the interpreter lock for each."""
    if array.size <= NUMBERS_AT_ONCE:
        # [()] makes an array without dimensions a number, which orjson takes, and leaves others as they are.
        return orjson.dumps(array[()], option=orjson.OPT_SERIALIZE_NUMPY)
    rows = NUMBERS_AT_ONCE // (array.size // len(array))
    if rows == 0:
        pieces = [written(row) for row in array]
    else:
        pieces = [written(array[first : first + rows])[1:-1] for first in range(0, len(array), rows)]
    return b"[%b]" % b",".join(pieces)
