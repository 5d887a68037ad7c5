"""KServe's first protocol, ``POST /v1/models/NAME:predict``: ``{"instances": […]}`` in, ``{"predictions": […]}`` out.

An instance is one item: nested numbers; ``{"b64": "…"}``, a picture (also under ``image_bytes``, as TensorFlow's clients send
it); or an object of all inputs of a model that has several. KServe, "Data Plane (V1)"; TensorFlow Serving, "RESTful API".
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from tailgate.service.codec.answers import written
from tailgate.service.codec.oip.call import Call, Source, Wanted
from tailgate.service.codec.oip.datatypes import BYTES, NAMES
from tailgate.service.codec.oip.reply import Written
from tailgate.service.errors import BadInput, WrongShape
from tailgate.service.models.items import Result
from tailgate.service.models.spec import Served


def call_from(body: bytes | bytearray | memoryview, served: Served, most_items: int) -> Call:
    """Read a request; BadInput for another form, WrongShape for too few or too many instances."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadInput(f"the body is not JSON: {error}") from None
    instances = document.get("instances") if isinstance(document, dict) else None
    if not isinstance(instances, list):
        raise BadInput('expected a JSON object {"instances": […]}')
    if not 1 <= len(instances) <= most_items:
        raise WrongShape(
            f"instances: expected 1 to {most_items}, got {len(instances)} (TAILGATE_QUEUE_CAPACITY)"
        )
    outputs = tuple(Wanted(index, binary=False) for index in range(len(served.outputs)))
    return Call(len(instances), tuple(_sources(instances, served)), outputs, 0)


def _sources(instances: list[Any], served: Served) -> list[Source]:
    count = len(instances)
    named = all(isinstance(each, dict) for each in instances)
    if named and served.image is not None:
        files = [each.get("image_bytes", each) for each in instances]
        texts = [each.get("b64") if isinstance(each, dict) else None for each in files]
        return [Source(served.inputs[0].name, served.item, BYTES, (count,), data=texts)]
    names = {tensor.name for tensor in served.inputs}
    if (named or len(names) > 1) and not (named and all(each.keys() == names for each in instances)):
        raise WrongShape(f"instances: expected an object of {sorted(names)} for each item")
    return [
        Source(
            name,
            spec,
            NAMES[spec.dtype],
            (count, *spec.shape),
            data=[e[name] for e in instances] if named else instances,
        )
        for name, spec in served.inputs
    ]


def reply_body(call: Call, results: Sequence[Result], served: Served) -> Written:
    """Return the answer: per item its output, or an object of its outputs where the model has several."""
    columns = [np.stack([result.all_outputs[wanted.which] for result in results]) for wanted in call.outputs]
    if len(columns) == 1:
        return Written(b'{"predictions":%b}' % written(columns[0]), None)
    names = [tensor.name for tensor in served.outputs]
    rows = [
        {n: orjson.Fragment(written(c)) for n, c in zip(names, row, strict=True)}
        for row in zip(*columns, strict=True)
    ]
    return Written(orjson.dumps({"predictions": rows}), None)
