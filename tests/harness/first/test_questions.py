"""What is found out of a server by asking it, against answers that a test makes."""

import json

import httpx
import pytest
from scripted_server import OK, ScriptedServer, status

from tailgate.harness.errors import TargetError
from tailgate.harness.first.questions import (
    PATIENCE_S,
    find_metrics,
    find_readiness,
    find_request,
    try_request,
)
from tailgate.harness.load.settings import LoadSettings
from tailgate.harness.target.launching.ready_path import USUAL_PATHS
from tailgate.harness.testing import FakeClock

BASE = "http://app"
EXPOSITION = "# TYPE a counter\na_total 1\n"


def client_of(answer):
    """Return a client whose requests a function of the path answers: a status, a text, or an error that is raised."""

    def handle(request):
        said = answer(request.url.path)
        if isinstance(said, Exception):
            raise said
        return httpx.Response(200, text=said) if isinstance(said, str) else httpx.Response(said)

    return httpx.Client(transport=httpx.MockTransport(handle))


def waited(answer, check_alive=lambda: None):
    clock = FakeClock()
    path = find_readiness(client_of(answer), BASE, check_alive, clock=clock, sleep=clock.sleep)
    return path, clock.now_s


@pytest.mark.parametrize("path", USUAL_PATHS)
def test_each_usual_path_is_a_sign_of_readiness(path):
    assert waited(lambda asked: 200 if asked == path else 404)[0] == path


def test_the_most_telling_path_is_taken_first():
    assert waited(lambda asked: 204 if asked in {"/", "/healthz", "/docs"} else 404)[0] == "/healthz"


def test_a_server_without_such_a_path_is_ready_once_it_has_answered_for_a_while():
    path, seconds = waited(lambda _: 404)
    assert path == ""
    assert PATIENCE_S <= seconds < PATIENCE_S + 1


def test_a_server_that_is_not_ready_yet_is_waited_for():
    left = iter(range(10 * len(USUAL_PATHS)))
    assert waited(lambda asked: 200 if next(left) > 30 and asked == "/ready" else 503)[0] == "/ready"


def test_a_server_that_does_not_answer_yet_is_waited_for_and_not_for_ever():
    left = iter(range(9))
    assert waited(lambda _: 200 if next(left) > 5 else httpx.ReadError("reset"))[0] == USUAL_PATHS[0]
    assert waited(lambda _: httpx.ReadError("reset"))[0] == ""


def test_a_server_that_dies_is_not_waited_for():
    def check_alive():
        raise TargetError("it ended")

    with pytest.raises(TargetError, match="it ended"):
        waited(lambda _: 404, check_alive=check_alive)


@pytest.mark.parametrize(
    ("answers", "path"),
    [
        ({"/metrics": EXPOSITION}, "/metrics"),
        ({"/metrics": 404, "/prometheus": EXPOSITION}, "/prometheus"),
        ({"/metrics": "<html>", "/metrics/": EXPOSITION}, "/metrics/"),
        ({"/metrics": httpx.ReadTimeout("slow")}, None),
        ({}, None),
    ],
)
def test_metrics_are_where_an_exposition_is(answers, path):
    found = find_metrics(client_of(lambda asked: answers.get(asked, 404)), BASE)
    assert (None if found is None else found[0]) == path


def document(**paths):
    """Return a document whose POSTs take an object with one number."""
    body = {
        "content": {
            "application/json": {"schema": {"type": "object", "properties": {"x": {"type": "integer"}}}}
        }
    }
    made = {
        f"/{path}": {method: {"requestBody": body} if method == "post" else {}}
        for path, method in paths.items()
    }
    text = json.dumps({"paths": made}).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(text) + text


def found(scripts, told=None):
    with ScriptedServer(scripts) as server:
        request = find_request(
            LoadSettings("127.0.0.1", server.port, timeout_s=5.0), [].append if told is None else told.append
        )
    return request, server.requests


def test_the_first_post_that_is_answered_well_is_the_request():
    scripts = {"/openapi.json": [document(users="post", predict="post")], "/predict": [OK]}
    request, requests = found(scripts)
    assert (request.line, request.body) == ("POST /predict", '{"x":1}')
    assert [path for _, path, _ in requests] == ["/openapi.json", *["/predict"] * 3]


def test_what_is_answered_otherwise_is_told_and_the_next_one_tried():
    told = []
    scripts = {"/openapi.json": [document(one="post", two="post", three="get")], "/one": [status(422)]}
    request, _ = found(scripts | {"/two": [status(500)], "/three": [OK]}, told)
    assert (request.line, request.body) == ("GET /three", None)
    assert [line.partition(":")[0] for line in told] == [
        "POST /one is answered with 422",
        "POST /two is answered with 500",
    ]


def test_methods_that_remove_and_paths_that_are_no_work_are_never_tried():
    scripts = {"/openapi.json": [document(health="get", all="delete", metrics="get", item="put")]}
    with pytest.raises(TargetError, match="no request is known; say what to send: --request="):
        found(scripts)


def test_a_server_without_a_document_needs_to_be_told_what_to_send():
    with pytest.raises(TargetError, match=r"no request is known \(/openapi.json describes none\); say what"):
        found({"/openapi.json": [status(404)]})


def test_an_answer_that_says_that_it_failed_is_none():
    body = b'{"error": "no model"}'
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    with ScriptedServer({"/x": [answer]}) as server:
        seconds, why = try_request(LoadSettings("127.0.0.1", server.port), "GET /x", None)
    assert seconds is None
    assert "it says that it failed (error: no model)" in why
