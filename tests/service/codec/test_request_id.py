"""Which header a request's id is taken from, and which values are none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tailgate.service.codec.request_id import caller_in, caller_of, id_line, new_id, request_id

TRACE_ID, SPAN_ID = b"4bf92f3577b34da6a3ce929d0e0e4736", b"00f067aa0ba902b7"
TRACE = b"00-%b-%b-01" % (TRACE_ID, SPAN_ID)


def ids(*values):
    return [(b"x-request-id", value) for value in values]


def traces(*values):
    return [(b"traceparent", value) for value in values]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], None),
        (ids(b"a"), b"a"),
        (ids(b"~!,;=\"'"), b"~!,;=\"'"),
        (ids(b" a\t"), b"a"),
        (ids(b"a", b"a"), b"a"),
        (ids(b"a", b"b"), None),
        (ids(b"a" * 128), b"a" * 128),
        (ids(b"a" * 129), None),
        (ids(b""), None),
        (ids(b"a b"), None),
        (ids(b"a\tb"), None),
        (ids(b"\xe9"), None),
        (ids(b"a\x7f"), None),
        (ids(b"a\r\nx: y"), None),
        (ids(b"a\n"), None),
        (ids(b"a\x1b[2J"), None),
        (traces(TRACE), TRACE_ID),
        (traces(TRACE, TRACE), TRACE_ID),
        (traces(TRACE, TRACE.replace(b"4bf", b"5bf")), None),
        (traces(TRACE.replace(b"00-4", b"01-4") + b"-more"), TRACE_ID),
        (traces(TRACE.replace(b"00-4", b"cc-4")), TRACE_ID),
        (traces(TRACE + b"-more"), None),
        (traces(TRACE + b"-"), None),
        (traces(TRACE + b"x"), None),
        (traces(TRACE.replace(b"00-4", b"ff-4")), None),
        (traces(TRACE.upper()), None),
        (traces(TRACE.replace(TRACE_ID, b"0" * 32)), None),
        (traces(TRACE.replace(SPAN_ID, b"0" * 16)), None),
        (traces(TRACE[:-1]), None),
        (traces(b""), None),
        (ids(b"a") + traces(TRACE), b"a"),
        (traces(TRACE) + ids(b"a"), b"a"),
        (traces(TRACE) + ids(b"no id"), TRACE_ID),
        ([(b"x-request-ids", b"a"), (b"request-id", b"b")], None),
    ],
)
def test_an_id_is_one_usable_value_of_x_request_id_or_else_the_trace_id(headers, expected):
    assert request_id(headers) == expected


@given(st.lists(st.tuples(st.sampled_from([b"x-request-id", b"traceparent"]), st.binary(max_size=140))))
def test_no_id_can_break_a_line(headers):
    told = id_line(request_id(headers) or new_id())
    assert all(32 <= byte < 127 for byte in told.removesuffix(b"\r\n"))


def test_ids_that_are_made_differ_and_are_trace_ids():
    made = {new_id() for _ in range(100)}
    assert len(made) == 100
    assert all(request_id(traces(b"00-%b-%b-01" % (each, SPAN_ID))) == each for each in made)


HEX = st.sampled_from("0123456789abcdefAF")
PARENTS = st.builds(
    "{}-{}-{}-{}{}".format,
    st.sampled_from(["00", "01", "ff", "0"]),
    st.text(HEX, min_size=32, max_size=32) | st.just("0" * 32) | st.text(HEX, max_size=33),
    st.text(HEX, min_size=16, max_size=16) | st.just("0" * 16),
    st.sampled_from(["00", "01", "03", "ff", "1", "zz"]),
    st.sampled_from(["", "-more", "x"]),
)


@given(PARENTS)
def test_a_caller_is_the_one_that_opentelemetry_reads(value):
    theirs = get_current_span(
        TraceContextTextMapPropagator().extract({"traceparent": value})
    ).get_span_context()
    ours = caller_of(traces(value.encode()))
    expected = (theirs.trace_id, theirs.span_id, int(theirs.trace_flags)) if theirs.is_valid else None
    assert ours == expected


NAMES = st.sampled_from([b"traceparent", b"TraceParent", b"x-traceparent", b"tracestate"])
VALUES = st.sampled_from(
    [TRACE, TRACE.replace(b"4bf", b"5bf"), b" %b\t" % TRACE, TRACE[:-1], b"", b"x: traceparent:"]
)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=3))
def test_the_caller_in_the_bytes_of_a_head_is_that_of_its_headers(lines):
    head = b"POST / HTTP/1.1\r\n" + b"".join(b"%b:%b\r\n" % line for line in lines) + b"\r\n"
    assert caller_in(head) == caller_of([(name.lower(), value) for name, value in lines])
