"""Each answer tells the id of its request, at our own server and at another; and the log names it."""

import asyncio
import json

import httpx
import pytest
from edges import GET_LIVE, HOST, PIXELS, POISON_PIXEL, Connection, chunked, picture, pixels, post, two_edges
from fastapi import FastAPI, Response
from structlog.testing import capture_logs

from tailgate.service.batching.service import Phase
from tailgate.service.http.app import create_app
from tailgate.service.settings import load_settings

ID, TRACE_ID = b"X-Request-ID: the-one", b"4bf92f3577b34da6a3ce929d0e0e4736"
TRACE = b"traceparent: 00-%b-00f067aa0ba902b7-01" % TRACE_ID
TOLD = b"x-request-id: the-one"
MADE = b"x-request-id: MADE"


def prepare(app: FastAPI):
    @app.get("/broken")
    async def broken():
        raise RuntimeError("broken")


@pytest.fixture(scope="module")
def _edges():
    with pytest.MonkeyPatch.context() as patch, two_edges(patch, prepare, max_body_bytes=20_000) as edges:
        yield edges


@pytest.fixture
def edges(_edges):
    _edges.ways.clear()
    _edges.repeated.clear()
    # The longest of a former test's requests may wait for the end of its second.
    _edges.service.journal._since.clear()
    yield _edges
    _edges.rest()


def with_id(request, line=ID):
    return request.replace(HOST, HOST + line + b"\r\n", 1)


def told(answer):
    return [header for header in answer[1] if header.lower().startswith(b"x-request-id")]


def ask(address, *requests):
    with Connection(address) as connection:
        answers = []
        for request in requests:
            connection.send(request)
            answers.append(connection.answer())
        return answers


REQUESTS = {
    "pixels": (PIXELS, 200),
    "a picture": (post(picture(), b"image/png"), 200),
    "chunks": (chunked(pixels()), 200),
    "a wrong shape": (post(pixels()[1:]), 422),
    "another type": (post(b"x", b"text/plain"), 415),
    "too large": (post(bytes(20_001)), 413),
    "a failing item": (post(pixels(first=POISON_PIXEL)), 500),
    "a page": (GET_LIVE + b"\r\n", 200),
    "an unknown page": (b"GET /nothing HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    "another method": (b"PUT /predict HTTP/1.1\r\n" + HOST + b"\r\n", 405),
    "a broken page": (b"GET /broken HTTP/1.1\r\n" + HOST + b"\r\n", 500),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_both_servers_echo_the_id_and_make_one_only_for_an_error(edges, name):
    request, status = REQUESTS[name]
    for address in (edges.hot, edges.plain):
        sent = with_id(request), with_id(request, TRACE), with_id(request, b"X-Request-ID: no id"), request
        # uvicorn ends the connection of an application that raises.
        answers = [ask(address, each)[0] for each in sent]
        assert {answer[0] for answer in answers} == {status}
        made = [MADE] if status >= 400 else []
        assert [told(answer) for answer in answers] == [[TOLD], [MADE], made, made]


def test_the_trace_id_is_told_where_there_is_no_other(edges):
    for address in (edges.hot, edges.plain):
        host, port = address
        answer = httpx.get(
            f"http://{host}:{port}/health/live", headers={"traceparent": TRACE.decode().partition(": ")[2]}
        )
        assert answer.headers["x-request-id"] == TRACE_ID.decode()


def test_a_request_with_another_id_is_not_parsed_and_told_its_own(edges):
    lines = [b"X-Request-Id: %b" % name for name in (b"a", b"b22", b"c-3", b"c-3")]
    answers = ask(edges.hot, *(with_id(PIXELS, line) for line in lines))
    assert [told(answer) for answer in answers] == [[line.lower()] for line in lines]
    assert edges.repeated == [False, True, True, True]


def test_a_request_that_comes_in_pieces_is_told_its_own_id(edges):
    with Connection(edges.hot) as connection:
        for name in (b"a", b"b", b"c"):
            request = with_id(PIXELS, b"x-request-id: " + name)
            for cut in (request[:40], request[40:90], request[90:]):
                connection.send(cut)
            assert told(connection.answer()) == [b"x-request-id: " + name]


@pytest.mark.parametrize(
    "garbage", [b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/3.1\r\n" + HOST + b"\r\n"]
)
def test_an_answer_to_bytes_that_are_no_request_has_an_id(edges, garbage):
    (answer,) = ask(edges.hot, garbage + b"\r\n\r\n")
    assert answer[0] >= 400
    assert told(answer) == [MADE]


def test_a_request_whose_end_is_cut_is_told_its_id(edges):
    with Connection(edges.hot) as connection:
        connection.send(with_id(chunked())[:-5] + b"zz\r\n")
        answer = connection.answer()
    assert (answer[0], told(answer)) == (400, [TOLD])


def test_a_refused_request_is_logged_with_its_id_and_without_its_payload(edges, monkeypatch):
    with capture_logs() as lines:
        monkeypatch.setattr(edges.service, "phase", Phase.DRAINING)
        (answer,) = ask(edges.hot, with_id(PIXELS))
        edges.rest()
    assert answer[0] == 503
    (line,) = (each for each in lines if each["event"] == "a request was refused")
    assert (line["request_id"], line["status"], line["outcome"]) == ("the-one", 503, "unavailable")
    assert line["reason"] == json.loads(answer[2])["error"]


def test_a_failed_request_without_an_id_is_logged_with_the_one_that_it_is_told(edges):
    host, port = edges.hot
    with capture_logs() as lines:
        answer = httpx.post(
            f"http://{host}:{port}/predict",
            content=pixels(first=POISON_PIXEL),
            headers={"content-type": "application/octet-stream"},
        )
        edges.rest()
    (line,) = (each for each in lines if each["event"] == "the service failed on this request")
    assert line["request_id"] == answer.headers["x-request-id"]
    assert "exc_info" not in line


def test_a_fault_of_a_page_is_logged_with_the_id_that_its_client_is_told(edges):
    host, port = edges.hot
    with capture_logs() as lines:
        answer = httpx.get(f"http://{host}:{port}/broken")
    (line,) = (each for each in lines if each["event"] == "the service failed on this request")
    assert line["request_id"] == answer.headers["x-request-id"]


def test_a_slow_request_is_logged_with_its_id_and_stages(edges, monkeypatch):
    monkeypatch.setattr(edges.service.journal, "slow_s", 0.0)
    with capture_logs() as lines:
        (answer,) = ask(edges.hot, with_id(PIXELS))
        edges.rest()
    (line,) = (each for each in lines if each["event"] == "a request was slow")
    assert told(answer) == [TOLD]
    assert line["request_id"] == "the-one"
    stages = [line[f"{stage}_ms"] for stage in ("body", "queue", "decode", "compute", "encode")]
    assert sum(stages) <= line["total_ms"] + 0.01
    assert line["batch_size"] == 1


def test_an_application_that_tells_an_id_of_its_own_is_left_alone():
    app = create_app(load_settings({}))

    @app.get("/named")
    async def named():
        return Response(headers={"X-Request-ID": "its-own"})

    async def ask_for_it():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
            return await client.get("/named", headers={"X-Request-ID": "the-one"})

    assert asyncio.run(ask_for_it()).headers.get_list("x-request-id") == ["its-own"]
