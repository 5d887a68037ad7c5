"""Streamed answers, from the socket to the records: each event at the nanosecond at which it was read."""

import contextlib
import socket

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_server import OK, ScriptedServer
from sent_phases import one_phase, payload, send
from simulated_server import StreamingServer, simulate

from tailgate.harness.errors import MeasurementError
from tailgate.harness.load.records.events import EVENT, EVENT_FILE, EVENTS, gaps_ns, read_events
from tailgate.harness.load.records.recorder import Recorder
from tailgate.harness.load.records.samples import Outcome
from tailgate.harness.load.wire.answer import Answer
from tailgate.harness.load.wire.connection import Flight
from tailgate.harness.load.wire.stream import UNKNOWN_LAG
from tailgate.harness.scenario.arrivals import Constant, Poisson
from tailgate.harness.scenario.behaviour import Behaviour, Disturbers
from tailgate.harness.scenario.scenario import Phase

SO_TIMESTAMPNS = 35
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


def stream(*events, kind=b"text/event-stream", end=b"0\r\n\r\n"):
    return HEAD % kind + b"".join(map(chunk, events)) + end


def test_every_event_is_the_servers_truth_to_the_nanosecond(monkeypatch, tmp_path):
    random = np.random.default_rng(3)
    laws = [random.exponential(0.01, random.integers(1, 30)).tolist() for _ in range(300)]
    server = StreamingServer(laws.__getitem__)
    report, samples = simulate(monkeypatch, tmp_path, server, Poisson(200.0), 300)
    assert report.ok == 300
    assert samples["events"].tolist() == [len(moments) for moments in server.sent_ns]
    assert samples["first_event_ns"].tolist() == [moments[0] for moments in server.sent_ns]
    assert samples["last_event_ns"].tolist() == samples["done_ns"].tolist()
    events = read_events(tmp_path)
    assert events["read_ns"].tolist() == [moment for moments in server.sent_ns for moment in moments]
    wanted = np.concatenate([np.diff(moments) for moments in server.sent_ns])
    np.testing.assert_array_equal(gaps_ns(events), wanted)


@contextlib.contextmanager
def kernel_that_stamps():
    """Ask the kernel to note when data comes, and go on asking; it begins with that some time after the first question."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as asking,
        server.accept()[0] as telling,
    ):
        asking.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        stamped = []
        while not stamped:
            telling.sendall(b"?")
            _, stamped, _, _ = asking.recvmsg(1, 64)
        yield


def test_the_kernel_tells_how_long_it_held_what_was_read(tmp_path):
    answer = stream(b"data: a\n\n", b"data: b\n\n")
    with ScriptedServer({"/": [answer]}) as server, kernel_that_stamps():
        _, samples = send(tmp_path, server.port, one_phase(3), [payload("/")], connections_max=1)
    events = read_events(tmp_path)
    assert samples["events"].tolist() == [2, 2, 2]
    # It is asked when the first stream has shown itself, which came in one piece here.
    assert (events["lag_ns"][:2] == UNKNOWN_LAG).all()
    assert (events["lag_ns"][2:] < UNKNOWN_LAG).all()


def test_an_event_that_tells_of_a_failure_fails_its_request_with_what_it_said(tmp_path):
    answer = stream(b"data: a\n\n", b'data: {"error": {"message": "out of memory"}}\n\n', b"data: [DONE]\n\n")
    with ScriptedServer({"/": [answer]}) as server:
        (report,), samples = send(tmp_path, server.port, one_phase(4), [payload("/")])
    assert set(samples["outcome"]) == {Outcome.ERROR_EVENT}
    assert set(samples["events"]) == {1}
    (failure,) = report.failures
    assert str(failure) == (
        '4 × stream with an event that tells of a failure: {"error": {"message": "out of memory"}}'
    )


@pytest.mark.parametrize(
    ("end", "steps", "outcome"),
    [(b"", ["close"], Outcome.RESET), (b"zz\r\n", ["hang"], Outcome.MALFORMED)],
)
def test_a_stream_that_is_cut_off_is_no_good_answer(tmp_path, end, steps, outcome):
    with ScriptedServer({"/": [stream(b"data: a\n\n", end=end), *steps]}) as server:
        _, samples = send(tmp_path, server.port, one_phase(1), [payload("/")])
    assert (samples["outcome"].tolist(), samples["events"].tolist()) == ([outcome], [1])


@pytest.mark.parametrize(
    ("answer", "events"),
    [
        (stream(b'{"a": 1}\n{"b"', b": 2}\n", kind=b"application/x-ndjson"), 2),
        (stream(b"to", b"ken", kind=b"text/plain; charset=utf-8"), 2),
        (stream(b'{"a": 1}\n', kind=b"application/json"), 0),
        (OK, 0),
        (OK.replace(b"content-length", b"content-type: text/plain\r\ncontent-length"), 0),
        (b"HTTP/1.1 200 OK\r\ncontent-type: application/jsonl\r\n\r\n{}\n{}", 2),
        (b"HTTP/1.1 103 Early\r\ncontent-type: text/event-stream\r\n\r\n" + OK, 0),
    ],
)
def test_what_is_an_event_goes_by_the_head_of_the_answer(tmp_path, answer, events):
    steps = [answer, "close"] if b"jsonl" in answer else [answer]
    with ScriptedServer({"/": steps}) as server:
        (report,), samples = send(tmp_path, server.port, one_phase(2), [payload("/")])
    assert report.ok == 2
    assert samples["events"].tolist() == [events, events]
    assert (tmp_path / EVENTS).is_file() == bool(events)


@given(st.sampled_from([b"text/event-stream", b"application/x-ndjson", b"text/plain"]), st.data())
def test_however_the_answer_is_cut_its_events_are_the_same(kind, data):
    whole = stream(b"data: a\n\n", b"data: b\n", b"\n", kind=kind)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(whole) - 1), max_size=6)))
    answers = [Answer(), Answer()]
    answers[0].feed(whole, 1)
    for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        answers[1].feed(whole[start:end], end)
    one, cut = ([len(answer.stream.read_ns), answer.complete, answer.whole()] for answer in answers)
    assert one == cut
    assert list(answers[1].stream.read_ns) == sorted(answers[1].stream.read_ns)


def test_a_dripping_client_gets_a_stream_that_failed_as_a_failure(tmp_path):
    answer = stream(b"event: error\ndata: no\n\n")
    phase = Phase("only", Constant(500.0), requests=4, disturbers=(Disturbers(Behaviour.DRIPS, 0.5),))
    with ScriptedServer({"/": [answer]}) as server:
        _, samples = send(tmp_path, server.port, [phase], [payload("/")])
    assert set(samples["outcome"]) == {Outcome.ERROR_EVENT}
    assert Behaviour.DRIPS in samples["behaviour"]


def test_an_error_status_is_no_stream_whatever_its_type():
    answer = Answer()
    answer.feed(stream(b"event: error\ndata: no\n\n").replace(b"200 OK", b"500 Oh"))
    assert answer.complete
    assert answer.stream is None
    assert answer.kept


def test_an_answer_after_a_stream_on_the_same_connection_is_counted_anew():
    answer = Answer()
    for _ in range(2):
        answer.begin()
        answer.feed(stream(b"data: a\n\n"), 5)
        assert list(answer.stream.read_ns) == [5]
    answer.begin()
    answer.feed(OK, 6)
    assert answer.stream is None


def test_events_survive_the_disk_in_the_order_of_phase_and_request(tmp_path):
    recorder = Recorder(tmp_path / "samples.bin")
    for phase, request in ((1, 0), (0, 7), (0, 2)):
        answer = Answer()
        answer.feed(stream(b"data: a\n\n", b"data: b\n\n"), 10 * request, 3)
        flight = Flight(request, 0, 0, 0)
        flight.stream = answer.stream
        recorder.append(phase, flight, Outcome.OK, 1)
    recorder.close()
    found = read_events(tmp_path)
    assert found[["phase", "request", "read_ns", "lag_ns"]].tolist() == [
        *[(0, 2, 20, 3)] * 2,
        *[(0, 7, 70, 3)] * 2,
        *[(1, 0, 0, 3)] * 2,
    ]
    assert gaps_ns(found).tolist() == [0, 0, 0]


def test_a_record_that_was_cut_short_is_left_out_and_another_file_is_refused(tmp_path):
    path = tmp_path / EVENTS
    path.write_bytes(EVENT_FILE.header() + np.zeros(2, EVENT).tobytes()[:-1])
    assert len(read_events(tmp_path)) == 1
    path.write_bytes(b"something else altogether")
    with pytest.raises(MeasurementError, match="is not a file of events of version 1"):
        read_events(tmp_path)
