"""A server of the protocol as the tests see it: requests, tensors made from its metadata, and answers taken apart."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

HEADER_LENGTH = "Inference-Header-Content-Length"
# "Tensor Data Types"; BF16 is of Triton's binary extension.
DTYPES: dict[str, str] = {
    "BOOL": "?",
    **{f"INT{8 * size}": f"<i{size}" for size in (1, 2, 4, 8)},
    **{f"UINT{8 * size}": f"<u{size}" for size in (1, 2, 4, 8)},
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
DATATYPES = {*DTYPES, "BF16", "BYTES"}
# "fp16 and bf16 are problematic to communicate explicitly".
BINARY_ONLY = {"FP16", "BF16"}
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input with values."""

    name: str
    datatype: str
    array: NDArray[Any]

    def described(self) -> Json:
        """Return the members that both forms have."""
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.array.shape)}

    def in_json(self, *, flat: bool = True) -> Json:
        """Return ``$request_input``."""
        return self.described() | {"data": (self.array.reshape(-1) if flat else self.array).tolist()}

    def in_binary(self) -> Json:
        """Return ``$request_input`` of an input whose elements follow the JSON."""
        return self.described() | {"parameters": {"binary_data_size": len(self.binary())}}

    def binary(self) -> bytes:
        """Return the elements as binary data."""
        if self.datatype != "BYTES":
            return self.array.tobytes()
        elements = [str(element).encode() for element in self.array.reshape(-1)]
        return b"".join(len(element).to_bytes(4, "little") + element for element in elements)

    def row(self, index: int) -> "Tensor":
        """Return one item of a batch."""
        return Tensor(self.name, self.datatype, self.array[index : index + 1])


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer to an inference request, taken apart by what it says of itself."""

    response: httpx.Response
    document: Json
    tail: bytes

    def outputs(self) -> dict[str, NDArray[Any]]:
        """Return the outputs by name; binary data are taken from behind the JSON in order."""
        arrays, place = {}, 0
        for output in self.document["outputs"]:
            size = output.get("parameters", {}).get("binary_data_size")
            if size is None:
                array = np.array(
                    output["data"], None if output["datatype"] == "BYTES" else DTYPES[output["datatype"]]
                )
            else:
                array = _from_binary(self.tail[place : place + size], output["datatype"])
                place += size
            arrays[output["name"]] = array.reshape(output["shape"])
        assert place == len(self.tail), (
            f"{len(self.tail)} bytes of binary data, of which the outputs have {place}"
        )
        return arrays


def _from_binary(data: bytes, datatype: str) -> NDArray[Any]:
    if datatype != "BYTES":
        return np.frombuffer(data, DTYPES[datatype])
    elements, place = [], 0
    while place < len(data):
        end = place + 4 + int.from_bytes(data[place : place + 4], "little")
        elements.append(data[place + 4 : end].decode())
        place = end
    return np.array(elements)


class Server:
    """The server under test, and the model that is asked."""

    def __init__(self, client: httpx.Client, model: str | None) -> None:
        self.client = client
        self.extensions: Sequence[str] = self._get("/v2").get("extensions", ())
        self.model = model or self._first_model()
        self.path = f"/v2/models/{self.model}"
        self.metadata = self._get(self.path)
        self.versions: Sequence[str] = self.metadata.get("versions") or ()  # that may be asked for

    def _get(self, path: str) -> Json:
        answer = self.client.get(path)
        if answer.status_code != 200:
            pytest.exit(
                f"GET {path}: expected 200 from {self.client.base_url}, got {answer.status_code} {answer.text[:200]}",
                4,
            )
        document: Json = answer.json()
        return document

    def _first_model(self) -> str:
        answer = self.client.post("/v2/repository/index", json={})
        if answer.status_code != 200 or not answer.json():
            raise pytest.UsageError(
                f"the server lists no model; name one: --oip-model=NAME ({answer.status_code})"
            )
        return str(answer.json()[0]["name"])

    @property
    def batches(self) -> bool:
        """Whether every tensor has a first dimension that a client may choose."""
        tensors = (*self.metadata["inputs"], *self.metadata["outputs"])
        return all(tensor["shape"] and tensor["shape"][0] == -1 for tensor in tensors)

    @property
    def output_names(self) -> list[str]:
        """The outputs in the order of the metadata."""
        return [output["name"] for output in self.metadata["outputs"]]

    def need(self, extension: str) -> None:
        """Skip the test where the server does not list an extension."""
        if not any(each.split("(")[0] == extension for each in self.extensions):
            pytest.skip(f"the server does not list the extension {extension}")

    def version_path(self) -> str:
        """Return where a version of the model is; skip the test where the server has none."""
        if not self.versions:
            pytest.skip("the server has no versions")
        return f"{self.path}/versions/{self.versions[0]}"

    def tensors(self, rows: int = 1, *, json_too: bool = True) -> list[Tensor]:
        """Return values for each input; dimensions that vary are ``rows`` for the first, else 1.

        ``json_too``: skip the test where one of them has no form in JSON.
        """
        rng = np.random.default_rng(0)
        made = []
        for given in self.metadata["inputs"]:
            datatype = given["datatype"]
            if datatype == "BF16" or (json_too and datatype in BINARY_ONLY):
                pytest.skip(f"input {given['name']!r} of {datatype} has no form in JSON")
            shape = [side if side != -1 else 1 for side in given["shape"]]
            if given["shape"] and given["shape"][0] == -1:
                shape[0] = rows
            if datatype == "BYTES":
                array: NDArray[Any] = np.array(["1"] * math.prod(shape)).reshape(shape)
            else:
                array = rng.integers(0, 2, shape).astype(DTYPES[datatype])
            made.append(Tensor(given["name"], datatype, array))
        return made

    def post(
        self, body: bytes, path: str | None = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Send a body as it is."""
        headers = {"Content-Type": "application/json"} if headers is None else headers
        return self.client.post(path or f"{self.path}/infer", content=body, headers=headers)

    def ask(
        self, inputs: Sequence[Tensor], path: str | None = None, *, flat: bool = True, **members: Any
    ) -> Answered:
        """Send tensors as JSON, and return a good answer."""
        document = {"inputs": [tensor.in_json(flat=flat) for tensor in inputs], **members}
        return taken_apart(self.post(json.dumps(document).encode(), path))

    def ask_binary(self, inputs: Sequence[Tensor], **members: Any) -> Answered:
        """Send tensors as binary data, and return a good answer."""
        header = json.dumps({"inputs": [tensor.in_binary() for tensor in inputs], **members}).encode()
        body = b"".join((header, *(tensor.binary() for tensor in inputs)))
        return taken_apart(self.post(body, headers={HEADER_LENGTH: str(len(header))}))

    def refused(self, response: httpx.Response) -> str:
        """Return what a refusal says, which must be of the protocol's form."""
        assert response.status_code >= 400, f"got {response.status_code} {response.text[:200]}"
        document = response.json()
        assert isinstance(document.get("error"), str), f"got {response.text[:200]}"
        return str(document["error"])


def taken_apart(response: httpx.Response) -> Answered:
    """Return a good answer by its parts."""
    assert response.status_code == 200, f"got {response.status_code} {response.text[:300]}"
    length = response.headers.get(HEADER_LENGTH)
    end = len(response.content) if length is None else int(length)
    return Answered(response, json.loads(response.content[:end]), response.content[end:])


def same(first: Mapping[str, NDArray[Any]], second: Mapping[str, NDArray[Any]]) -> bool:
    """Tell whether two answers are the same tensors, but for what another batch rounds otherwise."""
    return first.keys() == second.keys() and all(_near(first[name], second[name]) for name in first)


def _near(first: NDArray[Any], second: NDArray[Any]) -> bool:
    if first.dtype.kind != "f" or first.shape != second.shape:
        return np.array_equal(first, second)
    return np.allclose(first, second, rtol=1e-3, atol=1e-3, equal_nan=True)
