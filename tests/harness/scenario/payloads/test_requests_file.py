"""A file of requests, in both forms; each mistake is refused with its line."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgate.harness.errors import UsageError
from tailgate.harness.scenario.payloads.payload import Payload
from tailgate.harness.scenario.payloads.requests_file import KEYS, file_requests

PAGE = (Path(__file__).parents[4] / "docs/reference/requests.md").read_text()
TEXT = """
# Two requests and a half.
POST /score?x=1
Content-Type: application/json
X-Trace: a
X-Trace: b
@bodies/one.json
weight: 3
expect: status=200
expect: json:$.label=cat
name: a cat
# A comment ends nothing.
Accept: */*

GET /items/7
DELETE   /items/8
body: {"x": 2}
"""
LINES = """{"method": "POST", "path": "/score?x=1", "headers": {"Accept": "*/*"}, "file": "bodies/one.json", "weight": 3}

{"path": "/items/7"}
{"path": "/score", "body": {"x": [1, "é"]}, "expect": "status=200", "name": "ex"}
{"path": "/text", "body": "hi", "content_type": "text/x", "expect": ["contains:a", "same"], "method": "PUT"}
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "bodies").mkdir()
    (tmp_path / "bodies/one.json").write_text('{"x": 1}')
    return tmp_path / "requests"


def test_text_has_a_request_for_each_line_with_method_and_path(file, monkeypatch):
    file.write_text(TEXT)
    monkeypatch.chdir("/")
    assert file_requests(file) == [
        Payload(
            "a cat",
            b'{"x": 1}',
            "application/json",
            "/score?x=1",
            "POST",
            (
                ("Content-Type", "application/json"),
                ("X-Trace", "a"),
                ("X-Trace", "b"),
                ("Accept", "*/*"),
            ),
            3.0,
            ("status=200", "json:$.label=cat"),
        ),
        Payload("requests:15", b"", "", "/items/7", "GET"),
        Payload("requests:16", b'{"x": 2}', "application/json", "/items/8", "DELETE"),
    ]


def test_json_lines_have_a_request_each(file):
    file.write_text(LINES)
    assert file_requests(file) == [
        Payload(
            "requests:1", b'{"x": 1}', "application/json", "/score?x=1", "POST", (("Accept", "*/*"),), 3.0
        ),
        Payload("requests:3", b"", "", "/items/7", "GET"),
        Payload(
            "ex", '{"x": [1, "é"]}'.encode(), "application/json", "/score", "POST", expect=("status=200",)
        ),
        Payload("requests:5", b"hi", "text/x", "/text", "PUT", expect=("contains:a", "same")),
    ]


WRONG_TEXT = {
    "POST": "line 1: expected METHOD PATH, such as POST",
    "post /a": "line 1: expected METHOD PATH",
    "\n\nAccept: a": "line 3: expected METHOD PATH",
    "POST /a\nAccept": "line 2: expected NAME: VALUE, @FILE, or body: TEXT, got 'Accept'",
    "POST /a\nA b: c": "line 1: 'A b' is not the name of a header",
    "POST /a\nContent-Length: 3": "Content-Length is set by the generator",
    "POST /a\nExpect: 100-continue": "Expect is set by the generator",
    "GET http://host:1/a": "path: expected a path, got the address 'http://host:1/a'; --perf-target says where",
    "GET a": "path: expected a path that starts with '/'",
    "GET /é": "path: expected a path that starts with '/'",
    "GET /a#b": "path: expected a path that starts with '/'",
    "HEAD /a": "method: expected a method in capitals, such as POST, and neither HEAD nor CONNECT, got 'HEAD'",
    "POST /a\n@gone": "line 1: cannot read .*gone: No such file",
    "POST /a\n@": "line 1: file: expected a text, got ''",
    "POST /a\n@.": "line 1: .* is not a regular file",
    "POST /a\nbody: x\n@requests": "line 1: the request has a body and a file",
    "POST /a\nbody: x\nbody: y": "line 3: the request has a body already",
    "GET /a\nweight: x": "line 2: weight: expected a number above 0, got 'x'",
    "GET /a\n\nGET /b\nweight: 0": "line 3: weight: expected a number above 0, got 0.0",
    "GET /a\nweight: -1": "weight: expected a number above 0",
    "GET /a\nweight: nan": "weight: expected a number above 0",
    "GET /a\nweight: inf": "weight: expected a number above 0",
    "GET /a\nname: x\nGET /b\nname: x": "line 3: there is another request called 'x'",
    "# nothing": "holds no request",
    "": "holds no request",
}
WRONG_LINES = {
    "{": "line 1: expected a JSON object in one line",
    '{"path": "/a"}\n\n[1]': "line 3: expected a JSON object per line, and no list around them",
    '[{"path": "/a"}]': "line 1: expected a JSON object per line, and no list around them",
    '{"path": NaN}': "line 1: expected a JSON object in one line",
    "{}": "line 1: expected a path",
    '{"url": "/a"}': "line 1: there is no member of a request called 'url'",
    '{"path": "/a", "header": {}}': "did you mean 'headers'",
    '{"path": 7}': "path: expected a text, got 7",
    '{"path": "/a", "headers": ["A: b"]}': "headers: expected an object, such as ",
    '{"path": "/a", "headers": {"A": 1}}': "headers: A: expected a text, got 1",
    '{"path": "/a", "headers": {"A": "b\\n"}}': "the value of A holds what no header can",
    '{"path": "/a", "body": "\\ud800"}': "line 1: expected a JSON object in one line",
    '{"path": "/a", "body": ' + "[" * 2_000 + "]" * 2_000 + "}": "line 1: expected a JSON object in one line",
    '{"path": "/a", "weight": 1e301}': "weight: expected a number above 0",
    '{"path": "/a", "weight": true}': "weight: expected a number above 0, got True",
    '{"path": "/a", "weight": "2"}': "weight: expected a number above 0, got '2'",
    '{"path": "/a", "expect": 200}': "expect: expected a text, got 200",
    '{"path": "/a", "name": ""}': "name: expected a text",
}


@pytest.mark.parametrize(("text", "words"), (WRONG_TEXT | WRONG_LINES).items())
def test_a_mistake_is_refused_with_file_and_line(file, text, words):
    file.write_text(text)
    with pytest.raises(UsageError, match=words) as refused:
        file_requests(file)
    assert str(refused.value).startswith(f"--perf-requests: {file}")


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"--perf-requests: cannot read .*gone: No such file"):
        file_requests(tmp_path / "gone")
    (tmp_path / "bytes").write_bytes(b"GET /\n\xff")
    with pytest.raises(UsageError, match="bytes, line 2: expected text in UTF-8"):
        file_requests(tmp_path / "bytes")


@given(st.text())
def test_any_text_gives_requests_or_is_refused(tmp_path_factory, text):
    file = tmp_path_factory.getbasetemp() / "any"
    file.write_bytes(text.encode(errors="surrogatepass"))
    with contextlib.suppress(UsageError):
        assert file_requests(file)


@given(
    st.dictionaries(
        st.sampled_from(["method", "path", "headers", "body", "file", "weight", "expect", "name"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        ),
    )
)
def test_any_object_gives_a_request_or_is_refused(tmp_path_factory, fields):
    file = tmp_path_factory.getbasetemp() / "object"
    file.write_text(json.dumps(fields))
    with contextlib.suppress(UsageError):
        assert len(file_requests(file)) == 1


def test_the_examples_of_the_documentation_are_what_it_says(file):
    (file.parent / "bodies/cat.json").write_text("{}")
    page = PAGE.partition("## A file of requests")[2]
    for fence in ("```json", "```"):
        _, _, rest = page.partition(f"\n{fence}\n")
        example, _, page = rest.partition("\n```\n")
        file.write_text(example)
        score, item = file_requests(file)
        assert (score.method, score.weight, score.headers) == ("POST", 3, (("Accept", "application/json"),))
        assert (item.name, item.method, item.path) == ("an item", "GET", "/items/7")
        assert item.expect == ("status=200",)


def test_the_documentation_tells_every_member_of_a_request():
    table = PAGE.partition("| part of a request | in JSON | in text |")[2].partition("\n\n")[0]
    assert {key for key in KEYS if f"`{key}`" in table} == set(KEYS)
