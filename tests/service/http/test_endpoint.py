"""``POST /predict`` through the real application: who gets what, and how it is counted."""

import asyncio
import io
import re
import threading

import numpy as np
import pytest
from PIL import Image
from serving import running, until
from tiny_models import POISON

from tailgate.service.codec import answers, inputs
from tailgate.service.http.asgi import CLIENT_GONE

pytestmark = pytest.mark.asyncio

ITEM = [1.0, 2.0, 3.0, 4.0]


def pixels(colour=(200, 100, 0)):
    return np.broadcast_to(np.array(colour, np.uint8), (8, 8, 3))


def picture(kind="PNG", colour=(200, 100, 0), size=None):
    file = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels(colour)))
    (image if size is None else image.resize(size)).save(file, kind)
    return file.getvalue()


async def hold(gate, server):
    """Close the gate and send the request that the executor then holds."""
    gate.opened.clear()
    held = asyncio.create_task(server.predict(ITEM))
    assert await asyncio.to_thread(gate.entered.acquire, timeout=30)
    return held


class Visitor:
    """A client below HTTP, which sends what it likes and leaves when it likes."""

    def __init__(self, *messages, headers=()):
        self.sent = []
        self.gone = asyncio.Event()
        self._messages = [{"type": "http.request", **message} for message in messages]
        self._headers = list(headers)

    async def _receive(self):
        if self._messages:
            return self._messages.pop(0)
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message):
        self.sent.append(message)

    async def visit(self, app):
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/predict",
            "query_string": b"",
            "headers": self._headers,
        }
        await app(scope, self._receive, self._send)


# Content types and their answers.


KINDS = ("JPEG", "PNG", "WEBP")


async def test_an_image_is_answered_with_its_labels():
    async with running("tiny_models:colours") as server:
        for kind in KINDS:
            answer = await server.client.post(
                "/predict", content=picture(kind), headers={"content-type": f"image/{kind.lower()}"}
            )
            assert answer.status_code == 200, kind
            assert answer.headers["content-type"] == "application/json"
            assert [each["label"] for each in answer.json()["predictions"]] == ["red", "green", "blue"]
            assert sum(each["probability"] for each in answer.json()["predictions"]) == pytest.approx(1)


async def test_the_same_pixels_get_the_same_answer_as_image_form_and_octets():
    async with running("tiny_models:colours") as server:
        as_image = await server.client.post(
            "/predict", content=picture(), headers={"content-type": "image/png"}
        )
        as_form = await server.client.post(
            "/predict", files={"file": ("a.png", picture(), "image/png")}, data={"note": "x"}
        )
        octets = pixels().tobytes()
        as_octets = await server.client.post(
            "/predict", content=octets, headers={"content-type": "application/octet-stream"}
        )
        as_form_octets = await server.client.post("/predict", files={"file": ("a.bin", octets)})
        outcomes = await server.outcomes()
    assert as_image.json() == as_form.json() == as_octets.json() == as_form_octets.json()
    assert outcomes == {"ok": 4}


CALLED = (None, b"application/octet-stream", b"image/jpg", b"image/*", b"IMAGE/X-PNG; a=b")


async def test_a_picture_in_a_form_is_answered_whatever_its_client_calls_it():
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="cat.jfif"\r\n'
    async with running("tiny_models:colours") as server:
        for kind in KINDS:
            content = picture(kind, size=(40, 30))
            plain = await server.client.post(
                "/predict", content=content, headers={"content-type": f"image/{kind.lower()}"}
            )
            assert plain.status_code == 200
            for called in CALLED:
                named = b"" if called is None else b"Content-Type: %b\r\n" % called
                answer = await server.client.post(
                    "/predict",
                    content=head + named + b"\r\n" + content + b"\r\n--x--\r\n",
                    headers={"content-type": "multipart/form-data; boundary=x"},
                )
                assert (answer.status_code, answer.json()) == (200, plain.json()), (kind, called)


async def test_a_raw_body_of_octets_stays_pixels_whatever_it_begins_with():
    body = picture().ljust(192, b"\0")[:192]
    async with running("tiny_models:colours") as server:
        answers = [
            await server.client.post(
                "/predict", content=content, headers={"content-type": "application/octet-stream"}
            )
            for content in (body, body + b"\0")
        ]
    assert [answer.status_code for answer in answers] == [200, 422]
    assert "exactly the 192 bytes" in answers[1].json()["error"]


async def test_a_tensor_is_answered_with_outputs_batched_as_it_came():
    outputs = [2.0, 4.0, 6.0, 8.0]
    async with running() as server:
        alone, batched = [(await server.predict(inputs)).json() for inputs in (ITEM, [ITEM])]
    assert alone == {"model": "doubler", "outputs": outputs}
    assert batched == {"model": "doubler", "outputs": [outputs]}


async def test_octets_are_taken_by_a_model_of_tensors_too():
    async with running("tiny_models:small_bytes") as server:
        answer = await server.client.post(
            "/predict", content=bytes([1, 2, 3, 4]), headers={"content-type": "application/octet-stream"}
        )
    assert answer.json()["outputs"] == [1.0, 2.0, 3.0, 4.0]


async def test_an_image_to_a_model_without_labels_is_answered_with_outputs():
    async with running("tiny_models:unlabelled") as server:
        answer = await server.client.post(
            "/predict", content=picture(), headers={"content-type": "image/png"}
        )
    assert answer.json()["outputs"] == pytest.approx([10 * 200 / 255, 10 * 100 / 255, 0], abs=1e-4)


# What is wrong with a request is said, and counted, and the next one is served.

JSON, OCTETS = "application/json", "application/octet-stream"


async def test_a_body_of_unknown_length_is_cut_off_at_the_limit():
    sent = []

    async def endless():
        for _ in range(100):
            sent.append(1)
            yield bytes(1000)

    async with running(max_body_bytes=5000) as server:
        answer = await server.client.post("/predict", content=endless(), headers={"content-type": OCTETS})
        outcomes = await server.outcomes()
    assert answer.status_code == 413
    assert "the body has 6000 bytes or more, and at most 5000 are taken" in answer.json()["error"]
    assert len(sent) == 6
    assert outcomes == {"bad_input": 1}


async def test_a_body_in_pieces_is_one_body():
    async def pieces():
        for piece in (b'{"inp', b"", b'uts": [1,', b" 2, 3, 4]}"):
            yield piece

    async with running() as server:
        answer = await server.client.post("/predict", content=pieces(), headers={"content-type": JSON})
    assert answer.json()["outputs"] == [2.0, 4.0, 6.0, 8.0]


async def test_a_timeout_that_means_nothing_is_refused():
    async with running() as server:
        answer = await server.predict(ITEM, **{"x-request-timeout-ms": "soon"})
    assert answer.status_code == 400
    assert "X-Request-Timeout-Ms: expected a number of milliseconds" in answer.json()["error"]


async def test_a_compressed_body_is_refused_since_it_is_not_decoded():
    async with running() as server:
        answer = await server.predict(ITEM, **{"content-encoding": "gzip"})
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "identity")
    assert "Content-Encoding: 'gzip' is not decoded" in answer.json()["error"]


async def test_a_length_that_is_no_number_is_refused():
    visitor = Visitor({"body": b"x"}, headers=[(b"content-type", b"image/png"), (b"content-length", b"-1")])
    async with running() as server:
        await visitor.visit(server.app)
    assert visitor.sent[0]["status"] == 400


async def test_a_fault_of_the_services_own_is_answered_and_counted(monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError

    async with running() as server:
        with monkeypatch.context() as patch:
            patch.setattr("tailgate.service.codec.answers.outputs_body", broken)
            answer = await server.predict(ITEM)
        served = await server.predict(ITEM)
        outcomes = await server.outcomes()
    assert (answer.status_code, answer.json()) == (500, {"error": "the service failed on this request"})
    assert served.status_code == 200
    assert outcomes == {"error": 1, "ok": 1}


# Batches.


async def test_each_of_many_at_once_gets_its_own_answer():
    async with running(max_batch_size=16) as server:
        answers = await asyncio.gather(*(server.predict([number] * 4) for number in range(100, 164)))
        outcomes = await server.outcomes()
    assert [answer.json()["outputs"] for answer in answers] == [
        [2.0 * number] * 4 for number in range(100, 164)
    ]
    assert outcomes == {"ok": 64}


async def test_only_the_input_that_makes_the_model_fail_gets_the_error():
    numbers = [1, 2, POISON, 3, 4, POISON, 5]
    async with running(max_batch_size=16) as server:
        answers = await asyncio.gather(*(server.predict([number] * 4) for number in numbers))
        outcomes = await server.outcomes()
    for number, answer in zip(numbers, answers, strict=True):
        if number == POISON:
            assert (answer.status_code, answer.json()) == (500, {"error": "the model failed on this input"})
        else:
            assert answer.json()["outputs"] == [2.0 * number] * 4
    assert outcomes == {"ok": 5, "error": 2}


async def test_what_waits_while_the_executor_is_busy_is_the_next_batch(gate):
    async with running("gated:factory") as server:
        held = await hold(gate, server)
        waiting = [asyncio.create_task(server.predict([number] * 4)) for number in range(5)]
        await until(lambda: server.service.pipeline.dispatcher.waiting == 5)
        gate.opened.set()
        first, *others = [await task for task in (held, *waiting)]
    assert [server_timing(answer)["batch"] for answer in others] == ["5"] * 5
    assert server_timing(first)["batch"] == "1"


def server_timing(answer):
    """Read a Server-Timing header by the grammar of its standard; durations as numbers, others as text."""
    metrics = {}
    for metric in answer.headers["server-timing"].split(", "):
        found = re.fullmatch(r'([a-z]+);(?:dur=(\d+\.\d+)|desc="([^"]*)")', metric)
        assert found, metric
        metrics[found[1]] = found[3] if found[2] is None else float(found[2])
    return metrics


async def test_server_timing_tells_where_the_time_went():
    async with running() as server:
        timing = server_timing(await server.predict(ITEM))
    assert set(timing) == {"queue", "compute", "batch", "decode", "encode", "total"}
    stages = sum(timing[stage] for stage in ("queue", "compute", "decode", "encode"))
    assert stages <= timing["total"] + 0.01


# Limits.


async def test_one_more_than_the_queue_holds_is_refused_with_a_time_to_come_back(gate):
    async with running("gated:factory", queue_capacity=2) as server:
        held = await hold(gate, server)
        waiting = [asyncio.create_task(server.predict(ITEM)) for _ in range(2)]
        await until(lambda: server.service.pipeline.dispatcher.waiting == 2)
        refused = await server.predict(ITEM)
        gate.opened.set()
        answers = [await task for task in (held, *waiting)]
        outcomes = await server.outcomes()
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert "2 requests wait already, and at most 2 may" in refused.json()["error"]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert outcomes == {"ok": 3, "full": 1}


async def test_requests_that_wait_to_be_decoded_count_as_waiting(monkeypatch):
    decoding, go_on = threading.Semaphore(0), threading.Event()

    def slow(body, *_):
        decoding.release()
        assert go_on.wait(30)
        return pixels()

    monkeypatch.setattr("tailgate.service.codec.inputs.decode_image", slow)
    async with running("tiny_models:colours", queue_capacity=3, decode_threads=1) as server:

        def send():
            return server.client.post("/predict", content=b"x", headers={"content-type": "image/png"})

        accepted = [asyncio.create_task(send()) for _ in range(3)]
        await until(lambda: len(server.service.pipeline.decoders.unfinished) == 3)
        refused = await send()
        go_on.set()
        answers = [await task for task in accepted]
        later = await send()
    assert refused.status_code == 429
    assert [answer.status_code for answer in answers] == [200] * 3
    assert later.status_code == 200


async def test_many_numbers_are_looked_through_and_written_in_threads(monkeypatch):
    threads = []

    def noted(module, name):
        function = getattr(module, name)

        def note(*arguments, **options):
            threads.append((name, threading.current_thread().name.rpartition("_")[0]))
            return function(*arguments, **options)

        monkeypatch.setattr(module, name, note)

    numbers = np.arange(300_000, dtype=np.float32)
    async with running("tiny_models:wide", max_batch_size=1) as server:
        noted(inputs, "item_from_octets")
        noted(answers, "outputs_body")
        headers = {"content-type": "application/octet-stream"}
        answer = await server.client.post("/predict", content=numbers.tobytes(), headers=headers)
        damaged = await server.client.post("/predict", content=b"\xff" * numbers.nbytes, headers=headers)
        assert len(server.service.pipeline.decoders.unfinished) == 0
    assert answer.json()["outputs"] == [numbers.tolist()]
    assert damaged.status_code == 422
    assert threads == [
        ("item_from_octets", "tailgate-decode"),
        ("outputs_body", "tailgate-write"),
        ("item_from_octets", "tailgate-decode"),
    ]


async def test_a_request_whose_deadline_passes_while_it_waits_is_not_computed(gate):
    async with running("gated:factory") as server:
        held = await hold(gate, server)
        late = asyncio.create_task(server.predict(ITEM, **{"x-request-timeout-ms": "200"}))
        patient = asyncio.create_task(server.predict(ITEM, **{"x-request-timeout-ms": "600000"}))
        await until(lambda: server.service.pipeline.dispatcher.waiting == 2)
        await late  # while the batch before it still runs
        gate.opened.set()
        answers = [await task for task in (held, late, patient)]
        outcomes = await server.outcomes()
    assert [answer.status_code for answer in answers] == [200, 504, 200]
    assert "deadline passed" in answers[1].json()["error"]
    assert server_timing(answers[2])["batch"] == "1"
    assert outcomes == {"ok": 2, "expired": 1}


# Clients that leave.

TENSOR = [(b"content-type", b"application/json")]


async def test_a_client_that_leaves_while_it_waits_is_counted_and_never_computed(gate):
    async with running("gated:factory") as server:
        held = await hold(gate, server)
        visitor = Visitor({"body": b'{"inputs": [9, 9, 9, 9]}'}, headers=TENSOR)
        visit = asyncio.create_task(visitor.visit(server.app))
        mates = [asyncio.create_task(server.predict([number] * 4)) for number in (1, 2)]
        await until(lambda: server.service.pipeline.dispatcher.waiting == 3)
        visitor.gone.set()
        await visit
        gate.opened.set()
        answers = [await task for task in (held, *mates)]
        outcomes = await server.outcomes()
    assert [message.get("status") for message in visitor.sent] == [CLIENT_GONE, None]
    assert [answer.json()["outputs"][3] for answer in answers] == [8.0, 2.0, 4.0]
    assert [server_timing(answer)["batch"] for answer in answers] == ["1", "2", "2"]
    assert outcomes == {"ok": 3, "cancelled": 1}
    assert server.service.in_flight.requests == 0


async def test_a_client_that_leaves_while_its_batch_runs_is_counted_and_its_mates_are_answered(gate):
    async with running("gated:factory") as server:
        held = await hold(gate, server)
        visitor = Visitor({"body": b'{"inputs": [9, 9, 9, 9]}'}, headers=TENSOR)
        visit = asyncio.create_task(visitor.visit(server.app))
        mate = asyncio.create_task(server.predict([5.0] * 4))
        await until(lambda: server.service.pipeline.dispatcher.waiting == 2)
        first = await release_one(gate, held)
        visitor.gone.set()
        await visit
        gate.opened.set()
        answer = await mate
        outcomes = await server.outcomes()
    assert (first.status_code, answer.json()["outputs"]) == (200, [10.0] * 4)
    assert server_timing(answer)["batch"] == "2"
    assert outcomes == {"ok": 2, "cancelled": 1}


async def release_one(gate, held):
    """Let the batch that runs end, and hold the next."""
    former, gate.opened = gate.opened, threading.Event()
    former.set()
    answer = await held
    assert await asyncio.to_thread(gate.entered.acquire, timeout=30)
    return answer


async def test_a_server_that_says_that_the_client_has_gone_is_no_fault():
    visitor = Visitor(headers=TENSOR)
    visitor.gone.set()

    async def send(_):
        raise ConnectionError

    visitor._send = send
    async with running() as server:
        await visitor.visit(server.app)
        outcomes = await server.outcomes()
    assert outcomes == {"cancelled": 1}


async def test_a_client_that_leaves_in_the_middle_of_its_body_is_counted():
    visitor = Visitor({"body": b'{"inputs": [', "more_body": True}, headers=TENSOR)
    visitor.gone.set()
    async with running() as server:
        await visitor.visit(server.app)
        served = await server.predict(ITEM)
        outcomes = await server.outcomes()
    assert [message.get("status") for message in visitor.sent] == [CLIENT_GONE, None]
    assert served.status_code == 200
    assert outcomes == {"ok": 1, "cancelled": 1}


async def test_a_request_that_is_cancelled_by_the_server_is_withdrawn(gate):
    async with running("gated:factory") as server:
        held = await hold(gate, server)
        visit = asyncio.create_task(
            Visitor({"body": b'{"inputs": [9, 9, 9, 9]}'}, headers=TENSOR).visit(server.app)
        )
        await until(lambda: server.service.pipeline.dispatcher.waiting == 1)
        visit.cancel()
        with pytest.raises(asyncio.CancelledError):
            await visit
        assert server.service.pipeline.dispatcher.waiting == 0
        gate.opened.set()
        await held
        assert await server.outcomes() == {"ok": 1, "cancelled": 1}


async def test_a_client_that_leaves_while_its_form_is_parsed_is_counted_and_not_computed(monkeypatch):
    parsing, go_on = threading.Semaphore(0), threading.Event()

    def held(*_):
        parsing.release()
        assert go_on.wait(30)
        return "application/octet-stream", pixels().tobytes()

    monkeypatch.setattr("tailgate.service.codec.inputs.single_file", held)
    visitor = Visitor({"body": b"x"}, headers=[(b"content-type", b"multipart/form-data; boundary=x")])
    async with running("tiny_models:colours") as server:
        visit = asyncio.create_task(visitor.visit(server.app))
        assert await asyncio.to_thread(parsing.acquire, timeout=30)
        visitor.gone.set()
        await visit
        go_on.set()
        await until(lambda: len(server.service.pipeline.decoders.unfinished) == 0)
        outcomes = await server.outcomes()
        assert server.service.pipeline.dispatcher.waiting == 0
    assert [message.get("status") for message in visitor.sent] == [CLIENT_GONE, None]
    assert outcomes == {"cancelled": 1}
