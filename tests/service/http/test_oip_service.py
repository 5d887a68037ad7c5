"""The Open Inference Protocol through the real application, spoken by tritonclient's own encoder and decoder."""

import asyncio
import gzip
import io
import json
import zlib

import numpy as np
import pytest
from PIL import Image
from serving import metric_samples, running, until
from tiny_models import POISON
from tritonclient.http import InferInput, InferRequestedOutput, InferResult
from tritonclient.http._utils import _get_inference_request

pytestmark = pytest.mark.asyncio

INFER = "/v2/models/doubler/infer"
TOKEN = "a-token-of-thirty-two-characters"


def sent(rows, *, name="input", datatype="FP32", binary=True, outputs=None, **more):
    """Return what tritonclient sends: body and headers."""
    rows = np.asarray(
        rows, object if datatype == "BYTES" else np.uint8 if datatype == "UINT8" else np.float32
    )
    given = InferInput(name, list(rows.shape), datatype)
    given.set_data_from_numpy(rows, binary_data=binary)
    options = {"request_id": "", "timeout": None, "custom_parameters": None} | more
    body, length = _get_inference_request(
        [given],
        options["request_id"],
        outputs,
        0,
        False,
        False,
        0,
        options["timeout"],
        options["custom_parameters"],
    )
    return body, {} if length is None else {"Inference-Header-Content-Length": str(length)}


async def infer(server, rows, path=INFER, headers=None, **how):
    """Send rows as tritonclient does, and return the answer."""
    body, own = sent(rows, **how)
    return await server.client.post(path, content=body, headers={**own, **(headers or {})})


def decoded(answer, name="output"):
    length = answer.headers.get("inference-header-content-length")
    return InferResult.from_response_body(answer.content, header_length=length).as_numpy(name)


ROWS = [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]]


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
async def test_a_client_s_batch_is_answered_whole_in_the_form_that_is_asked_for(binary_in, binary_out):
    async with running() as server:
        answer = await infer(
            server,
            ROWS,
            binary=binary_in,
            outputs=[InferRequestedOutput("output", binary_data=binary_out)],
            request_id="x1",
        )
        samples = metric_samples((await server.client.get("/metrics")).text)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == (
        "application/octet-stream" if binary_out else "application/json"
    )
    assert decoded(answer).tolist() == (2 * np.array(ROWS)).tolist()
    assert b'"id":"x1"' in answer.content
    assert samples[("tailgate_batch_size_sum", ())] == 3
    assert samples[("tailgate_requests_total", (("outcome", "ok"),))] == 1


async def test_a_batch_larger_than_the_cap_is_several_batches_and_one_answer():
    rows = np.arange(80, dtype=np.float32).reshape(20, 4)
    async with running(max_batch_size=8) as server:
        answer = await infer(server, rows)
        stats = (await server.client.get("/v2/models/doubler/stats")).json()["model_stats"][0]
    assert np.array_equal(decoded(answer), rows * 2)
    assert [(each["batch_size"], each["compute_infer"]["count"]) for each in stats["batch_stats"]] == [
        (4, 1),
        (8, 2),
    ]
    assert (stats["inference_count"], stats["execution_count"]) == (20, 3)
    assert stats["inference_stats"]["success"]["count"] == 1


async def test_a_bad_item_fails_the_request_with_its_index_and_nobody_else_s():
    bad = [ROWS[0], [POISON, 0, 0, 0], ROWS[1]]
    async with running() as server:
        spoiled, good = await asyncio.gather(infer(server, bad), infer(server, ROWS))
    assert spoiled.status_code == 500
    assert spoiled.json() == {"error": "item 1: the model failed on this input"}
    assert np.array_equal(decoded(good), 2 * np.array(ROWS, np.float32))


async def test_items_count_in_the_queue_as_requests_do(gate):
    path = "/v2/models/gated/infer"
    async with running("gated:factory", queue_capacity=4) as server:
        gate.opened.clear()
        held = asyncio.create_task(server.predict(ROWS[0]))
        assert await asyncio.to_thread(gate.entered.acquire, timeout=30)
        waiting = asyncio.create_task(infer(server, ROWS, path))
        await until(lambda: server.service.pipeline.dispatcher.waiting == 3)
        refused = await infer(server, ROWS[:2], path)
        taken = asyncio.create_task(infer(server, ROWS[:1], path))
        await until(lambda: server.service.pipeline.dispatcher.waiting == 4)
        gate.opened.set()
        answers = await asyncio.gather(held, waiting, taken)
    assert refused.status_code == 429
    assert "this one counts as 2, one per item" in refused.json()["error"]
    assert [answer.status_code for answer in answers] == [200] * 3


async def test_more_items_than_may_ever_wait_are_refused_for_good():
    async with running(queue_capacity=2) as server:
        answer = await infer(server, ROWS)
    assert answer.status_code == 422
    assert answer.json()["error"].startswith(
        "input 'input': expected 1 to 2 items in its first dimension, got 3"
    )


async def test_a_deadline_in_microseconds_ends_all_items(gate):
    path = "/v2/models/gated/infer"
    async with running("gated:factory") as server:
        gate.opened.clear()
        held = asyncio.create_task(server.predict(ROWS[0]))
        assert await asyncio.to_thread(gate.entered.acquire, timeout=30)
        expired = await infer(server, ROWS, path, timeout=20_000)
        assert server.service.pipeline.dispatcher.waiting == 0
        gate.opened.set()
        await held
    assert expired.status_code in {504, 429}  # too late, or known to become so


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_bodies_and_answers_may_be_packed_here_and_nowhere_else(coding):
    rows = np.zeros((100, 4), np.float32)
    body, headers = sent(rows)
    packed = gzip.compress(body) if coding == "gzip" else zlib.compress(body)
    headers |= {"Content-Encoding": coding, "Accept-Encoding": coding}
    async with running() as server:
        answer = await server.client.post(INFER, content=packed, headers=headers)
        elsewhere = await server.client.post("/predict", content=packed, headers=headers)
        other = await server.client.post(INFER, content=packed, headers=headers | {"Content-Encoding": "br"})
    assert answer.status_code == 200
    assert answer.headers["content-encoding"] == coding
    assert decoded(answer).tolist() == rows.tolist()  # httpx has unpacked it
    assert (elsewhere.status_code, other.status_code) == (415, 415)
    assert elsewhere.headers["accept-encoding"] == "identity"


async def test_a_packed_body_is_bounded_by_what_it_unpacks_to():
    async with running(max_body_bytes=1000) as server:
        answer = await server.client.post(
            INFER,
            content=gzip.compress(bytes(10_000)),
            headers={"Content-Encoding": "gzip", "Inference-Header-Content-Length": "0"},
        )
        assert server.service.in_flight.bytes == 0
    assert answer.status_code == 413


async def test_pictures_are_byte_strings_and_classes_have_labels():
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 100, 0)).save(file, "PNG")
    path = "/v2/models/colours/infer"
    outputs = [InferRequestedOutput("output", class_count=2)]
    async with running("tiny_models:colours") as server:
        answer = await infer(server, [file.getvalue()] * 2, path, datatype="BYTES", outputs=outputs)
        damaged = await infer(server, [file.getvalue(), b"\x89PNG\r\n\x1a\n damaged"], path, datatype="BYTES")
        pixels = await infer(
            server, np.asarray(Image.open(file))[None], path, datatype="UINT8", outputs=outputs
        )
        raw = await server.client.post(
            path, content=file.getvalue(), headers={"Inference-Header-Content-Length": "0"}
        )
    classes = decoded(answer)
    assert [[text.decode().split(":")[2] for text in row] for row in classes] == [["red", "green"]] * 2
    assert decoded(pixels).tolist() == classes[:1].tolist()
    assert damaged.status_code == 400
    assert damaged.json()["error"].startswith("item 1: the image is damaged")
    assert decoded(raw).shape == (1, 3)


async def test_the_whole_protocol_tells_of_the_model_that_is_loaded():
    async with running() as server:
        get = server.client.get
        metadata = (await get("/v2/models/doubler")).json()
        assert metadata["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 4]}]
        assert metadata["outputs"] == [{"name": "output", "datatype": "FP32", "shape": [-1, 4]}]
        assert (await get("/v2/models/doubler/versions/1")).json() == metadata
        assert (await get("/v2/models/doubler/config")).json()["max_batch_size"] == 8
        assert (await get("/v2/models/doubler/ready")).json() == {"name": "doubler", "ready": True}
        assert (await get("/v2/models/stats")).json() == (
            await get("/v2/models/doubler/versions/1/stats")
        ).json()
        assert (await get("/v2/health/live")).json() == {"live": True}
        assert (await get("/v2/health/ready")).json()["ready"] is True
        assert (await server.client.post("/v2/repository/index")).json() == [
            {"name": "doubler", "version": "1", "state": "READY", "reason": ""}
        ]
        assert (await get("/v2")).json() == (await get("/v2/")).json()
        version = await infer(server, ROWS, "/v2/models/doubler/versions/1/infer")
    assert version.status_code == 200


UNSUPPORTED = [
    ("POST", "/v2/repository/models/doubler/load"),
    ("POST", "/v2/repository/models/doubler/unload"),
    ("GET", "/v2/trace/setting"),
    ("POST", "/v2/models/doubler/trace/setting"),
    ("GET", "/v2/logging"),
    ("POST", "/v2/logging"),
    ("GET", "/v2/systemsharedmemory/status"),
    ("POST", "/v2/systemsharedmemory/region/a/register"),
    ("GET", "/v2/cudasharedmemory/region/a/status"),
    ("POST", "/v2/cudasharedmemory/unregister"),
    ("POST", "/v2/models/doubler/generate"),
]


async def test_what_is_not_offered_says_so_and_what_is_unknown_is_told_from_it():
    async with running() as server:
        for method, path in UNSUPPORTED:
            answer = await server.client.request(method, path, json={})
            assert answer.status_code == 501, path
            assert answer.json()["error"].startswith("unsupported: this service does not offer"), path
        for path in ("/v2/models/other", "/v2/models/doubler/versions/2/ready", "/v1/models/other"):
            answer = await server.client.get(path)
            assert answer.status_code == 404, path
            assert answer.json()["error"].startswith("unknown "), path
        assert (await infer(server, ROWS, "/v2/models/other/infer")).status_code == 404
        for method, path, allowed in [
            ("GET", INFER, "POST"),
            ("POST", "/v2/models/doubler/config", "GET, HEAD"),
            ("GET", "/v1/models/doubler:predict", "POST"),
            ("GET", "/v2/repository/index", "POST"),
            ("GET", "/invocations", "POST"),
        ]:
            answer = await server.client.request(method, path)
            assert (answer.status_code, answer.headers["allow"]) == (405, allowed), path


async def test_before_the_model_is_there_all_pages_answer_and_say_that_it_is_not_ready():
    async with running() as server:
        pipeline, server.service.pipeline = server.service.pipeline, None
        try:
            assert (await server.client.get("/v2/health/live")).status_code == 200
            assert (
                await server.client.get("/v2/health/ready")
            ).status_code == 200  # the phase is what it was
            for path in ("/v2/models/doubler", "/v2/models/doubler/ready", "/v1/models/doubler"):
                assert (await server.client.get(path)).status_code == 503
            assert (await server.client.post("/v2/repository/index")).json() == []
            assert (await server.client.get("/v2/models/stats")).json() == {"model_stats": []}
            assert (await server.client.get("/v1/models")).json() == {"models": []}
            assert (await infer(server, ROWS)).status_code == 503
        finally:
            server.service.pipeline = pipeline


async def test_platforms_find_what_they_ask_for():
    async with running() as server:
        assert (await server.client.get("/ping")).status_code == 200
        invoked = await server.client.post("/invocations", json={"inputs": ROWS[0]})
        predicted = await server.predict(ROWS[0])
        assert invoked.json() == predicted.json()
        first = await server.client.post("/v1/models/doubler:predict", json={"instances": ROWS})
        assert first.json() == {"predictions": (2.0 * np.array(ROWS)).tolist()}
        assert (await server.client.get("/v1/models")).json() == {"models": ["doubler"]}
        assert (await server.client.get("/v1/models/doubler")).json() == {"name": "doubler", "ready": True}


async def test_probes_need_no_token_and_the_rest_does():
    async with running(token=TOKEN) as server:
        for path in ("/v2/health/live", "/v2/health/ready", "/ping"):
            assert (await server.client.get(path)).status_code == 200
        assert (await server.client.get("/v2/models/doubler")).status_code == 401
        assert (await infer(server, ROWS)).status_code == 401
        assert (await infer(server, ROWS, headers={"Authorization": f"Bearer {TOKEN}"})).status_code == 200


async def test_errors_have_the_form_that_clients_of_the_protocol_read():
    async with running() as server:
        answer = await server.client.post(INFER, content=json.dumps({"inputs": [{"name": "x"}]}))
    assert answer.status_code == 400
    assert list(answer.json()) == ["error"]
    assert "Object missing required field `shape` - at `$.inputs[0]`" in answer.json()["error"]
