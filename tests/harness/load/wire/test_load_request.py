import pytest

from tailgate.harness.errors import UsageError
from tailgate.harness.load import LoadSettings
from tailgate.harness.load.wire.request import encode_request, host_header
from tailgate.harness.scenario.payloads.payload import Payload

HERE = LoadSettings("127.0.0.1", 8000)


def test_a_request_is_head_and_body():
    payload = Payload("cat", b"\xff\xd8", "image/jpeg", headers=(("X-Trace", "a"), ("X-Trace", "b")))
    settings = LoadSettings("127.0.0.1", 8000, headers=(("Authorization", "Bearer t"),))
    assert encode_request(payload, settings) == (
        b"POST /predict HTTP/1.1\r\n"
        b"host: 127.0.0.1:8000\r\n"
        b"content-type: image/jpeg\r\n"
        b"Authorization: Bearer t\r\n"
        b"X-Trace: a\r\n"
        b"X-Trace: b\r\n"
        b"content-length: 2\r\n"
        b"\r\n"
        b"\xff\xd8"
    )


def test_a_request_without_body_has_no_content_headers():
    payload = Payload("health", b"", "", path="/health/live?x=1", method="GET")
    assert encode_request(payload, HERE) == b"GET /health/live?x=1 HTTP/1.1\r\nhost: 127.0.0.1:8000\r\n\r\n"


def test_an_empty_post_says_that_it_is_empty():
    assert b"\r\ncontent-length: 0\r\n" in encode_request(Payload("empty", b"", "image/png"), HERE)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (LoadSettings("example.org", 80), "example.org"),
        (LoadSettings("example.org", 443, tls=True), "example.org"),
        (LoadSettings("example.org", 443), "example.org:443"),
        (LoadSettings("::1", 8000), "[::1]:8000"),
    ],
)
def test_the_host_header_leaves_out_the_scheme_s_own_port(settings, expected):
    assert host_header(settings) == expected


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (
            Payload("p", b"", "", method="HEAD"),
            "expected a method in capitals.*neither HEAD nor CONNECT, got 'HEAD'",
        ),
        (Payload("p", b"", "", method="GET /"), "expected a method in capitals"),
        (Payload("p", b"", "", path="/a b"), "percent-encoded but for ASCII, got '/a b'"),
        (Payload("p", b"", "", path=""), "expected a path that starts with '/'"),
        (Payload("p", b"", "", path="/a#b"), "without a fragment"),
        (Payload("p", b"", "", path="predict"), "expected a path that starts with '/'"),
        (Payload("p", b"x", "image/\r\nX: y"), "the value of content-type holds what no header can"),
        (
            Payload("p", b"", "", headers=(("X-A", "1\r\nX-B: 2"),)),
            "the value of X-A holds what no header can",
        ),
        (Payload("p", b"", "", headers=(("X-A", "é"),)), "the value of X-A holds what no header can"),
        (Payload("p", b"", "", headers=(("X A", "1"),)), "'X A' is not the name of a header"),
        *(
            (Payload("p", b"", "", headers=((name, "1"),)), f"{name} is set by the generator; leave it out")
            for name in ("Content-Length", "transfer-encoding", "Connection", "EXPECT")
        ),
    ],
)
def test_what_cannot_be_sent_is_refused_by_name(payload, message):
    with pytest.raises(UsageError, match=f"payload 'p': .*{message}"):
        encode_request(payload, HERE)


def sent(payload, *of_options):
    head = encode_request(payload, LoadSettings("127.0.0.1", 8000, headers=of_options)).partition(
        b"\r\n\r\n"
    )[0]
    lines = [line.decode().split(": ", 1) for line in head.split(b"\r\n")[1:]]
    return [(name.lower(), value) for name, value in lines if name != "content-length"]


HOST = ("host", "127.0.0.1:8000")


@pytest.mark.parametrize(
    ("of_payload", "of_options", "expected"),
    [
        ((), (), [HOST, ("content-type", "a/b")]),
        ((), (("Content-Type", "c/d"),), [HOST, ("content-type", "c/d")]),
        ((("content-TYPE", "e/f"),), (("Content-Type", "c/d"),), [HOST, ("content-type", "e/f")]),
        ((("X", "1"),), (("x", "2"), ("Y", "3")), [HOST, ("content-type", "a/b"), ("y", "3"), ("x", "1")]),
        ((), (("X", "1"), ("X", "2")), [HOST, ("content-type", "a/b"), ("x", "1"), ("x", "2")]),
        ((), (("Host", "shop.example"),), [("content-type", "a/b"), ("host", "shop.example")]),
        ((("Host", "a"),), (("Host", "b"),), [("content-type", "a/b"), ("host", "a")]),
    ],
)
def test_what_a_payload_says_beats_the_options_and_both_beat_the_usual(of_payload, of_options, expected):
    assert sent(Payload("p", b"x", "a/b", headers=of_payload), *of_options) == expected
