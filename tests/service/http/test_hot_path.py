"""Our own server against uvicorn: the same bytes, the same answers; and what only ours has to look after."""

import asyncio
import contextlib
import gc
import itertools
import socket
import threading

import numpy as np
import pytest
from edges import (
    GET_LIVE,
    HOST,
    PIXELS,
    POISON_PIXEL,
    Connection,
    answered,
    chunked,
    form,
    picture,
    pixels,
    post,
    two_edges,
)
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tailgate.service.batching.forecast import Forecast
from tailgate.service.batching.requests.request import Request
from tailgate.service.batching.service import Phase

JSON, PNG, OCTETS = b"application/json", b"image/png", b"application/octet-stream"
TENSOR = b'{"inputs": %b}' % str([[[200, 100, 0]] * 8] * 8).encode()
MAX_BODY_BYTES, MAX_IMAGE_PIXELS, QUEUE_CAPACITY = 20_000, 10_000, 4
LATE = b"X-Request-Timeout-Ms: 0.001"


@pytest.fixture(scope="module")
def _edges():
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        two_edges(
            monkeypatch,
            max_body_bytes=MAX_BODY_BYTES,
            max_image_pixels=MAX_IMAGE_PIXELS,
            queue_capacity=QUEUE_CAPACITY,
        ) as edges,
    ):
        yield edges


@pytest.fixture
def edges(_edges):
    """Both edges; after each test nothing is in flight, and every request that began has been counted once."""
    _edges.ways.clear()
    _edges.repeated.clear()
    begun, ended = _edges.begun, _edges.ended()
    yield _edges
    _edges.model.opened.set()
    _edges.rest()
    assert _edges.ended() - ended == _edges.begun - begun
    assert _edges.service.pipeline.dispatcher.waiting == len(_edges.service.pipeline.decoders.unfinished) == 0


def same(edges, converse):
    """Have the same conversation at both edges, and return what was answered."""
    answers = []
    for address in edges.both():
        with Connection(address) as connection:
            answers.append(converse(connection))
    assert answers[0] == answers[1]
    return answers[0]


def ours(edges, converse):
    """Have a conversation with our own server alone, and return what was answered."""
    with Connection(edges.hot) as connection:
        return converse(connection)


# The same answers.

# What is sent, the status of its answer, and whether the hot path answers it.
REQUESTS = {
    "pixels": (PIXELS, 200, True),
    "a PNG": (post(picture("PNG"), PNG), 200, True),
    "a JPEG": (post(picture("JPEG"), b"image/jpeg"), 200, True),
    "a WebP": (post(picture("WEBP"), b"image/webp"), 200, True),
    "a tensor": (post(TENSOR, JSON), 200, True),
    "a batched tensor": (post(TENSOR.replace(b"[[[", b"[[[[").replace(b"]]]", b"]]]]"), JSON), 200, True),
    "a form": (form(picture()), 200, True),
    "a form of another type": (form(b"x", b"text/plain"), 415, True),
    "a type with a parameter": (post(TENSOR, b"Application/JSON; charset=utf-8"), 200, True),
    "a query": (post(pixels(), OCTETS, path=b"/predict?a=b&c"), 200, True),
    "an empty query": (post(pixels(), OCTETS, path=b"/predict?"), 200, True),
    "a whole URL": (post(pixels(), OCTETS, path=b"http://x/predict"), 200, True),
    "a whole URL without a path": (b"GET http://x HTTP/1.1\r\n" + HOST + b"\r\n", 200, False),
    "an escaped path": (post(pixels(), OCTETS, path=b"/%70redict"), 200, True),
    "a longer path": (post(pixels(), OCTETS, path=b"/predicted"), 404, False),
    "a path with a slash": (post(pixels(), OCTETS, path=b"/predict/"), 404, False),
    "header names in small letters": (PIXELS.replace(b"Content-T", b"content-t"), 200, True),
    "header names in capitals": (PIXELS.replace(b"Content-Type", b"CONTENT-TYPE"), 200, True),
    "a type in capitals": (PIXELS.replace(OCTETS, OCTETS.upper()), 200, True),
    "spaces around values": (PIXELS.replace(OCTETS, b" \t" + OCTETS + b" \t"), 200, True),
    "space behind a length": (PIXELS.replace(b"192\r\n", b"192 \t\r\n"), 200, True),
    "space behind a coding": (chunked(pixels()).replace(b"chunked\r\n", b"chunked \r\n"), 200, True),
    "one type twice": (post(pixels(), OCTETS, b"Content-Type: " + OCTETS), 200, True),
    "two types": (post(pixels(), b"text/plain", b"Content-Type: " + OCTETS), 400, True),
    "two types, the last a form": (post(b"x", PNG, b"Content-Type: multipart/form-data"), 400, True),
    "two types, the first a form": (post(b"x", b"multipart/form-data", b"Content-Type: " + PNG), 400, True),
    "two timeouts": (post(pixels(), OCTETS, LATE, b"X-Request-Timeout-Ms: 60000"), 400, True),
    "one timeout twice": (post(pixels(), OCTETS, *[b"X-Request-Timeout-Ms: 6e4"] * 2), 200, True),
    "a length of thousands of digits": (PIXELS.replace(b"192", b"0" * 5000 + b"192"), 400, True),
    "a length with zeros in front": (PIXELS.replace(b"192", b"000192"), 200, True),
    "chunks": (chunked(pixels()[:1], pixels()[1:100], pixels()[100:]), 200, True),
    "chunks of one byte": (chunked(*(bytes([byte]) for byte in pixels())), 200, True),
    "chunks and a trailer": (chunked(pixels(), trailer=b"X-Sum: 1\r\n"), 200, True),
    "a trailer that looks like a header": (
        chunked(pixels(), trailer=b"X-Request-Timeout-Ms: soon\r\n"),
        200,
        True,
    ),
    "a trailer in a form": (
        chunked(pixels(), kind=b"multipart/form-data", trailer=b"Content-Type: text/plain\r\n"),
        400,
        True,
    ),
    "no chunk": (chunked(), 400, True),
    "no body": (post(b""), 400, True),
    "no length": (b"POST /predict HTTP/1.1\r\n" + HOST + b"\r\n", 415, True),
    "no type": (post(b"x", b""), 415, True),
    "a type that is not served": (post(b"x", b"text/plain"), 415, True),
    "no image": (post(b"x", PNG), 415, True),
    "a damaged image": (post(picture()[:50], PNG), 400, True),
    "an image that is too large": (post(picture(size=(200, 200)), PNG), 413, True),
    "no JSON": (post(b"{", JSON), 400, True),
    "a wrong shape": (post(b'{"inputs": [1]}', JSON), 422, True),
    "too few pixels": (post(pixels()[1:]), 422, True),
    "a compressed body": (post(pixels(), OCTETS, b"Content-Encoding: gzip"), 415, True),
    "no coding": (post(pixels(), OCTETS, b"Content-Encoding:"), 200, True),
    "the coding that is none": (post(pixels(), OCTETS, b"Content-Encoding: , Identity"), 200, True),
    "a coding beside one that is none": (
        post(pixels(), OCTETS, b"Content-Encoding: identity", b"Content-Encoding: br"),
        415,
        True,
    ),
    "a timeout that means nothing": (post(pixels(), OCTETS, b"X-Request-Timeout-Ms: soon"), 400, True),
    "a body that is announced too large": (post(bytes(MAX_BODY_BYTES + 1)), 413, True),
    "a body that turns out too large": (chunked(bytes(MAX_BODY_BYTES), b"x"), 413, True),
    "the largest body": (post(bytes(MAX_BODY_BYTES)), 422, True),
    "an input that makes the model fail": (post(pixels(first=POISON_PIXEL)), 500, True),
    "a wrong method": (b"GET /predict HTTP/1.1\r\n" + HOST + b"\r\n", 405, False),
    "another path": (GET_LIVE, 200, False),
    "an upgrade of something else": (
        post(pixels(), OCTETS, b"Connection: x", b"Upgrade: websocket"),
        200,
        True,
    ),
}


# uvicorn keeps the scheme of a target and the space behind a value, and takes trailers for headers.
READ_OTHERWISE = {
    "a whole URL",
    "a whole URL without a path",
    "space behind a length",
    "space behind a coding",
    "a trailer that looks like a header",
    "a trailer in a form",
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_is_answered_alike_by_both_servers_and_the_connection_serves_the_next(edges, name):
    request_, status, hot = REQUESTS[name]

    def converse(connection):
        connection.send(request_)
        first = connection.answer()
        connection.send(request_)
        again = connection.answer()
        connection.send(PIXELS)
        return first, again, connection.answer()

    first, again, last = (ours if name in READ_OTHERWISE else same)(edges, converse)
    assert first == again
    assert (first[0], last[0]) == (status, 200)
    assert edges.ways == [hot, hot, True]


def test_the_answer_has_the_servers_own_headers_first(edges):
    def converse(connection):
        connection.send(PIXELS)
        return connection.answer()

    _, headers, body = same(edges, converse)
    assert headers == (
        b"date: today",
        b"content-type: application/json",
        b"content-length: %d" % len(body),
        b'server-timing: queue;dur=N, decode;dur=N, compute;dur=N, encode;dur=N, batch;desc="1", total;dur=N',
    )


def test_every_request_is_refused_alike_while_the_service_drains(edges, monkeypatch):
    monkeypatch.setattr(edges.service, "phase", Phase.DRAINING)

    def converse(connection):
        answers = []
        for each in (PIXELS, chunked(pixels()), form(picture()), post(bytes(MAX_BODY_BYTES + 1)), PIXELS):
            connection.send(each)
            answers.append(connection.answer())
        return answers

    answers = same(edges, converse)
    assert [answer[0] for answer in answers] == [503] * 5
    assert all(b"retry-after: 1" in headers for _, headers, _ in answers)


@pytest.mark.parametrize(
    "request_", [PIXELS, post(picture(), PNG), post(TENSOR, JSON)], ids=["pixels", "image", "tensor"]
)
def test_one_more_than_the_queue_holds_is_refused_on_both_ways(edges, request_):
    with contextlib.ExitStack() as stack:
        accepted = [stack.enter_context(edges.hold(edges.hot))]
        for address in (edges.hot, edges.plain) * (QUEUE_CAPACITY // 2):
            accepted.append(stack.enter_context(Connection(address)))
            accepted[-1].send(PIXELS)
        edges.waiting(QUEUE_CAPACITY)

        def converse(connection):
            connection.send(request_)
            return connection.answer()

        status, headers, _ = same(edges, converse)
        edges.model.opened.set()
        assert [connection.answer()[0] for connection in accepted] == [200] * (QUEUE_CAPACITY + 1)
    assert status == 429
    assert b"retry-after: 1" in headers


def test_a_request_whose_deadline_passes_is_answered_while_the_batch_before_it_still_runs(edges):
    with edges.hold(edges.hot) as held, Connection(edges.hot) as hot, Connection(edges.plain) as plain:
        for connection in (hot, plain):
            connection.send(post(pixels(), OCTETS, b"X-Request-Timeout-Ms: 50"))
        late = hot.answer()
        assert late == plain.answer()
        edges.model.opened.set()
        assert held.answer()[0] == 200
    assert late[0] == 504


def test_a_request_that_would_be_late_is_refused_before_its_body_is_read(edges, monkeypatch):
    monkeypatch.setattr(edges.service.pipeline.admission, "forecast", Forecast(lambda _: 100.0, 8))
    request_ = post(pixels(), OCTETS, b"X-Request-Timeout-Ms: 5000")
    with edges.hold(edges.hot) as held:

        def converse(connection):
            connection.send(request_[:-1])
            return connection.answer()[:2]

        status, headers = same(edges, converse)
        edges.model.opened.set()
        assert held.answer()[0] == 200
    assert status == 429
    assert b"retry-after: 100" in headers  # the rest of the batch that runs


def test_a_latency_objective_bounds_the_queue_and_lets_the_first_in(edges, monkeypatch):
    monkeypatch.setattr(edges.service.pipeline.admission, "forecast", Forecast(lambda _: 100.0, 8))
    monkeypatch.setattr(edges.service.pipeline.admission, "objective_s", 1.0)
    before = edges.outcomes().get("late", 0)
    with edges.hold(edges.hot) as held, Connection(edges.hot) as first:
        first.send(PIXELS)
        edges.waiting(1)

        def converse(connection):
            connection.send(PIXELS)
            return connection.answer()[0]

        assert same(edges, converse) == 429
        edges.model.opened.set()
        assert held.answer()[0] == first.answer()[0] == 200
    assert edges.outcomes()["late"] == before + 2


@pytest.mark.parametrize(
    ("step", "request_"),
    [
        ("tailgate.service.codec.inputs.item_from_octets", PIXELS),
        ("tailgate.service.codec.inputs.item_from_json", post(TENSOR, JSON)),
        ("tailgate.service.codec.inputs.decode_image", post(picture(), PNG)),
        ("tailgate.service.batching.dispatcher.Dispatcher.submit", PIXELS),
        ("tailgate.service.batching.dispatcher.Dispatcher.submit", post(picture(), PNG)),
        ("tailgate.service.codec.answers.labels_body", PIXELS),
        ("tailgate.service.codec.answers.outputs_body", post(TENSOR, JSON)),
        ("tailgate.service.codec.message.RequestHeaders.read", PIXELS),
        ("tailgate.service.codec.inputs.single_file", form(picture())),
    ],
)
def test_a_fault_of_ours_in_any_step_is_a_counted_500_on_both_ways(edges, monkeypatch, step, request_):
    def broken(*_, **__):
        raise ZeroDivisionError

    def converse(connection):
        with monkeypatch.context() as patch:
            patch.setattr(step, broken)
            connection.send(request_)
            failed = connection.answer()
        connection.send(PIXELS)
        return failed, connection.answer()

    before = edges.outcomes().get("error", 0)
    failed, served = same(edges, converse)
    assert (failed[0], failed[2]) == (500, b'{"error":"the service failed on this request"}')
    assert served[0] == 200
    assert edges.outcomes()["error"] == before + 2


@pytest.mark.parametrize(
    ("request_", "status", "hot"),
    [
        (post(pixels(), OCTETS, b"Connection: close"), 200, True),
        (post(b"x", b"text/plain", b"Connection: close"), 415, True),
        (post(pixels(), OCTETS, version=b"1.0"), 200, True),
        (post(pixels(), OCTETS, b"Connection: keep-alive", version=b"1.0"), 200, True),
    ],
    ids=["close", "refused and close", "1.0", "1.0 with keep-alive"],
)
def test_a_connection_that_is_to_be_closed_is_closed_after_the_answer(edges, request_, status, hot):
    def converse(connection):
        connection.send(request_)
        answer = connection.answer()
        assert connection.is_closed()
        return answer

    answer = (same if b"HTTP/1.1" in request_ else ours)(edges, converse)
    assert (answer[0], answer[1][-1]) == (status, b"connection: close")
    assert edges.ways == [hot]


@pytest.mark.parametrize("space", [b"", b" "])
def test_a_body_is_asked_for_where_the_client_waits_to_be_asked(edges, space):
    request_ = post(pixels(), OCTETS, b"Expect: 100-continue" + space)

    def converse(connection):
        connection.send(request_[: -len(pixels())])
        asked = connection.answer()
        connection.send(pixels())
        return asked, connection.answer()

    asked, answer = (ours if space else same)(edges, converse)
    assert (asked[0], answer[0]) == (100, 200)


def test_a_body_that_is_refused_is_not_asked_for(edges):
    def converse(connection):
        connection.send(
            post(bytes(MAX_BODY_BYTES + 1), OCTETS, b"Expect: 100-continue")[: -MAX_BODY_BYTES - 1]
        )
        answer = connection.answer()
        assert connection.is_closed()
        return answer

    status, headers, _ = ours(edges, converse)
    assert (status, headers[-1]) == (413, b"connection: close")


def test_a_head_has_no_body(edges):
    def converse(connection):
        connection.send(b"HEAD /predict HTTP/1.1\r\n" + HOST + b"\r\n")
        head = connection.answer(to_head=True)
        connection.send(PIXELS)
        return head, connection.answer()

    head, answer = same(edges, converse)
    assert (head[0], answer[0]) == (405, 200)


def test_a_question_about_the_whole_server_is_answered_without_a_body(edges):
    def converse(connection):
        connection.send(b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n")
        return connection.answer()

    status, headers, body = same(edges, converse)
    assert (status, body) == (204, b"")
    assert b"allow: GET, HEAD, OPTIONS, POST" in headers


def test_a_wish_for_another_protocol_is_ignored(edges):
    request_ = post(pixels(), OCTETS, b"Connection: Upgrade", b"Upgrade: websocket")

    def converse(connection):
        connection.send(request_)
        return connection.answer()

    assert ours(edges, converse)[0] == 200
    assert edges.ways == [True]


GARBAGE = [
    b"\r\n\r\nnonsense\r\n\r\n",
    b"POST /predict HTTP/3.7\r\n\r\n",
    PIXELS.replace(b"Host: x", b"Host"),
    PIXELS.replace(b"192", b"-1"),
    PIXELS.replace(b"192", b"9" * 5000),
    post(pixels(), OCTETS, b"Content-Length: 192"),
    post(pixels(), OCTETS, b"Transfer-Encoding: chunked"),
    chunked(pixels()).replace(b"c0\r\n", b"zz\r\n"),
    chunked(pixels()).replace(b"c0\r\n", b"-1\r\n"),
]


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("first", [b"", PIXELS], ids=["first", "second"])
def test_garbage_is_refused_and_closes_the_connection(edges, garbage, first):
    def converse(connection):
        if first:
            connection.send(first)
            assert connection.answer()[0] == 200
        connection.send(garbage)
        answer = connection.answer()
        assert connection.is_closed()
        return answer

    assert ours(edges, converse)[0] == 400


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("before", [PIXELS, PIXELS + GET_LIVE], ids=["one", "two"])
def test_garbage_in_the_write_of_good_requests_is_refused_after_their_answers(edges, garbage, before):
    def converse(connection):
        connection.send(before + garbage)
        answers = connection.answers(before.count(HOST) + 1)
        assert connection.is_closed()
        return answers

    answers = ours(edges, converse)
    assert [answer[0] for answer in answers] == [200] * before.count(HOST) + [400]
    assert [b"connection: close" in answer[1] for answer in answers] == [False] * before.count(HOST) + [True]


# Any number of requests in any pieces.


async def _feed(protocol, stream, cuts):
    """Give the server's side bytes as if they had come in so many pieces, with a turn of the loop between some."""
    edges_ = [0, *sorted(cut for cut, _ in cuts), len(stream)]
    turns = [turn for _, turn in sorted(cuts)] + [False]
    for start, end, turn in zip(edges_, edges_[1:], turns, strict=False):
        if end > start:
            protocol.data_received(stream[start:end])
        if turn:
            await asyncio.sleep(0)


def fed(edges, stream, cuts, heads=()):
    """Return what our server answers to bytes in pieces."""

    def converse(connection):
        edges.run(_feed(edges.protocol(connection), stream, cuts))
        return [connection.answer(to_head=to_head) for to_head in heads]

    return ours(edges, converse)


@pytest.mark.parametrize("name", ["pixels", "chunks", "a body that turns out too large", "a form", "no type"])
def test_a_request_may_be_cut_anywhere(edges, name):
    request_, status, hot = REQUESTS[name]
    head = request_.index(b"\r\n\r\n") + 8
    cuts = [*range(min(head, len(request_))), *range(head, len(request_), 101), len(request_) - 1]

    async def feed(protocol):
        for cut in cuts:
            protocol.data_received(request_[:cut])
            protocol.data_received(request_[cut:])
            await asyncio.sleep(0)
            while not answered(protocol):  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0)

    with Connection(edges.hot) as connection:
        edges.run(feed(edges.protocol(connection)))
        answers = connection.answers(len(cuts))
    assert {answer[0] for answer in answers} == {status}
    assert len(set(answers)) == 1
    assert edges.ways == [hot] * len(cuts)


STREAM = [
    *((REQUESTS[name][0], REQUESTS[name][1]) for name in REQUESTS if name != "the largest body"),
    (b"HEAD /predict HTTP/1.1\r\n" + HOST + b"\r\n", 405),
]
LAST = b"GET /health/live HTTP/1.1\r\nConnection: close\r\n" + HOST + b"\r\n"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example([(PIXELS, 200)] * 6, [])
@example([(PIXELS, 200), STREAM[-1], REQUESTS["a body that is announced too large"][:2], (PIXELS, 200)], [])
@given(
    st.lists(st.sampled_from(STREAM), max_size=8),
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=12),
)
def test_requests_in_any_pieces_are_answered_in_their_order(edges, requests, cuts):
    stream = b"".join((*(request_ for request_, _ in requests), LAST))
    heads = [request_.startswith(b"HEAD") for request_, _ in requests] + [False]
    answers = fed(edges, stream, [(int(at * len(stream)), turn) for at, turn in cuts], heads)
    assert [answer[0] for answer in answers] == [*(status for _, status in requests), 200]
    assert b"connection: close" in answers[-1][1]
    edges.ways.clear()


# Pipelined requests.


@pytest.mark.parametrize("way", ["hot", "plain"])
def test_answers_to_requests_in_one_write_come_in_their_order_although_later_ones_need_no_model(edges, way):
    with edges.hold(edges.plain) as held, Connection(getattr(edges, way)) as connection:
        connection.send(PIXELS + GET_LIVE + post(b"x", b"text/plain") + PIXELS)
        edges.waiting(1)
        edges.model.opened.set()
        assert held.answer()[0] == 200
        assert [answer[0] for answer in connection.answers(4)] == [200, 200, 415, 200]
        assert connection.socket.fileno() > 0
    if way == "hot":
        assert edges.ways == [True, False, True, True]


def test_requests_behind_a_refused_one_in_the_same_write_take_the_hot_path(edges):
    with Connection(edges.hot) as connection:
        connection.send(post(b"x", b"text/plain") + PIXELS)
        assert [answer[0] for answer in connection.answers(2)] == [415, 200]
    assert edges.ways == [True, True]


# Clients that leave.


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_client_that_leaves_while_it_waits_is_counted_and_never_computed(edges, reset):
    before = edges.outcomes()
    with edges.hold(edges.hot) as held, Connection(edges.hot) as mate:
        leaving = Connection(edges.hot)
        leaving.send(PIXELS)
        edges.waiting(1)
        mate.send(PIXELS)
        edges.waiting(2)
        leaving.close(reset=reset)
        edges.waiting(1)
        assert edges.outcomes()["cancelled"] == before.get("cancelled", 0) + 1
        edges.model.opened.set()
        assert held.answer()[0] == 200
        assert b'batch;desc="1"' in b"".join(mate.answer()[1])


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("behind", [GET_LIVE, PIXELS], ids=["another", "a second"])
def test_a_client_that_leaves_with_a_request_behind_the_first_is_found_out_at_the_first_answer(
    edges, behind, reset
):
    """Nothing is read from a connection on which a request waits, so until then nothing tells that it is gone."""
    with edges.hold(edges.hot) as held, Connection(edges.hot) as mate:
        leaving = Connection(edges.hot)
        leaving.send(PIXELS + behind)
        edges.waiting(1)
        protocol = edges.protocol(leaving)
        mate.send(PIXELS)
        edges.waiting(2)
        leaving.close(reset=reset)
        edges.model.opened.set()
        assert [held.answer()[0], mate.answer()[0]] == [200, 200]
        edges.until(lambda: protocol not in edges.guard.connections())


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_client_that_leaves_while_its_batch_runs_is_counted_and_its_mates_are_answered(edges, reset):
    before = edges.outcomes()
    with edges.hold(edges.hot) as held, Connection(edges.hot) as mate:
        leaving = Connection(edges.hot)
        leaving.send(PIXELS)
        mate.send(PIXELS)
        edges.waiting(2)
        edges.next_batch()
        assert held.answer()[0] == 200
        leaving.close(reset=reset)
        edges.until(lambda: edges.outcomes().get("cancelled", 0) == before.get("cancelled", 0) + 1)
        edges.model.opened.set()
        status, headers, _ = mate.answer()
    assert status == 200
    assert b'batch;desc="2"' in b"".join(headers)
    assert edges.outcomes()["ok"] == before.get("ok", 0) + 2


@pytest.mark.parametrize("request_", [PIXELS[:-1], chunked(pixels())[:-5]], ids=["announced", "chunked"])
def test_a_client_that_leaves_in_the_middle_of_its_body_is_counted(edges, request_):
    before = edges.outcomes().get("cancelled", 0)
    with Connection(edges.hot) as connection:
        connection.send(request_)
        edges.until(lambda: edges.service.in_flight.requests == 1)
    edges.until(lambda: edges.outcomes().get("cancelled", 0) == before + 1)
    assert edges.ways == [True]


def test_a_client_that_leaves_while_its_image_is_decoded_is_counted_once(edges, monkeypatch):
    decoding, go_on = threading.Semaphore(0), threading.Event()

    def slow(*_):
        decoding.release()
        assert go_on.wait(30)
        return np.zeros((8, 8, 3), np.uint8)

    monkeypatch.setattr("tailgate.service.codec.inputs.decode_image", slow)
    before = edges.outcomes()
    with Connection(edges.hot) as connection:
        connection.send(post(b"x", PNG))
        assert decoding.acquire(timeout=30)
    edges.rest()
    go_on.set()
    edges.until(lambda: len(edges.service.pipeline.decoders.unfinished) == 0)
    assert edges.outcomes() == before | {"cancelled": before.get("cancelled", 0) + 1}


# Bodies that are refused before they are over.


@pytest.mark.parametrize(
    "request_", [post(bytes(500_000)), chunked(*[bytes(50_000)] * 10)], ids=["announced", "chunked"]
)
def test_the_rest_of_a_refused_body_is_dropped_and_the_connection_serves_the_next_request(edges, request_):
    def converse(connection):
        connection.send(request_, PIXELS)
        return [answer[0] for answer in connection.answers(2)]

    assert same(edges, converse) == [413, 200]


@pytest.mark.parametrize(("kind", "hot"), [(OCTETS, True), (b"multipart/form-data; boundary=x", True)])
def test_a_refused_body_without_an_end_is_cut_off_after_its_answer(edges, monkeypatch, kind, hot):
    monkeypatch.setattr("tailgate.service.http.connection.DISCARD_BYTES", 100_000)
    chunk = b"%x\r\n%b\r\n" % (10_000, bytes(10_000))
    with Connection(edges.hot) as connection:
        connection.send(chunked(*[bytes(10_000)] * 3, kind=kind)[: -len(b"0\r\n\r\n")])
        assert connection.answer()[0] == 413
        with pytest.raises(OSError, match=r"(reset|pipe)"):
            connection.send(*[chunk] * 10_000)
    assert edges.ways == [hot]


@pytest.mark.parametrize("kind", [b"text/plain", b"multipart/form-data"], ids=["hot", "usual"])
def test_a_connection_is_idle_again_only_when_a_refused_body_is_over(edges, kind):
    request_ = post(bytes(MAX_BODY_BYTES + 1), kind)
    with Connection(edges.hot) as connection:
        connection.send(request_[:-1])
        assert connection.answer()[0] in (413, 415)
        protocol = edges.protocol(connection)
        edges.until(lambda: answered(protocol))
        assert not protocol.is_idle()
        edges.run(_feed(protocol, b"x", []))
        assert protocol.is_idle()
        connection.send(PIXELS)
        assert connection.answer()[0] == 200


def test_a_connection_is_not_idle_while_a_request_behind_a_refused_one_waits(edges):
    with edges.hold(edges.hot) as held, Connection(edges.hot) as connection:
        connection.send(post(b"x", b"text/plain") + PIXELS)
        assert connection.answer()[0] == 415
        edges.waiting(1)
        assert not edges.protocol(connection).is_idle()
        edges.model.opened.set()
        assert held.answer()[0] == connection.answer()[0] == 200
        assert edges.protocol(connection).is_idle()


# The server's own doings.


def test_a_stop_lets_the_request_finish_and_closes_its_connection(edges):
    with edges.hold(edges.hot) as held, Connection(edges.hot) as unused:
        protocols = [edges.protocol(held), edges.protocol(unused)]

        async def shutdown():
            for protocol in protocols:
                protocol.shut_down()

        edges.run(shutdown())
        assert unused.is_closed()
        edges.model.opened.set()
        status, headers, _ = held.answer()
        assert (status, headers[-1]) == (200, b"connection: close")
        assert held.is_closed()


def test_a_request_of_a_client_that_does_not_read_its_answers_waits_until_it_has(edges):
    with Connection(edges.hot) as connection:
        connection.send(PIXELS)
        assert connection.answer()[0] == 200
        protocol = edges.protocol(connection)

        async def pause():
            protocol.pause_writing()
            protocol.data_received(PIXELS + PIXELS)

        async def resume():
            protocol.resume_writing()

        served = edges.outcomes()["ok"]
        edges.run(pause())
        edges.run(asyncio.sleep(0))
        assert protocol.requests == 1
        assert protocol._read_paused
        assert edges.outcomes()["ok"] == served
        edges.run(resume())
        assert [answer[0] for answer in connection.answers(2)] == [200, 200]


def test_a_client_that_sends_and_does_not_read_is_written_to_no_further_and_gets_all_answers_in_the_end(
    edges,
):
    def served():
        return edges.outcomes().get("ok", 0)

    with Connection(edges.hot) as connection:
        protocol = edges.protocol(connection)
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        protocol.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        sent = 0
        while not protocol._write_paused:
            before = served()
            # Not through the kernel: from a client whose own window is closed it may bring nothing.
            edges.run(_feed(protocol, PIXELS, []))
            sent += 1
            edges.until(lambda before=before: served() > before)
        buffered, before = protocol.transport.get_write_buffer_size(), served()
        edges.run(_feed(protocol, PIXELS * 3, []))
        assert protocol.transport.get_write_buffer_size() == buffered
        assert served() == before
        assert [answer[0] for answer in connection.answers(sent + 3)] == [200] * (sent + 3)
        connection.send(PIXELS)
        assert connection.answer()[0] == 200


def test_behind_uvicorn_middleware_of_the_user_sees_every_request(monkeypatch):
    def add_header(app):
        async def middleware(scope, receive, send):
            async def with_header(message):
                if message["type"] == "http.response.start":
                    message["headers"] = [*message["headers"], (b"x-seen", b"yes")]
                await send(message)

            await app(scope, receive, with_header)

        return middleware

    with two_edges(monkeypatch, lambda app: app.add_middleware(add_header)) as edges:
        with Connection(edges.plain) as connection:
            connection.send(PIXELS)
            status, headers, _ = connection.answer()
        assert (status, headers[-1]) == (200, b"x-seen: yes")


def requests():
    return sum(type(each) is Request for each in gc.get_objects())


def test_an_answered_request_leaves_nothing_behind_on_its_idle_connection(edges):
    with Connection(edges.hot) as connection:
        for request_ in (PIXELS, post(picture(), PNG), post(b"x", b"text/plain")):
            connection.send(request_)
            connection.answer()
        gc.collect()
        gc.disable()
        before = requests()
        try:
            for _ in range(5):
                connection.send(PIXELS)
                connection.answer()
            # One in the batcher's hands until its next batch; any more would be waiting for the collector.
            assert requests() <= before + 1
        finally:
            gc.enable()


# Requests whose head is that of the one before them.


def test_a_request_with_the_head_of_the_last_one_is_not_parsed(edges):
    def converse(connection):
        answers = []
        for first in (1, 2, POISON_PIXEL, 3):
            connection.send(post(pixels(first=first)))
            answers.append(connection.answer())
        return answers

    assert [answer[0] for answer in same(edges, converse)] == [200, 200, 500, 200]
    assert edges.repeated == [False, True, True, True]


@pytest.mark.parametrize(
    "request_",
    [
        PIXELS + GET_LIVE,
        PIXELS + b"\r\n",
        b"\r\n" + PIXELS,
        PIXELS.replace(b"Host: x", b"Host: y"),
        post(pixels(), OCTETS, b"Connection: close"),
        chunked(pixels()),
    ],
    ids=["another behind it", "an empty line behind", "one before", "other", "close", "chunks"],
)
def test_anything_but_exactly_that_head_and_its_body_is_parsed(edges, request_):
    def converse(connection):
        connection.send(PIXELS)
        first = connection.answer()
        connection.send(request_)
        return first, [connection.answer() for _ in range(1 + request_.count(GET_LIVE))]

    first, others = same(edges, converse)
    assert {first[0], *(answer[0] for answer in others)} == {200}
    assert not edges.repeated[1]


@pytest.mark.parametrize("cuts", [[0], [1], [191], [5, 100]], ids=str)
@pytest.mark.parametrize("request_", [PIXELS, post(picture(), PNG)], ids=["pixels", "picture"])
def test_a_request_with_a_known_head_is_not_parsed_in_whatever_pieces_its_body_comes(edges, request_, cuts):
    head_size = request_.index(b"\r\n\r\n") + 4
    places = [0, *(head_size + cut for cut in cuts), len(request_)]

    def converse(connection):
        protocol = edges.protocol(connection)
        edges.run(_feed(protocol, request_, []))
        answers = [connection.answer()]
        for start, end in itertools.pairwise(places):
            edges.run(_feed(protocol, request_[start:end], []))
        return [*answers, connection.answer()]

    first, second = ours(edges, converse)
    assert (first[0], first[2]) == (200, second[2])
    assert edges.repeated == [False, True]


def test_a_head_that_waits_to_be_asked_for_its_body_is_asked_each_time(edges):
    waiting = post(pixels(), OCTETS, b"Expect: 100-continue")

    def converse(connection):
        answers = []
        for _ in range(2):
            connection.send(waiting[:-192])
            assert connection.answer()[0] == 100
            connection.send(waiting[-192:])
            answers.append(connection.answer())
        return answers

    assert [answer[0] for answer in ours(edges, converse)] == [200, 200]


def test_a_head_is_forgotten_when_another_is_parsed_and_known_again_after_the_next_time(edges):
    def converse(connection):
        for each in (PIXELS, PIXELS, GET_LIVE, PIXELS, PIXELS, chunked(pixels()), PIXELS, PIXELS):
            connection.send(each)
            assert connection.answer()[0] == 200

    same(edges, converse)
    assert edges.repeated == [False, True, False, False, True, False, False, True]


@pytest.mark.parametrize("tail", [b"", b"POST /predict HTTP/1.1\r\n", b"\r\n", b"\r\n\r\n"])
def test_a_head_is_learned_only_from_bytes_that_are_one_whole_request(edges, tail):
    """The end of one body and a request behind it must not be taken for the head of a request."""
    first = post(pixels()[: 192 - len(tail)] + tail)

    def converse(connection):
        protocol = edges.protocol(connection)
        cut = len(first) - len(tail)
        answers = []
        edges.run(_feed(protocol, first[:cut], []))
        edges.run(_feed(protocol, first[cut:] + PIXELS, []))
        answers += connection.answers(2)
        assert protocol._known.start + pixels() == PIXELS
        return answers

    assert [answer[0] for answer in ours(edges, converse)] == [200, 200]


def test_a_known_head_is_refused_while_the_service_drains_and_when_the_queue_is_full(edges, monkeypatch):
    def converse(connection):
        connection.send(PIXELS)
        assert connection.answer()[0] == 200
        statuses = []
        with monkeypatch.context() as patch:
            patch.setattr(edges.service, "phase", Phase.DRAINING)
            connection.send(PIXELS)
            statuses.append(connection.answer()[0])
        with monkeypatch.context() as patch:
            patch.setattr(edges.service.pipeline.admission, "capacity", 0)
            connection.send(PIXELS)
            statuses.append(connection.answer()[0])
        connection.send(PIXELS)
        return [*statuses, connection.answer()[0]]

    assert same(edges, converse) == [503, 429, 200]
    assert edges.repeated == [False, True, True, True]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [PIXELS, PIXELS, post(pixels(first=9)), post(b"x", b"text/plain"), GET_LIVE, chunked(pixels())]
        ),
        st.lists(st.floats(0, 1), max_size=2),
    ),
    min_size=2,
    max_size=6,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_requests_one_after_another_in_any_pieces_are_answered_alike_known_or_not(edges, steps):
    def converse(connection):
        answers = []
        for request_, cuts in steps:
            at = sorted({0, len(request_), *(int(cut * len(request_)) for cut in cuts)})
            for start, end in itertools.pairwise(at):
                connection.send(request_[start:end])
            answers.append(connection.answer())
        return answers

    same(edges, converse)
    edges.ways.clear()
    edges.repeated.clear()
