"""Heads that are known although their ids differ: held against the parser."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tailgate.service.codec.inputs import Kind
from tailgate.service.codec.intent import Intent
from tailgate.service.codec.request_id import request_id
from tailgate.service.errors import RequestError
from tailgate.service.http.known import learn
from tailgate.service.http.reader import HeadReader, Incoming

BODY = b"body"
INTENT = Intent(Kind.PIXELS, len(BODY), None, None)
TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OTHER_TRACE = b"00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-00"


def head(*lines):
    return b"".join(
        (
            b"POST /predict HTTP/1.1\r\nHost: x\r\n",
            *(line + b"\r\n" for line in lines),
            b"Content-Length: 4\r\n\r\n",
        )
    )


def parsed(raw):
    """Return the head that the parser makes of exactly these bytes; None where it makes none."""
    incoming = Incoming()
    incoming.add(raw)
    try:
        found = HeadReader().read(incoming)
    except RequestError:
        return None
    return found[0] if found is not None and not incoming.size else None


def learned(*lines):
    raw = head(*lines)
    return learn(raw, parsed(raw), len(BODY), INTENT)


def meets(known, *lines):
    """Return the id of a request with these lines, False where its head is not known."""
    raw = head(*lines)
    met = known.meet(raw + BODY)
    if met is None:
        return False
    assert met[0] == len(raw)
    return met[1]


@pytest.mark.parametrize("name", [b"x-request-id", b"X-Request-ID", b"X-Request-Id", b"X-REQUEST-ID"])
@pytest.mark.parametrize("value", [b"1", b"22", b"a" * 128, b"0a1b2c3d-0000-4e5f-8a9b-000000000001"])
def test_a_head_is_known_with_another_id_of_any_length(name, value):
    assert meets(learned(name + b": first", b"A: b"), name + b": " + value, b"A: b") == value


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([], [], None),
        ([b"traceparent: " + TRACE], [b"traceparent: " + OTHER_TRACE], b"a" * 32),
        ([b"Traceparent:" + TRACE], [b"Traceparent:" + OTHER_TRACE], b"a" * 32),
        (
            [b"x-request-id: a", b"traceparent: " + TRACE],
            [b"x-request-id: b", b"traceparent: " + OTHER_TRACE],
            b"b",
        ),
        (
            [b"traceparent: " + TRACE, b"A: b", b"x-request-id: a"],
            [b"traceparent: " + OTHER_TRACE, b"A: b", b"x-request-id: b"],
            b"b",
        ),
        # The id is the other header's: whatever stands here does not matter.
        ([b"x-request-id: a", b"traceparent: x"], [b"x-request-id: b", b"traceparent: yz"], b"b"),
        # Not of the form that was learned.
        ([b"x-request-id: a"], [b"x-request-id: b c"], False),
        ([b"x-request-id: a"], [b"x-request-id: "], False),
        ([b"x-request-id: a"], [b"x-request-id: \xe9"], False),
        ([b"x-request-id: a"], [b"x-request-id: " + b"a" * 129], False),
        ([b"x-request-id: a"], [b"X-Request-ID: a"], False),
        ([b"x-request-id: a"], [b"x-request-id: b", b"A: b"], False),
        ([b"x-request-id: a"], [b"x-request-id: b\r\n c"], False),
        ([b"x-request-id: a"], [b"x-request-id: b\nA: c"], False),
        ([b"traceparent: " + TRACE], [b"traceparent: " + TRACE.upper()], False),
        ([b"traceparent: " + TRACE], [b"traceparent: " + TRACE + b"-00"], False),
        # Only the very same bytes.
        ([b"x-request-id: a b"], [b"x-request-id: a b"], None),
        ([b"x-request-id: a b"], [b"x-request-id: a c"], False),
        ([b"x-request-id: a", b"x-request-id: a"], [b"x-request-id: a", b"x-request-id: a"], b"a"),
        ([b"x-request-id: a", b"x-request-id: a"], [b"x-request-id: b", b"x-request-id: b"], False),
        ([b"A: x-request-id: a"], [b"A: x-request-id: b"], False),
        ([b"A-x-request-id: a"], [b"A-x-request-id: b"], False),
        ([b"x-request-id2: a"], [b"x-request-id2: b"], False),
        ([b"traceparent: none"], [b"traceparent: some"], False),
    ],
)
def test_only_the_values_of_usable_ids_may_differ(first, second, expected):
    assert meets(learned(*first), *second) == expected


def test_a_head_is_met_with_any_part_of_its_body_and_with_nothing_behind_it():
    known, again = learned(b"x-request-id: a"), head(b"x-request-id: b")
    for size in range(len(BODY) + 1):
        assert known.meet(again + BODY[:size]) == (len(again), b"b")
    assert known.meet(again + BODY + b"x") is None


def test_a_part_of_a_head_is_not_met():
    raw = head(b"x-request-id: a", b"A: b")
    known = learned(b"x-request-id: a", b"A: b")
    assert [size for size in range(len(raw)) if known.meet(raw[:size]) is not None] == []


NAMES = st.sampled_from(
    [b"x-request-id", b"X-Request-ID", b"traceparent", b"Traceparent", b"a", b"x-request-id2"]
)
VALUES = st.sampled_from(
    [
        b"",
        b"1",
        b"b22",
        b"b 2",
        TRACE,
        OTHER_TRACE,
        TRACE + b"-x",
        b"x-request-id: 1",
        b"1 ",
        b"\xe9",
        b"1\r\n 2",
        b"1\n",
        b"\r\n",
    ]
) | st.text(st.characters(codec="latin-1"), max_size=6).map(lambda text: text.encode("latin-1"))


@given(
    st.lists(st.tuples(NAMES, st.sampled_from([b"", b" "]), VALUES, VALUES), max_size=4),
    st.one_of(st.none(), st.tuples(st.integers(0, 200), st.binary(max_size=3))),
)
@example([(b"x-request-id", b" ", b"1", b"1\r\nHost: y")], None)
@example([(b"x-request-id", b" ", b"1", b"1\r\n\r\n")], None)
def test_whatever_is_known_is_what_the_parser_makes_of_it(lines, edit):
    first = head(*(name + b":" + space + value for name, space, value, _ in lines))
    second = head(*(name + b":" + space + value for name, space, _, value in lines))
    if edit is not None:
        second = second[: edit[0]] + edit[1] + second[edit[0] + len(edit[1]) :]
    before = parsed(first)
    if before is None:
        return
    known = learn(first, before, len(BODY), INTENT)
    assert known.meet(first + BODY) == (len(first), request_id(before.headers))
    met = known.meet(second + BODY)
    if met is None:
        return
    after = parsed(second)
    assert after is not None
    assert met == (len(second), request_id(after.headers))

    def others(headers):
        return [each for each in headers if each[0] not in (b"x-request-id", b"traceparent")]

    assert after._replace(headers=others(after.headers)) == before._replace(headers=others(before.headers))
