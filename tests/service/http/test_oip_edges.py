"""Inference through both edges of the service: the fast connection and a server of others give the same answers."""

import gzip

import numpy as np
import pytest
from edges import Connection, pixels, post, two_edges
from tritonclient.http import InferInput
from tritonclient.http._utils import _get_inference_request

MODEL = b"/v2/models/moody"


@pytest.fixture(scope="module")
def edges():
    with pytest.MonkeyPatch.context() as monkeypatch, two_edges(monkeypatch, max_body_bytes=100_000) as both:
        yield both


def body_of(rows, *, binary=True):
    given = InferInput("input", [rows, 8, 8, 3], "UINT8")
    given.set_data_from_numpy(np.full((rows, 8, 8, 3), 100, np.uint8), binary_data=binary)
    return _get_inference_request([given], "", None, 0, False, False, 0, None, None)


def infer(rows=1, *headers, path=MODEL + b"/infer", binary=True):
    body, length = body_of(rows, binary=binary)
    own = () if length is None else (b"Inference-Header-Content-Length: %d" % length,)
    return post(body, None, *own, *headers, path=path)


REQUESTS = {
    "binary": infer(),
    "a batch": infer(3),
    "JSON": infer(2, binary=False),
    "of a version": infer(path=MODEL + b"/versions/1/infer"),
    "of another version": infer(path=MODEL + b"/versions/2/infer"),
    "of another model": infer(path=b"/v2/models/other/infer"),
    "quoted": infer(path=b"/v2/models/m%6Fody/infer"),
    "raw": post(pixels(), None, b"Inference-Header-Content-Length: 0", path=MODEL + b"/infer"),
    "packed": post(
        gzip.compress(body_of(1)[0]),
        None,
        b"Content-Encoding: gzip",
        b"Inference-Header-Content-Length: %d" % body_of(1)[1],
        path=MODEL + b"/infer",
    ),
    "no JSON": post(b"{", None, path=MODEL + b"/infer"),
    "an empty body": post(b"", None, path=MODEL + b"/infer"),
    "a length that is none": infer(1, b"Inference-Header-Content-Length: x"),
    "the older protocol": post(b'{"instances": 1}', b"application/json", path=b"/v1/models/moody:predict"),
    "SageMaker's": post(pixels(), path=b"/invocations"),
    "a timeout": infer(1, b"X-Request-Timeout-Ms: 60000"),
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_both_edges_answer_the_same_and_none_of_it_is_a_page(edges, request_):
    edges.ways.clear()
    answers = []
    for address in edges.both():
        with Connection(address) as connection:
            connection.send(request_)
            status, headers, body = connection.answer()
            answers.append((status, sorted(headers), body))
    assert answers[0] == answers[1]
    assert edges.ways == [True]


def test_a_head_that_comes_again_is_not_parsed_again(edges):
    edges.repeated.clear()
    with Connection(edges.hot) as connection:
        answers = []
        for _ in range(3):
            connection.send(infer(2))
            answers.append(connection.answer())
    assert edges.repeated == [False, True, True]
    assert [answer[0] for answer in answers] == [200] * 3
    assert answers[0][2] == answers[2][2]


def test_a_client_that_leaves_takes_its_items_with_it(edges):
    holder = edges.hold(edges.hot)
    with Connection(edges.hot) as connection:
        connection.send(infer(5))
        edges.waiting(5)
    edges.waiting(0)
    edges.model.opened.set()
    with holder:
        assert holder.answer()[0] == 200
    edges.rest()
