"""Payloads for a server of the Open Inference Protocol, made from what it says of its model: ``oip:`` or ``oip:MODEL``."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import numpy as np
import orjson

from tailgate.harness.errors import UsageError
from tailgate.harness.scenario.payloads.bodies import JSON, OCTETS
from tailgate.harness.scenario.payloads.payload import Payload

KIND = "oip"
COUNT = 8
BINARY_EXTENSION = "binary_tensor_data"
HEADER_LENGTH = "Inference-Header-Content-Length"
# The specification, under "Tensor Data Types".
_TYPES = {
    "BOOL": "?",
    **{f"INT{8 * size}": f"<i{size}" for size in (1, 2, 4, 8)},
    **{f"UINT{8 * size}": f"<u{size}" for size in (1, 2, 4, 8)},
    **{f"FP{8 * size}": f"<f{size}" for size in (2, 4, 8)},
}


def path_of(model: str) -> str:
    """Return where a model is."""
    return f"/v2/models/{quote(model, safe='')}"


def unasked(model: str) -> Sequence[Payload]:
    """Return the payloads by name, without the bodies, which only the running server can tell."""
    path = f"{path_of(model or 'MODEL')}/infer"
    return [Payload(f"{KIND}-{index}", b"", OCTETS, path) for index in range(COUNT)]


def tensor_payloads(metadata: Mapping[str, Any], *, binary: bool) -> Sequence[Payload]:
    """Return seeded requests of one item each.

    Args:
        metadata: ``$metadata_model_response``; sides that vary are 1.
        binary: the server takes Triton's binary data; else numbers go in JSON.

    Raises:
        UsageError: an input of a type that cannot be made, or has no form in JSON.
    """
    path, rng = f"{path_of(metadata['name'])}/infer", np.random.default_rng(0)
    return [
        _payload(f"{KIND}-{index}", path, metadata["inputs"], rng, binary=binary) for index in range(COUNT)
    ]


def _payload(
    name: str, path: str, inputs: Sequence[Mapping[str, Any]], rng: np.random.Generator, *, binary: bool
) -> Payload:
    given, tails = [], []
    for tensor in inputs:
        datatype, shape = tensor["datatype"], [max(side, 1) for side in tensor["shape"]]
        if datatype not in _TYPES or (datatype == "FP16" and not binary):
            raise UsageError(
                f"payloads {KIND}: input {tensor['name']!r} is {datatype}, which is not made; send files instead"
            )
        array = _numbers(rng, np.dtype(_TYPES[datatype]), shape)
        described = {"name": tensor["name"], "datatype": datatype, "shape": shape}
        if binary:
            given.append(described | {"parameters": {"binary_data_size": array.nbytes}})
            tails.append(array.tobytes())
        else:
            given.append(described | {"data": array.reshape(-1).tolist()})
    document: dict[str, Any] = {"inputs": given}
    if not binary:
        return Payload(name, orjson.dumps(document), JSON, path)
    header = orjson.dumps(document | {"parameters": {"binary_data_output": True}})
    length = ((HEADER_LENGTH, str(len(header))),)
    return Payload(name, b"".join((header, *tails)), OCTETS, path, headers=length)


def _numbers(rng: np.random.Generator, dtype: np.dtype[Any], shape: Sequence[int]) -> np.ndarray[Any, Any]:
    if dtype.kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    # Bytes are pixels; other whole numbers may be codes, of which the smallest are there.
    return rng.integers(0, 256 if dtype == np.uint8 else 2, shape).astype(dtype)
