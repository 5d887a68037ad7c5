"""What a first answer is, which ones stop a run, and what the message proposes."""

import json

import pytest
from scripted_server import OK, ScriptedServer, status

from tailgate.harness.load.first_answer import FirstAnswer, ask
from tailgate.harness.load.preflight import MOST, judged, preflight
from tailgate.harness.load.settings import LoadSettings
from tailgate.harness.load.wire.answer import KEPT_BODY
from tailgate.harness.load.wire.endpoint import resolve_endpoint
from tailgate.harness.results.preflight import Preflight, sentences
from tailgate.harness.scenario.payloads.payload import Payload

LINE = "POST /predict"


def answer_with(body, *headers, code=200):
    lines = [f"HTTP/1.1 {code} Said", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def asked(steps, *, paths=("/predict",), timeout_s=5.0, expect=(), request=LINE, others=(), **more):
    """Return what the preflight of a server with this script comes to."""
    payloads = [Payload(f"one of {path}", b"{}", "application/json", path, expect=expect) for path in paths]
    scripts = dict.fromkeys(paths, steps) | {"/openapi.json": [status(404)]} | dict(others)
    with ScriptedServer(scripts) as server:
        settings = LoadSettings("127.0.0.1", server.port, timeout_s=timeout_s)
        return preflight(payloads, settings, request, **more), server.requests


@pytest.mark.parametrize(
    ("steps", "said", "length"),
    [
        ([OK], "hi", 2),
        ([b"HTTP/1.1 200 OK\r\n\r\nuntil the end", "close"], "until the end", 13),
        ([b"HTTP/1.1 100 Continue\r\n\r\n", OK], "hi", 2),
        ([b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"], "ab", 2),
        ([answer_with("ä b\r\n c".encode())], "ä b c", 8),
        ([answer_with(b"\xff\xd8\xff\xe0")], "4 bytes begin ff d8 ff e0", 4),
        ([answer_with(b"x" * 300)], "x" * 120, 300),
        ([status(204)], "", 0),
    ],
)
def test_a_good_first_answer_is_shown_and_lets_the_load_follow(steps, said, length):
    came_to, requests = asked(steps)
    (answer,) = came_to.answers
    assert (came_to.refused, answer.said, answer.bytes) == ("", said, length)
    assert answer.request == LINE
    assert [path for _, path, _ in requests] == ["/predict"]


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        (
            [answer_with(b'{"detail":"Not Found"}', code=404)],
            ["404 Not Found", "Not Found", "--perf-request='METHOD PATH'"],
        ),
        ([status(405, "allow: GET")], ["405 Method Not Allowed", "(this path takes GET)", "--perf-request="]),
        ([status(401)], ["401 Unauthorized", "--perf-header='Authorization: "]),
        ([status(403)], ["403 Forbidden", "--perf-header='Authorization: "]),
        (
            [answer_with(b"field required", code=422)],
            ["422 ", "field required", "--perf-payloads", "body:TEXT"],
        ),
        ([status(400)], ["400 Bad Request", "--perf-payloads"]),
        (
            [status(415)],
            ["415 ", "the content type sent is application/json", "--perf-header='Content-Type: "],
        ),
        ([status(429)], ["429 Too Many Requests", "limit of requests"]),
        ([status(307, "location: /predict/")], ["it leads to /predict/: --perf-request='POST /predict/'"]),
        ([status(301, "location: /a?b=1")], ["--perf-request='POST /a?b=1'"]),
        ([status(301, "location: https://example.com/predict")], ["another server: --perf-target"]),
        ([status(304)], ["names no place where it leads"]),
        ([status(500)], ["500 Internal Server Error", "its log ends:\na traceback"]),
        ([status(503)], ["503 Service Unavailable", "its log ends:"]),
        ([status(418)], ["418 I'm a Teapot"]),
        ([status(599)], ["599"]),
        (["close"], ["the connection was closed before the answer's end", "its log ends:"]),
        (["reset"], ["no answer: Connection reset by peer"]),
        ([answer_with(b"")[:-6], "close"], ["the connection was closed before the answer's end"]),
        ([b"SSH-2.0-OpenSSH\r\n"], ["is not an HTTP answer", "SSH-2.0"]),
        (
            [b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"],
            ["not an HTTP answer"],
        ),
    ],
)
def test_a_first_answer_that_is_no_good_one_stops_the_run_with_the_option_that_mends_it(steps, words):
    came_to, _ = asked(steps, log_tail=lambda: "a traceback")
    assert came_to.refused.startswith(f"no load was sent after this first answer: {LINE}: ")
    for word in words:
        assert word in came_to.refused


def test_a_server_that_does_not_answer_in_time_stops_the_run():
    came_to, _ = asked(["hang"], timeout_s=0.05)
    assert "no whole answer within 0.05 s" in came_to.refused


def test_a_server_that_never_ends_its_answer_stops_the_run():
    came_to, _ = asked([b"HTTP/1.1 200 OK\r\n\r\nbegun", "hang"], timeout_s=0.05)
    assert "no whole answer within 0.05 s" in came_to.refused
    assert came_to.answers[0].bytes == 5


def test_a_port_where_nobody_listens_stops_the_run():
    with ScriptedServer({}) as server:
        port = server.port
    came_to = preflight([Payload("one", b"", "")], LoadSettings("127.0.0.1", port))
    assert "no answer: " in came_to.refused


@pytest.mark.parametrize(
    ("document", "stops"),
    [
        ({"error": "model failed to load", "predictions": None}, True),
        ({"errors": [{"code": 1}]}, True),
        ({"error": {"code": 500}}, True),
        ({"error": True}, True),
        ({"error": 7}, True),
        ({"error": None, "errors": []}, False),
        ({"error": "", "label": "cat"}, False),
        ({"error": False}, False),
        ({"label": {"error": "deeper"}}, False),
        ({"detail": "of the answer"}, False),
        ([{"error": "in a list"}], False),
        ("error", False),
    ],
)
def test_an_answer_that_says_that_it_failed_stops_the_run_unless_something_is_expected(document, stops):
    body = json.dumps(document).encode()
    came_to, _ = asked([answer_with(body)])
    assert bool(came_to.refused) is stops
    if stops:
        assert "it says that it failed (error" in came_to.refused
        assert "--perf-expect says what a right answer is" in came_to.refused
    expecting, _ = asked([answer_with(body)], expect=("status=200",))
    assert expecting.refused == ""


def test_a_status_that_is_expected_is_a_good_one():
    came_to, _ = asked([status(404)], expect=("status=404",))
    assert came_to.refused == ""
    other, _ = asked([status(404)], expect=("contains:x",))
    assert "status is 404, expected 2xx" in other.refused


def test_a_first_answer_that_is_not_what_is_expected_stops_the_run():
    labelled = answer_with(b'{"label": "dog", "error": "none"}')
    wrong, _ = asked([labelled], expect=("json:$.label=cat",))
    assert "; $.label is 'dog', expected 'cat'" in wrong.refused
    right, _ = asked([labelled], expect=("json:$.label=dog", "same"))
    assert right.refused == ""


def test_a_path_that_is_not_there_is_answered_with_what_the_server_offers():
    document = {"paths": {"/health": {"get": {}}, "/score": {"post": {}}}}
    offers = {"/openapi.json": [answer_with(json.dumps(document).encode())]}
    came_to, _ = asked([status(404)], others=offers)
    assert came_to.refused.endswith("its /openapi.json offers POST /score, GET /health")


def test_a_payload_with_a_path_of_its_own_is_not_mended_by_an_option():
    came_to, _ = asked([status(404)], paths=("/own",), request=LINE)
    assert "--perf-request" not in came_to.refused
    assert "the payload's own method and path" in came_to.refused


def test_the_first_wrong_answer_ends_the_preflight():
    came_to, requests = asked([status(401)], paths=("/one", "/two"))
    assert [path for _, path, _ in requests] == ["/one"]
    assert [one.status for one in came_to.answers] == [401]


def test_each_request_is_sent_once_and_a_few_answers_are_told():
    told = []
    paths = [f"/{index}" for index in range(7)]
    came_to, requests = asked([OK], paths=paths, tell=told.append)
    assert [path for _, path, _ in requests] == paths
    assert len(came_to.answers) == 7
    assert len(told) == 5
    assert told[-1] == "first answers to 3 further requests: in the file of the results"


def test_more_requests_than_are_worth_the_wait_are_left_out_and_counted():
    times = iter([0.0, 0.0, 30.0, 30.0])
    came_to, requests = asked([OK], paths=[f"/{index}" for index in range(4)], clock=lambda: next(times))
    assert (len(requests), came_to.unasked) == (2, 2)
    assert came_to.note == "the preflight asked 2 of 4 requests once"
    many, _ = asked([OK], paths=[f"/{index}" for index in range(MOST + 1)], clock=lambda: 0.0)
    assert (len(many.answers), many.unasked) == (MOST, 1)


def test_the_bytes_are_those_of_the_generator():
    payload = Payload("one", b"{}", "application/json", "/a?b=1", "PUT", (("x-one", "1"),))
    with ScriptedServer({"/api/a?b=1": [OK]}) as server:
        settings = LoadSettings("127.0.0.1", server.port, prefix="/api", headers=(("x-all", "2"),))
        answer = ask(payload, settings, resolve_endpoint(settings))
    assert (answer.status, answer.text) == (200, "hi")
    assert server.requests == [(1, "/api/a?b=1", b"{}")]


def test_of_a_long_answer_the_first_mebibyte_is_kept_and_the_rest_counted():
    body = b"x" * (KEPT_BODY + 10)
    with ScriptedServer({"/predict": [answer_with(body)]}) as server:
        settings = LoadSettings("127.0.0.1", server.port)
        answer = ask(Payload("one", b"", ""), settings, resolve_endpoint(settings))
    assert (len(answer.body), answer.length) == (KEPT_BODY, len(body))
    assert answer.crc != 0


def test_a_body_that_is_no_json_says_nothing_of_itself():
    answer = FirstAnswer(0.1, status=200, body=b'{"error": ')
    assert judged(answer, Payload("one", b"", "")) == (False, "")


def test_several_arms_share_the_lines_of_a_report():
    answers = [Preflight("one", LINE, 200, "", 1, "x", 0.001)] * 9
    assert [len(sentences(answers, arms)) for arms in (1, 2, 9)] == [5, 2, 2]
    assert str(answers[0]) == f"{LINE}: 200 OK, 1 byte, 1.00 ms: x"


@pytest.mark.parametrize(
    ("body", "failed"),
    [
        (b'data: {"token": 1}\n\ndata: [DONE]\n\n', False),
        (b'data: {"token": 1}\n\ndata: {"error": {"message": "out of memory"}}\n\n', True),
        (b"event: error\ndata: out of memory\n\n", True),
    ],
)
def test_a_stream_that_says_that_it_failed_stops_the_run(body, failed):
    came_to, _ = asked([answer_with(body, "content-type: text/event-stream")])
    assert bool(came_to.refused) == failed
    assert ("out of memory" in came_to.refused) == failed
