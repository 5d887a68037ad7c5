"""What headers and targets mean: whatever a client sends is understood, or refused as its own fault."""

import math

import httptools
import jsonschema
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tailgate.service.codec.message import MOST_TOLD, RequestHeaders
from tailgate.service.errors import BadInput, Encoded, RequestError
from tailgate.service.http.head import checked_target, is_host
from tailgate.service.http.pages.openapi import predict_path

TIMEOUT, LENGTH = b"x-request-timeout-ms", b"content-length"
SINGLE = [b"content-type", LENGTH, TIMEOUT]


def read(name, *values):
    return RequestHeaders.read([(name, value) for value in values])


# Numbers.


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"1", 0.001),
        (b"250", 0.25),
        (b"0.5", 0.0005),
        (b"0.001", 1e-6),
        (b"1e3", 1.0),
        (b"1E+3", 1.0),
        (b"2.5e-1", 0.00025),
        (b"1e300", 1e297),
    ],
)
def test_a_timeout_is_a_number_as_json_has_it(value, seconds):
    assert read(TIMEOUT, value).timeout_s == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"soon",
        b"0",
        b"-1",
        b"+1",
        b"1_000",
        b"0x10",
        b"010",
        b".5",
        b"5.",
        b"1e",
        b"1,5",
        b"1 000",
        b"nan",
        b"inf",
        b"Infinity",
        b"1e999",
        b"5e-324",
        b"0.0009",
        "٣".encode(),
        b"\xb2",
        b"1" * 5000,
        b"0." + b"0" * 5000 + b"1",
    ],
)
def test_anything_else_is_refused_in_a_few_words(value):
    with pytest.raises(BadInput, match="X-Request-Timeout-Ms: expected a number of milliseconds") as refusal:
        read(TIMEOUT, value)
    assert len(str(refusal.value)) < 4 * MOST_TOLD


@example(0.001)
@example(math.nextafter(0.001, 0))
@example(5e-324)
@example(0)
@given(st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(10**6), 10**18)))
def test_the_document_allows_the_timeouts_that_are_taken_and_no_others(milliseconds):
    (parameter,) = predict_path(429)["post"]["parameters"]
    allowed = jsonschema.Draft202012Validator(parameter["schema"]).is_valid(milliseconds)
    try:
        read(TIMEOUT, orjson.dumps(milliseconds))
    except BadInput:
        assert not allowed
    else:
        assert allowed


@pytest.mark.parametrize(
    ("value", "length"), [(b"0", 0), (b"192", 192), (b"000192", 192), (b"9" * 20, 10**20 - 1)]
)
def test_a_length_is_digits(value, length):
    assert read(LENGTH, value).length == length


@pytest.mark.parametrize(
    "value",
    [b"", b"-1", b"+1", b"1_0", b"0x1", b"1.0", b"1e3", b" 1", "٣".encode(), b"\xb2", b"0" * 21, b"9" * 5000],
)
def test_no_other_length_is_taken(value):
    with pytest.raises(BadInput, match="Content-Length: expected a number of at most 20 digits"):
        read(LENGTH, value)


DIGITS = st.integers(0, 40_000).map(lambda count: b"7" * count)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*SINGLE, b"content-encoding", b"transfer-encoding", b"x"]),
            st.one_of(st.binary(), DIGITS),
        )
    )
)
def test_whatever_headers_come_the_fault_is_the_clients(headers):
    refusal = BadInput()
    try:
        RequestHeaders.read(headers)
    except RequestError as error:
        refusal = error
    assert refusal.status in {400, 415, 501}
    assert len(str(refusal)) < 10 * MOST_TOLD


# Headers that come twice.


@pytest.mark.parametrize("name", SINGLE)
def test_a_header_that_comes_twice_with_different_values_is_refused(name):
    assert read(name, b"5", b"5") == read(name, b"5")
    with pytest.raises(BadInput, match="expected one, got '5' and '6'; send one of them"):
        read(name, b"5", b"6")


@pytest.mark.parametrize("values", [[], [b""], [b"identity"], [b"Identity, identity"], [b"", b" , identity"]])
def test_no_content_coding_is_taken(values):
    assert read(b"content-encoding", *values) == RequestHeaders("", None, None)


@pytest.mark.parametrize("values", [[b"gzip"], [b"identity, br"], [b"identity", b"deflate"], [b"x" * 30_000]])
def test_a_content_coding_is_415_and_says_that_none_is_taken(values):
    with pytest.raises(Encoded, match="is not decoded; send the body as it is") as refusal:
        read(b"content-encoding", *values)
    assert refusal.value.status == 415
    assert refusal.value.headers() == [(b"accept-encoding", b"identity")]


# Hosts.


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b"x",
        b"x:",
        b"x:0",
        b"x:65535",
        b"api.example.org:8000",
        b"a_b",
        b"xn--bcher-kva.example",
        b"%C3%BC",
        b"127.0.0.1:80",
        b"[::1]",
        b"[2001:db8::1]:8000",
        b"[fe80::1%25eth0]",
        b":80",
    ],
)
def test_a_name_or_an_address_with_or_without_a_port_is_a_host(host):
    assert is_host(host)


@pytest.mark.parametrize(
    "host",
    [
        b"a b",
        b"a/b",
        b"a\\b",
        b"u@h",
        b"a, b",
        b"a?b",
        b"a#b",
        b"<script>",
        b'"a"',
        b"\xff\xfe",
        "bücher".encode(),
        b"%",
        b"%zz",
        b"a:b",
        b"a:-1",
        b"a:65536",
        b"a:99999999",
        b"a:80:80",
        b"a:80 ",
        b"::1",
        b"[::1",
        b"[::1]x",
        b"[]",
        b"[zz]",
        b"[::::]",
        b"[127.0.0.1]",
        b"http://x",
        b"a:" + b"1" * 5000,
    ],
)
def test_nothing_else_is_a_host(host):
    assert not is_host(host)


UNRESERVED = st.text("abcXYZ019-._~", max_size=30).map(str.encode)


@given(UNRESERVED, st.one_of(st.none(), st.integers(0, 65535)))
def test_every_name_and_port_of_plain_characters_is_a_host(name, port):
    assert is_host(name if port is None else b"%b:%d" % (name, port))


@given(UNRESERVED, st.sampled_from(b' \t/\\@?#<>"^`{|}\x00\x1f\x7f\x80\xff'), UNRESERVED)
def test_no_name_with_a_character_that_delimits_is_a_host(before, character, behind):
    assert not is_host(before + bytes([character]) + behind)


# Targets.


@pytest.mark.parametrize(
    ("target", "taken"),
    [
        (b"/predict", b"/predict"),
        (b"/", b"/"),
        (b"//x", b"//x"),
        (b"/a?b=%23", b"/a?b=%23"),
        (b"http://x/predict?a", b"/predict?a"),
        (b"HTTPS://x/", b"/"),
        (b"http://x", b"/"),
        (b"http://x?a=b", b"/?a=b"),
        (b"http://[::1]:80", b"/"),
    ],
)
def test_a_path_and_a_url_of_this_server_are_targets(target, taken):
    assert checked_target(b"GET", target) == taken


@pytest.mark.parametrize(
    "target",
    [
        b"*",
        b"/a#b",
        b"/#",
        b"http://x/#",
        b"http://u@x/",
        b"http://u:p@x/",
        b"ftp://x/",
        b"file:///x",
        b"x",
        b"x:80",
        b"",
    ],
)
def test_no_other_target_is_taken(target):
    with pytest.raises((BadInput, httptools.HttpParserInvalidURLError)):
        checked_target(b"GET", target)


def test_the_whole_server_is_a_target_of_options_alone():
    assert checked_target(b"OPTIONS", b"*") == b"*"
