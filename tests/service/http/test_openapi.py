"""The OpenAPI document is valid, and what it says of ``/predict`` is so."""

import asyncio
import io
import sys
import types

import httpx
import jsonschema
import numpy as np
import pytest
from fastapi.openapi.models import OpenAPI
from PIL import Image
from serving import running, until
from tiny_models import POISON, Gate
from torch import nn

from tailgate.service.http.app import create_app
from tailgate.service.models import ImageInput, Model
from tailgate.service.settings import load_settings

pytestmark = pytest.mark.asyncio


@pytest.fixture(scope="module")
def document():
    return create_app(load_settings({})).openapi()


@pytest.fixture(scope="module")
def predict(document):
    return document["paths"]["/predict"]["post"]


def schemas(node):
    """Yield everything that stands under the word schema."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "schema":
                yield value
            yield from schemas(value)
    elif isinstance(node, list):
        for value in node:
            yield from schemas(value)


async def test_the_document_is_openapi_and_its_schemas_are_json_schema(document):
    OpenAPI.model_validate(document)
    assert document["openapi"].startswith("3.1")
    found = list(schemas(document))
    assert len(found) > 10
    for schema in found:
        jsonschema.Draft202012Validator.check_schema(schema)


async def test_every_path_that_is_served_is_documented(document):
    assert set(document["paths"]) == {"/", "/health/live", "/health/ready", "/metrics", "/predict"}


class Moody(nn.Module):
    """Fails on pixels of POISON, and runs only while its gate is open."""

    def __init__(self, gate):
        super().__init__()
        self.gate = gate

    def forward(self, batch):
        colours = batch.mean((2, 3))
        if bool((colours[:, 0] * 255).round().eq(POISON).any()):
            raise RuntimeError
        return self.gate(colours)


@pytest.fixture
def gate(monkeypatch):
    gate = Gate()
    image = ImageInput(8, 1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    model = Model("moody", Moody(gate), "none", image=image, labels=("red", "green", "blue"))
    monkeypatch.setitem(sys.modules, "moody", types.SimpleNamespace(factory=lambda: model))
    yield gate
    gate.opened.set()


PIXELS = np.full((8, 8, 3), 100, np.uint8)
OCTETS = "application/octet-stream"
TOKEN = "open-sesame-open-sesame"


def picture(kind):
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, kind)
    return file.getvalue()


BODIES = {
    "image/jpeg": {"content": picture("JPEG")},
    "image/png": {"content": picture("PNG")},
    "image/webp": {"content": picture("WEBP")},
    OCTETS: {"content": PIXELS.tobytes()},
    "application/json": {"json": {"inputs": PIXELS.tolist()}},
    "multipart/form-data": {"files": {"file": ("a.png", picture("PNG"), "image/png")}},
}


async def test_each_documented_content_type_works_and_is_answered_as_documented(predict, gate):
    assert set(predict["requestBody"]["content"]) == set(BODIES)
    schema = predict["responses"]["200"]["content"]["application/json"]["schema"]
    async with running("moody:factory") as server:
        for content_type, body in BODIES.items():
            headers = {"content-type": content_type} if "content" in body else {}
            answer = await server.client.post("/predict", headers=headers, **body)
            assert answer.status_code == 200, answer.text
            jsonschema.validate(answer.json(), schema)


async def refusals(server, gate):
    """Bring about every refusal that a ready service can give."""

    def send(content=PIXELS, content_type=OCTETS, **headers):
        return server.client.post(
            "/predict", content=bytes(content), headers={"content-type": content_type, **headers}
        )

    yield await send(authorization="Bearer of-bad-news-to-all")
    yield await send(b"{", "application/json")
    yield await send(bytes(1001))
    yield await send(**{"transfer-encoding": "gzip, chunked"})
    yield await send(content_type="text/plain")
    yield await send(b"x")
    yield await send(np.full_like(PIXELS, POISON))
    gate.opened.clear()
    held = asyncio.create_task(send())
    assert await asyncio.to_thread(gate.entered.acquire, timeout=30)
    late = asyncio.create_task(send(**{"x-request-timeout-ms": "1000"}))
    await until(lambda: server.service.pipeline.dispatcher.waiting == 1)
    yield await send()
    yield await late
    gate.opened.set()
    await held
    await server.service.drain()
    yield await send()


@pytest.mark.parametrize("overload_status", [429, 503])
async def test_each_documented_refusal_can_be_had_and_is_as_documented(gate, overload_status):
    asked = {"max_body_bytes": 1000, "queue_capacity": 1, "token": TOKEN, "overload_status": overload_status}
    responses = create_app(load_settings({}, **asked)).openapi()["paths"]["/predict"]["post"]["responses"]
    of_the_connection = {408, 414, 431, 505}  # brought about in test_connection.py and test_bad_input.py
    seen = set()
    async with running("moody:factory", **asked) as server:
        server.client.headers["authorization"] = f"Bearer {TOKEN}"
        async for answer in refusals(server, gate):
            seen.add(answer.status_code)
            response = responses[str(answer.status_code)]
            jsonschema.validate(answer.json(), response["content"]["application/json"]["schema"])
            assert ("retry-after" in answer.headers) == ("Retry-After" in response["description"])
    assert seen == {int(status) for status in responses} - {200} - of_the_connection


async def test_the_document_is_served_as_it_is(document):
    transport = httpx.ASGITransport(create_app(load_settings({})))
    async with httpx.AsyncClient(transport=transport, base_url="http://tailgate") as client:
        assert (await client.get("/openapi.json")).json() == document


async def test_where_tokens_are_set_the_document_says_what_needs_one(document):
    secured = create_app(load_settings({}, token=TOKEN)).openapi()
    OpenAPI.model_validate(secured)
    assert secured["security"] == [{"bearer": []}]
    free = {
        (path, method)
        for path, item in secured["paths"].items()
        for method, operation in item.items()
        if operation.get("security") == []
    }
    assert free == {
        (path, method) for path in ("/health/live", "/health/ready") for method in ("get", "head")
    }
    assert "security" not in document
