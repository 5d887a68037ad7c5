"""Answers that are read by the form of their head: they say what the parser says, or are left to it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgate.harness.load.wire.answer import Answer, MalformedAnswerError
from tailgate.harness.load.wire.head_form import MOST_FORMS, MOST_NOTED, STATUS, HeadForms

TIMING = 'server-timing: queue;dur={}.5, decode;dur=0.25, compute;dur=3, encode;dur=0.1, batch;desc="{}", total;dur=5'
OURS = ("content-type: application/json", "x-request-id: {:032x}", TIMING, "content-length: {length}")
OTHERS = (
    "date: Sun, 29 Nov 2026 05:30:{:02d} GMT",
    "server: uvicorn",
    "Content-Length: {length}",
    "content-type: text/plain",
)


def answer(*lines, body=b"cat", number=1, first="HTTP/1.1 200 OK"):
    filled = [line.format(number, number, length=len(body)) for line in lines]
    return "\r\n".join([first, *filled, "", ""]).encode("latin-1") + body


def parsed(data):
    """Return the answer that the parser reads from one piece; None where it is malformed."""
    reading = Answer()
    try:
        reading.feed(data)
    except MalformedAnswerError:
        return None
    return reading


def learned(*answers):
    forms = HeadForms()
    for data in answers:
        reading = parsed(data)
        if reading is not None and reading.complete:
            forms.note(memoryview(data), reading)
    forms.learn()
    return forms


def read(forms, data):
    return forms.read(memoryview(bytearray(data + b"what an earlier answer left")), len(data))


@pytest.mark.parametrize(
    "lines",
    [
        OURS,
        OTHERS,
        ("content-length:{length}",),
        ("Server-Timing: total;dur={}", *OTHERS),
        ("connection: keep-alive", *OTHERS),
    ],
)
@pytest.mark.parametrize("body", [b"", b"\r\n\r\n", b"x" * 70_000])
def test_an_answer_like_an_earlier_one_needs_no_parser(lines, body):
    forms = learned(answer(*lines))
    data = answer(*lines, body=body, number=7)
    reading = parsed(data)
    assert read(forms, data) == (reading.stages, reading.whole())


@pytest.mark.parametrize(
    "data",
    [
        answer(*OTHERS, first="HTTP/1.1 201 Created"),
        answer(*OTHERS, first="HTTP/1.1 503 Service Unavailable"),
        answer(*OTHERS, first="HTTP/1.0 200 OK"),
        answer(*OTHERS, "Connection: close"),
        answer(*OTHERS, "Retry-After: 1"),
        answer(TIMING, *OURS),
        answer("content-type: text/event-stream", "content-length: {length}", body=b"data: a\n\n"),
        answer("folded: a\r\n b", "content-length: {length}"),
        answer("transfer-encoding: chunked", body=b"3\r\ncat\r\n0\r\n\r\n"),
        b"HTTP/1.1 100 Continue\r\n\r\n" + answer(*OTHERS),
    ],
)
def test_an_answer_that_says_more_than_a_form_holds_is_left_to_the_parser(data):
    assert read(learned(data), data) is None


HEADERS = st.sampled_from(
    [
        *OURS,
        *OTHERS,
        "Connection: keep-alive",
        "connection: close",
        "content-type: text/event-stream",
        "content-type: application/json ",
        "server-timing: total;dur={}",
        "server-timing: db;dur=1, batch;desc=many",
        "retry-after: {}",
        "transfer-encoding: chunked",
        "upgrade: h2c",
        "x: \xe9\t",
        "x:",
        "content-length: 3 ",
        "content-length: +3",
    ]
)
EDITS = st.lists(
    st.tuples(st.integers(0, 400), st.integers(0, 3), st.binary(max_size=3) | st.just(b"\r\n")), max_size=3
)


@given(st.lists(HEADERS, max_size=5), st.binary(max_size=20), st.integers(0, 99), EDITS)
def test_what_a_form_reads_is_what_the_parser_reads(lines, body, number, edits):
    forms = learned(answer(*lines, body=b"cat"))
    data = answer(*lines, body=body, number=number)
    for at, length, new in edits:
        data = data[:at] + new + data[at + length :]
    said = read(forms, data)
    if said is not None:
        reading = parsed(data)
        assert reading is not None
        assert (reading.stages, reading.whole()) == said
        assert (reading.status, reading.keep_alive, reading.stream) == (STATUS, True, None)
        assert reading.kept == b""
        assert reading.retry_after_s != reading.retry_after_s


@pytest.mark.parametrize("end", [-1, 1])
def test_an_answer_that_is_cut_or_has_more_behind_it_is_left_to_the_parser(end):
    data = answer(*OURS)
    forms = learned(data)
    assert forms.read(memoryview(data + b"x"), len(data) + end) is None


def test_few_forms_are_learned_and_each_once():
    kinds = [answer(f"x-{letter}: 1", "content-length: {length}") for letter in "abcdefgh"]
    forms = learned(*[kinds[0]] * MOST_NOTED)
    assert read(forms, kinds[0])
    for data in kinds:
        forms.note(memoryview(data), parsed(data))
        forms.learn()
    assert [read(forms, data) is not None for data in kinds] == [True] * MOST_FORMS + [False] * 4
