"""The access log: which requests it has, with which id, and what never stands in any line of the log."""

import pytest
from edges import HOST, PIXELS, POISON_PIXEL, Connection, chunked, form, picture, pixels, post, two_edges
from structlog.testing import capture_logs
from test_request_ids import MADE, told, with_id

from tailgate.service.batching.requests.journal import Journal

SECRET = "hush-hush-0123456789"
TOKEN = b"Authorization: Bearer " + SECRET.encode()
EVENT = "a request ended"
JSON, OCTETS = b"application/json", b"application/octet-stream"


@pytest.fixture(scope="module")
def _edges():
    with (
        pytest.MonkeyPatch.context() as patch,
        two_edges(patch, max_body_bytes=20_000, token=SECRET) as edges,
    ):
        yield edges


@pytest.fixture
def edges(_edges, monkeypatch):
    """Every request has a line in the access log, and is slow; no line waits for another."""
    monkeypatch.setattr(_edges.service, "journal", Journal(0, lambda _, end: end(), share=1.0))
    yield _edges
    _edges.rest()


def lines_of(edges, address, *requests):
    """Send requests on one connection; return their answers and all lines of the log."""
    with capture_logs() as lines:
        with Connection(address) as connection:
            answers = []
            for request in requests:
                connection.send(request.replace(HOST, HOST + TOKEN + b"\r\n", 1))
                answers.append(connection.answer())
        edges.rest()
    return answers, lines


def test_each_request_has_a_line_with_its_id_outcome_and_stages(edges):
    for address in edges.both():
        answers, lines = lines_of(edges, address, with_id(PIXELS), PIXELS, post(pixels()[1:]))
        logged = [line for line in lines if line["event"] == EVENT]
        assert [(line["outcome"], line["status"]) for line in logged] == [
            ("ok", 200),
            ("ok", 200),
            ("bad_input", 422),
        ]
        assert [told(answer) for answer in answers] == [[b"x-request-id: the-one"], [MADE], [MADE]]
        assert logged[0]["request_id"] == "the-one"
        assert all(len(line["request_id"]) == 32 for line in logged[1:])
        stages = [logged[0][f"{stage}_ms"] for stage in ("body", "queue", "decode", "compute", "encode")]
        assert sum(stages) <= logged[0]["total_ms"] + 0.01


def test_no_request_has_a_line_unless_it_is_asked_for(edges, monkeypatch):
    monkeypatch.setattr(edges.service, "journal", Journal(None))
    answers, lines = lines_of(edges, edges.hot, PIXELS)
    assert [told(answer) for answer in answers] == [[]]
    assert lines == []


def test_a_request_that_is_not_drawn_has_neither_a_line_nor_an_id(edges, monkeypatch):
    numbers = iter([0.1, 0.3, 0.24, 0.25])
    monkeypatch.setattr(edges.service, "journal", Journal(None, share=0.25, draw=lambda: next(numbers)))
    answers, lines = lines_of(edges, edges.hot, *[PIXELS] * 4)
    assert [told(answer) for answer in answers] == [[MADE], [], [MADE], []]
    assert [line["event"] for line in lines] == [EVENT] * 2


def test_a_client_that_leaves_has_a_line_without_a_status(edges):
    with capture_logs() as lines:
        with Connection(edges.hot) as connection:
            request = with_id(PIXELS).replace(HOST, HOST + TOKEN + b"\r\n", 1)
            connection.send(request[:-1])
            edges.until(lambda: edges.service.in_flight.requests == 1)
        edges.rest()
    (line,) = (line for line in lines if line["event"] == EVENT)
    assert (line["outcome"], line["request_id"], "status" in line) == ("cancelled", "the-one", False)


OIP = b"/v2/models/moody/infer"
MARK = SECRET.encode()
HIDING = {
    "a body of octets": post(MARK * 3),
    "a whole body of octets": post((MARK * 12)[:192]),
    "a poisoned body": post(pixels(first=POISON_PIXEL)[:-20] + MARK),
    "chunks": chunked(MARK, MARK),
    "no JSON": post(b'{"' + MARK, JSON),
    "a key of JSON": post(b'{"%b": 1}' % MARK, JSON),
    "a value of JSON": post(b'{"inputs": "%b"}' % MARK, JSON),
    "a form": form(MARK),
    "a form's type": form(picture(), b"image/" + MARK),
    "a picture's bytes": post(picture() + MARK, b"image/png"),
    "no picture": post(MARK, b"image/png"),
    "a query": post(pixels(), OCTETS, path=b"/predict?token=" + MARK),
    "a query of a page": b"GET /nothing?token=%b HTTP/1.1\r\n%b\r\n" % (MARK, HOST),
    "a path": b"GET /%b HTTP/1.1\r\n%b\r\n" % (MARK, HOST),
    "a model's name": post(b"{}", JSON, path=b"/v2/models/%b/infer" % MARK),
    "an input's name": post(
        b'{"inputs": [{"name": "%b", "datatype": "UINT8", "shape": [1], "data": [1]}]}' % MARK, JSON, path=OIP
    ),
    "a datatype": post(
        b'{"inputs": [{"name": "input", "datatype": "%b", "shape": [1], "data": [1]}]}' % MARK, JSON, path=OIP
    ),
    "an id in a body": post(b'{"id": "%b", "inputs": []}' % MARK, JSON, path=OIP),
    "a type": post(pixels(), MARK),
    "a coding": post(pixels(), OCTETS, b"Content-Encoding: " + MARK),
    "a timeout": post(pixels(), OCTETS, b"X-Request-Timeout-Ms: " + MARK),
    "a cookie": post(pixels(), OCTETS, b"Cookie: session=" + MARK),
    "a wrong token": PIXELS,
    "another scheme": PIXELS,
}


@pytest.mark.parametrize("name", HIDING)
def test_no_line_of_the_log_has_what_a_client_has_sent(edges, name, caplog):
    wrong = {"a wrong token": b"Bearer x" + MARK, "another scheme": b"Basic " + MARK}
    request = HIDING[name]
    for address in edges.both():
        if name in wrong:
            request = request.replace(HOST, HOST + b"Authorization: " + wrong[name] + b"\r\n", 1)
            with capture_logs() as lines, Connection(address) as connection:
                connection.send(request)
                connection.answer()
        else:
            answers, lines = lines_of(edges, address, request, request)
            assert len(answers) == 2
        assert SECRET not in repr(lines)
        assert SECRET not in caplog.text
