"""What the options on requests, headers and TLS come to, and how they are refused."""

import shlex

import pytest

from tailgate.harness.compare.asked import source_of
from tailgate.harness.compare.load import ComparisonLoad
from tailgate.harness.errors import UsageError
from tailgate.harness.options import headers
from tailgate.harness.options.reading import parse_options, stated
from tailgate.harness.options.secret import secrets_of
from tailgate.harness.options.sent import chosen_source
from tailgate.harness.scenario.arrivals import Constant
from tailgate.harness.scenario.payloads.payload import Payload, settled
from tailgate.harness.scenario.scenario import Phase
from tailgate.harness.secrecy import HIDDEN
from tailgate.harness.session.reproduce import command

REPEATED = {"header"}


def read(tmp_path, ini=(), **said):
    def of(options):
        given = {
            name: [value] if name in REPEATED and isinstance(value, str) else value
            for name, value in dict(options).items()
        }
        return lambda option: given.get(option.field)

    return parse_options(of(said), tmp_path, of(ini), tmp_path)


@pytest.mark.parametrize(
    ("ini", "said", "source"),
    [
        ({}, {}, None),
        ({}, {"payloads": "file:a"}, "file:a"),
        ({}, {"request": "GET /x"}, "body:"),
        ({"request": "GET /x"}, {}, "body:"),
        ({}, {"request": "PUT /x", "payloads": "body:hi"}, "body:hi"),
        ({"payloads": "body:hi"}, {"request": "PUT /x"}, "body:hi"),
        ({}, {"requests": "list"}, "requests:list"),
        ({"payloads": "body:hi", "request": "PUT /x"}, {"requests": "list"}, "requests:list"),
        ({"requests": "list"}, {"payloads": "body:hi"}, "body:hi"),
        ({"requests": "list"}, {"request": "GET /x"}, "body:"),
    ],
)
def test_the_command_line_says_what_is_sent_or_else_the_ini_file(tmp_path, ini, said, source):
    assert chosen_source(read(tmp_path, ini, **said)) == source


@pytest.mark.parametrize("name", ["payloads", "request"])
@pytest.mark.parametrize("where", ["ini", "said"])
def test_a_file_of_requests_leaves_nothing_to_say_beside_it(tmp_path, where, name):
    both = {"requests": "list", name: "POST /x"}
    settings = read(tmp_path, both if where == "ini" else {}, **(both if where == "said" else {}))
    with pytest.raises(UsageError, match=f"--perf-requests=.*list gives whole requests, and --perf-{name}"):
        assert chosen_source(settings)


def test_a_comparison_sends_what_the_user_says_and_else_what_its_load_says(tmp_path):
    load = ComparisonLoad("one", "load", (Phase("load", Constant(1.0), requests=1),), (), source="pixels:8")
    assert source_of(load, read(tmp_path)) == "pixels:8"
    assert source_of(load, read(tmp_path, request="GET /x")) == "body:"
    assert source_of(load, read(tmp_path, requests="list")) == "requests:list"


@pytest.mark.parametrize(
    ("payload", "method", "path"),
    [
        (Payload("plain", b"", ""), "PUT", "/x?y=1"),
        (Payload("own path", b"", "", "/own"), "POST", "/own"),
        (Payload("own method", b"", "", method="GET"), "GET", "/predict"),
    ],
)
def test_a_request_that_names_its_own_method_or_path_keeps_them(tmp_path, payload, method, path):
    made = settled(payload, read(tmp_path, request="PUT /x?y=1"))
    assert (made.method, made.path) == (method, path)


def test_a_file_of_requests_that_beats_the_ini_file_keeps_post_predict(tmp_path):
    made = settled(Payload("plain", b"", ""), read(tmp_path, {"request": "PUT /x"}, requests="list"))
    assert (made.method, made.path) == ("POST", "/predict")


@pytest.mark.parametrize(
    "value",
    [
        "",
        "GET",
        "get /x",
        "GET  /x",
        "GET x",
        "GET /x y",
        "GET http://h/x",
        "HEAD /",
        "CONNECT /",
        "GET /é",
        "GET /#a",
        "GET /\x01",
    ],
)
def test_a_request_that_cannot_be_sent_is_refused_by_its_option(tmp_path, value):
    with pytest.raises(UsageError, match="--perf-request: expected "):
        read(tmp_path, request=value)


@pytest.mark.parametrize(
    "value",
    ["", "X", ": a", "X:", "X: ", "X Y: a", "X: a\nY: b", "X: é", "X: a\x00", "Content-Length: 1", "transfer-encoding: chunked",
     "Connection: close", "Expect: 100-continue"],
)  # fmt: skip
def test_a_header_that_cannot_be_sent_is_refused_by_its_option(tmp_path, value):
    with pytest.raises(UsageError, match="--perf-header: expected NAME: VALUE"):
        read(tmp_path, header=[value])


ENVIRONMENT = {"TOKEN": "s3cr3t-words", "B": " b ", "EMPTY": "", "LINES": "a\nb", "WIDE": "é"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Authorization: Bearer $TOKEN", ("Authorization", "Bearer s3cr3t-words")),
        ("X: ${TOKEN}x$B", ("X", "s3cr3t-wordsx b")),
        ("X: $$TOKEN costs $$1", ("X", "$TOKEN costs $1")),
        ("X:a: b", ("X", "a: b")),
    ],
)
def test_a_header_takes_variables_from_the_environment(text, expected):
    assert headers.expanded([text], ENVIRONMENT, "--perf-header") == (expected,)


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["X: $GONE"], r"--perf-header: X takes \$GONE from the environment, where it is not set or empty"),
        (
            ["X: ${EMPTY}"],
            r"--perf-header: X takes \$EMPTY from the environment, where it is not set or empty",
        ),
        (["X: 5$"], r"--perf-header: X holds a dollar that begins no \$VARIABLE .*; write \$\$"),
        (["X: $1"], r"--perf-header: X holds a dollar that begins no \$VARIABLE"),
        (["X: $LINES"], "--perf-header: the value of X holds what no header can"),
        (["X: $WIDE"], "--perf-header: the value of X holds what no header can"),
        (["Host: a", "host: b"], "--perf-header: host is given twice"),
        (["Authorization: a", "Authorization: b"], "--perf-header: Authorization is given twice"),
    ],
)
def test_a_variable_that_does_not_do_is_refused_and_never_told(texts, words):
    with pytest.raises(UsageError, match=words) as refused:
        headers.expanded(texts, ENVIRONMENT, "--perf-header")
    assert not [value for value in ENVIRONMENT.values() if value.strip() and value in str(refused.value)]


SECRETS = {
    "Authorization: Bearer $TOKEN": ["s3cr3t-words"],
    "X-Any: $TOKEN": ["s3cr3t-words", "X-Any: s3cr3t-words"],
    "X-Short: ${SHORT}": ["X-Short: ab1"],
    "Authorization: Bearer literal-words": ["literal-words", "Authorization: Bearer literal-words"],
    "Cookie: session=abcdefgh": ["session=abcdefgh"],
    "X-Api-Key: $$money$$": ["$money$", "$$money$$"],
}


@pytest.mark.parametrize(("text", "secrets"), SECRETS.items())
def test_what_a_header_must_not_tell_is_hidden(tmp_path, monkeypatch, text, secrets):
    monkeypatch.setenv("TOKEN", "s3cr3t-words")
    monkeypatch.setenv("SHORT", "ab1")
    hide = secrets_of(read(tmp_path, header=[text])).hide
    for secret in secrets:
        assert secret not in hide(f"it sent {secret} to us")
        assert HIDDEN in hide(f"it sent {secret} to us")


def test_a_header_of_no_secret_stays_readable(tmp_path):
    settings = read(tmp_path, header=["Accept: text/plain", "X-Tenant: shop-one"])
    said = secrets_of(settings).hide_all(stated(settings))
    assert said["header"] == "Accept: text/plain, X-Tenant: shop-one"


@pytest.mark.parametrize(
    "text", ["Authorization: Bearer $TOKEN", "X-Api-Key: ${TOKEN}", "Cookie: token=$TOKEN", "X: it's $TOKEN"]
)
def test_a_command_that_reproduces_names_the_variable_and_the_shell_leaves_it(tmp_path, monkeypatch, text):
    monkeypatch.setenv("TOKEN", "s3cr3t-words")
    line = command(["t.py"], 1, read(tmp_path, header=[text]), {})
    assert f"--perf-header={text}" in shlex.split(line)
    # Within single quotes alone, the shell expands nothing.
    assert "'--perf-header=" in line
    assert '"$' not in line


def test_a_literal_secret_is_not_in_the_command_that_reproduces(tmp_path):
    line = command(["t.py"], 1, read(tmp_path, header=["X-Api-Key: literal-words"]), {})
    assert "literal-words" not in line
    assert f"X-Api-Key: {HIDDEN}" in line
