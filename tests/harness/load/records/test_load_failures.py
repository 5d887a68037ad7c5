"""What the generator remembers of requests without a good answer: counts by kind, and the first one's words."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_server import OK, ScriptedServer, status
from sent_phases import payload, send

from tailgate.harness.load.records.recorder import MOST_CHARACTERS, MOST_KINDS, Failures, words
from tailgate.harness.load.records.samples import Outcome
from tailgate.harness.load.wire.answer import Answer, MalformedAnswerError
from tailgate.harness.load.wire.connection import Flight
from tailgate.harness.results.failure import Failure
from tailgate.harness.scenario.behaviour import Behaviour
from tailgate.harness.scenario.scenario import Phase
from tailgate.harness.scenario.trace import Trace

LONG = "é" * 300
CHUNKED = b"HTTP/1.1 500 Oh\r\ntransfer-encoding: chunked\r\n\r\n3\r\nout\r\na\r\n of memory\r\n0\r\n\r\n"
ANSWERS = {
    "a body": (b'HTTP/1.1 404 Not Found\r\ncontent-length: 9\r\n\r\n{"no": 1}', '{"no": 1}'),
    "no body": (status(401), ""),
    "several lines": (b"HTTP/1.1 500 Oh\r\ncontent-length: 8\r\n\r\n{\r\n a:1}", "{ a:1}"),
    "chunks": (CHUNKED, "out of memory"),
    "an interim answer before": (b"HTTP/1.1 102 Wait\r\n\r\n" + CHUNKED, "out of memory"),
    "a long body": (
        b"HTTP/1.1 500 Oh\r\ncontent-length: 600\r\n\r\n" + LONG.encode(),
        LONG[:MOST_CHARACTERS],
    ),
    "a body that is no text": (b"HTTP/1.1 400 No\r\ncontent-length: 2\r\n\r\n\xff\xfe", "\ufffd\ufffd"),
    "a redirect": (status(307, "Location: /predict/"), "/predict/"),
    "a redirect to nowhere": (status(304), ""),
}


def kept_of(*pieces):
    answer = Answer()
    for piece in pieces:
        answer.feed(piece)
    return answer.kept


@pytest.mark.parametrize(("data", "said"), ANSWERS.values(), ids=ANSWERS)
def test_of_an_answer_that_failed_the_first_characters_are_kept(data, said):
    assert words(kept_of(data), Outcome.SERVER_ERROR) == said


@settings(deadline=None)
@given(st.data())
def test_however_it_is_cut(cuts):
    data, said = cuts.draw(st.sampled_from(list(ANSWERS.values())))
    at = sorted(cuts.draw(st.sets(st.integers(1, len(data) - 1), max_size=4)))
    pieces = [data[start:end] for start, end in zip([0, *at], [*at, len(data)], strict=True)]
    got = words(kept_of(*pieces), Outcome.SERVER_ERROR)
    # Of a head that came in pieces, what stood in the earlier ones is not kept.
    whole_head = len(pieces[0]) >= data.index(b"\r\n\r\n") + 4 and not data.startswith(b"HTTP/1.1 1")
    assert got == said if whole_head else len(got) <= MOST_CHARACTERS


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"HTTP/1.1 307 T\r\nLocation: /predict/\r\nContent-Length: 3\r\n\r\nabc", "/predict/"),
        (b"HTTP/1.1 300 M\r\nContent-Length: 3\r\n\r\nabc", "nowhere, as it has no Location: abc"),
        (b"HTTP/1.1 304 N\r\n\r\n", ""),
    ],
)
def test_a_redirect_is_told_by_where_it_leads(data, said):
    assert words(kept_of(data), Outcome.REDIRECT) == said


def test_of_good_answers_nothing_is_kept():
    assert kept_of(OK) == b""


def test_the_first_bytes_of_what_is_not_http_are_kept():
    answer = Answer()
    with pytest.raises(MalformedAnswerError):
        answer.feed(b"SSH-2.0-OpenSSH_9.2\r\n")
    assert words(answer.kept, Outcome.MALFORMED) == "SSH-2.0-OpenSSH_9.2"


@settings(deadline=None)
@given(st.binary(max_size=400), st.sampled_from([Outcome.SERVER_ERROR, Outcome.MALFORMED]))
def test_bytes_of_any_kind_have_words_or_none(kept, outcome):
    assert len(words(kept, outcome)) <= MOST_CHARACTERS


def flight(code=0, why="", behaviour=Behaviour.WAITS):
    made = Flight(0, 0, 1, 1, behaviour)
    made.status, made.why = code, why
    made.kept = status(code, f"location: /{why}") if code else b""
    return made


def test_requests_are_counted_by_kind_and_the_first_one_is_quoted():
    found = Failures()
    for _ in range(3):
        found.note(flight(why="no answer began"), Outcome.TIMEOUT)
    found.note(flight(why="the answer did not end"), Outcome.TIMEOUT)
    for body in (b"first", b"secnd"):
        made = flight(500)
        made.kept = b"HTTP/1.1 500 Oh\r\ncontent-length: 5\r\n\r\n" + body
        found.note(made, Outcome.SERVER_ERROR)
    assert found.by_kind() == (
        Failure("timeout", None, 3, "no answer began"),
        Failure("server_error", 500, 2, "first"),
        Failure("timeout", None, 1, "the answer did not end"),
    )


def test_however_many_kinds_there_are_memory_is_bounded_and_every_request_is_counted():
    found = Failures()
    for number in range(10 * MOST_KINDS):
        found.note(flight(why=f"reason {number}"), Outcome.REFUSED)
    assert sum(one.count for one in found.by_kind()) == 10 * MOST_KINDS
    assert len(found.by_kind()) <= MOST_KINDS + len(Outcome)


@pytest.mark.parametrize(
    ("behaviour", "outcome", "counted"),
    [
        (Behaviour.LEAVES, Outcome.LEFT, False),
        (Behaviour.CORRUPT, Outcome.CLIENT_ERROR, False),
        (Behaviour.CORRUPT, Outcome.SHED, False),
        (Behaviour.CORRUPT, Outcome.SERVER_ERROR, True),
        (Behaviour.DRIPS, Outcome.CLIENT_ERROR, True),
        (Behaviour.WAITS, Outcome.CLIENT_ERROR, True),
    ],
)
def test_what_a_disturber_had_coming_is_no_failure(behaviour, outcome, counted):
    found = Failures()
    found.note(flight(400, behaviour=behaviour), outcome)
    assert len(found.by_kind()) == counted


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (
            [b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno"],
            Failure("client_error", 404, 2, "no"),
        ),
        ([status(307, "location: /good/")], Failure("redirect", 307, 2, "/good/")),
        (["close"], Failure("reset", None, 2, "the server closed the connection")),
        (["reset"], Failure("reset", None, 2, "Connection reset by peer")),
        (["hang"], Failure("timeout", None, 2, "no answer began")),
        ([OK[:-1], "hang"], Failure("timeout", None, 2, "the answer did not end")),
        ([b"220 smtp\r\n", "hang"], Failure("malformed", None, 2, "220 smtp")),
    ],
)
def test_a_phase_reports_what_failed_and_only_what_failed_in_it(tmp_path, script, expected):
    with ScriptedServer({"/bad": script, "/good": [OK]}) as server:
        phases = [
            Phase("one", Trace((0.0, 0.01, 0.02), ("/good", "/bad", "/bad")), requests=3),
            Phase("two", Trace((0.0,), ("/good",)), requests=1),
        ]
        reports, _ = send(tmp_path, server.port, phases, [payload("/good"), payload("/bad")], timeout_s=0.3)
    assert [report.failures for report in reports] == [(expected,), ()]
