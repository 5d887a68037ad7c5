"""The sender against a real socket: counts, order and outcomes, never milliseconds."""

import shutil
import ssl
import subprocess
from collections import Counter

import numpy as np
import pytest
from scripted_server import OK, ScriptedServer, status
from sent_phases import at_once, one_phase, payload, send

from tailgate.harness.errors import LoadError
from tailgate.harness.load import LoadSettings, TimerMode
from tailgate.harness.load.records.recorder import Recorder
from tailgate.harness.load.records.samples import Outcome, read_samples
from tailgate.harness.load.sending.pool import outcome_of
from tailgate.harness.load.sending.sender import Sender
from tailgate.harness.load.wire.answer import Answer
from tailgate.harness.load.wire.connection import Connection
from tailgate.harness.results.slot import Loop
from tailgate.harness.scenario.arrivals import Bursts, ClosedLoop, Constant
from tailgate.harness.scenario.payloads.payload import Payload
from tailgate.harness.scenario.plan import draw_plan
from tailgate.harness.scenario.scenario import Phase, Scenario
from tailgate.harness.scenario.trace import Trace
from tailgate.harness.target.asking.trust import Trust

TIMED = b'HTTP/1.1 200 OK\r\nserver-timing: queue;dur=1, batch;desc="3"\r\ncontent-length: 0\r\n\r\n'


@pytest.mark.parametrize("processor", [None, 0])
def test_every_request_is_sent_and_recorded_once_by_either_timer(tmp_path, processor):
    with ScriptedServer({"/a": [OK], "/b": [TIMED]}) as server:
        payloads = [payload("/a", b"A"), payload("/b", b"B")]
        (report,), samples = send(tmp_path, server.port, one_phase(600), payloads, processor=processor)
    assert report.timer is (TimerMode.SLEEP if processor is None else TimerMode.SPIN)
    assert report.requests == report.ok == 600
    assert samples["request"].tolist() == list(range(600))
    planned = Counter((("/a", b"A"), ("/b", b"B"))[index] for index in samples["payload"])
    assert Counter((path, body) for _, path, body in server.requests) == planned
    assert (samples["status"] == 200).all()
    assert (samples["intended_ns"] <= samples["dispatched_ns"]).all()
    assert (samples["dispatched_ns"] <= samples["sent_ns"]).all()
    assert (samples["sent_ns"] <= samples["first_byte_ns"]).all()
    assert (samples["first_byte_ns"] <= samples["done_ns"]).all()
    told = samples["payload"] == 1
    assert (samples["queue_s"][told] == np.float32(0.001)).all()
    assert (samples["batch_size"][told] == 3).all()
    assert np.isnan(samples["queue_s"][~told]).all()
    assert samples["bytes_received"][told].tolist() == [len(TIMED)] * int(told.sum())


def test_intended_times_are_the_plan_s_from_the_start_of_each_phase(tmp_path):
    phases = [Phase("one", Constant(500.0), requests=5), Phase("two", Trace((0.001, 0.002)), requests=2)]
    with ScriptedServer({"/a": [OK]}) as server:
        reports, samples = send(tmp_path, server.port, phases, [payload("/a")])
    starts_ns = np.array([report.start_ns for report in reports])[samples["phase"]]
    offsets_ns = [0, 2_000_000, 4_000_000, 6_000_000, 8_000_000, 1_000_000, 2_000_000]
    assert (samples["intended_ns"] - starts_ns).tolist() == offsets_ns
    assert [report.name for report in reports] == ["one", "two"]
    first_ends = samples["done_ns"][samples["phase"] == 0].max()
    assert first_ends <= reports[0].end_ns < reports[1].start_ns


SCRIPTS = {
    "a length": [OK],
    "pieces": [OK[:9], OK[9:30], OK[30:]],
    "chunks": [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"2\r\nhi\r\n", b"0\r\n\r\n"],
    "an interim answer": [b"HTTP/1.1 100 Continue\r\n\r\n", OK],
    "connection: close": [status(200, "connection: close"), "close"],
    "the end of the connection": [b"HTTP/1.1 200 OK\r\n\r\nhi", "close"],
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_answers_framed_by(tmp_path, script):
    with ScriptedServer({"/a": script}) as server:
        (report,), samples = send(
            tmp_path, server.port, one_phase(20, 100.0), [payload("/a")], connections_max=1
        )
    assert report.ok == 20
    assert len(server.requests) == 20
    assert (samples["status"] == 200).all()
    assert server.connections == (20 if "close" in script else 1)


def test_only_2xx_is_a_good_answer_and_each_class_of_statuses_has_an_outcome_of_its_own():
    classes = {2: Outcome.OK, 3: Outcome.REDIRECT, 4: Outcome.CLIENT_ERROR}
    refusals = {429: Outcome.SHED, 503: Outcome.SHED}
    answer = Answer()
    for code in range(1000):
        answer.status = code
        expected = refusals.get(code) or classes.get(code // 100, Outcome.SERVER_ERROR)
        assert outcome_of(answer) is expected, code


@pytest.mark.parametrize(
    ("script", "outcome", "code"),
    [
        ([status(201)], Outcome.OK, 201),
        ([status(204)], Outcome.OK, 204),
        ([status(302)], Outcome.REDIRECT, 302),
        ([status(304)], Outcome.REDIRECT, 304),
        ([status(404)], Outcome.CLIENT_ERROR, 404),
        ([status(429)], Outcome.SHED, 429),
        ([status(500)], Outcome.SERVER_ERROR, 500),
        ([status(503)], Outcome.SHED, 503),
        (["close"], Outcome.RESET, 0),
        (["reset"], Outcome.RESET, 0),
        ([OK[:-1], "close"], Outcome.RESET, 200),
        ([b"220 smtp ready\r\n", "hang"], Outcome.MALFORMED, 0),
        ([OK + OK], Outcome.MALFORMED, 200),
    ],
)
def test_failures_are_kinds(tmp_path, script, outcome, code):
    with ScriptedServer({"/bad": script, "/good": [OK]}) as server:
        trace = Trace((0.0, 0.01, 0.02), ("/good", "/bad", "/good"))
        (report,), samples = send(
            tmp_path,
            server.port,
            [Phase("only", trace, requests=3)],
            [payload("/good"), payload("/bad")],
        )
    assert [Outcome(value) for value in samples["outcome"]] == [Outcome.OK, outcome, Outcome.OK]
    assert samples["status"].tolist() == [200, code, 200]
    assert report.outcomes[Outcome.OK] + report.failed == 3
    assert report.outcomes[outcome] == (3 if outcome is Outcome.OK else 1)


def test_a_request_without_answer_ends_as_timeout(tmp_path):
    with ScriptedServer({"/never": ["hang"]}) as server:
        (report,), samples = send(tmp_path, server.port, at_once(3), [payload("/never")], timeout_s=0.1)
    assert report.outcomes[Outcome.TIMEOUT] == 3
    assert (samples["first_byte_ns"] == 0).all()


def test_a_server_that_is_gone_refuses(tmp_path):
    plan = draw_plan(Scenario("s", "d", tuple(one_phase(5)), ()), [payload("/a")], 1)
    with ScriptedServer({"/a": [OK]}) as server:
        recorder = Recorder(tmp_path / "samples.bin")
        sender = Sender(plan, LoadSettings("127.0.0.1", server.port, connections_warm=1), recorder)
        sender.warm_up()
        server.accepted.acquire()
    report = sender.run_phase(0)
    sender.close()
    recorder.close()
    samples = read_samples(tmp_path / "samples.bin")
    assert report.outcomes[Outcome.REFUSED] == 5
    assert report.connections_lost_idle == 1
    assert (samples["sent_ns"] == 0).all()


def test_one_connection_serves_its_queue_in_order(tmp_path):
    payloads = [Payload(name, name.encode(), "text/plain", path="/a") for name in "ABCDEF"]
    trace = Trace((0.0,) * 6, tuple("ABCDEF"))
    with ScriptedServer({"/a": [OK]}) as server:
        (report,), samples = send(
            tmp_path, server.port, [Phase("only", trace, requests=6)], payloads, connections_max=1
        )
    assert b"".join(body for _, _, body in server.requests) == b"ABCDEF"
    assert report.waited_requests == 5
    assert (np.diff(samples["sent_ns"]) > 0).all()
    # The wait for the connection is latency, not the generator's lag.
    assert (samples["sent_ns"][1:] > samples["dispatched_ns"][1:]).all()


def test_connections_are_opened_only_when_none_is_idle(tmp_path):
    with ScriptedServer({"/a": [OK]}) as server:
        phases = [
            Phase("at once", Bursts(40, 1.0, 0.0, 0.0), requests=40),
            Phase("in a row", Constant(50.0), requests=20),
        ]
        reports, _ = send(tmp_path, server.port, phases, [payload("/a")], connections_max=16)
    assert (reports[0].ok, reports[1].ok) == (40, 20)
    assert server.connections <= 16


def test_a_closed_loop_sends_the_next_request_when_the_last_was_answered(tmp_path):
    with ScriptedServer({"/a": [OK]}) as server:
        phases = [Phase("probe", ClosedLoop(3), requests=200)]
        (report,), samples = send(tmp_path, server.port, phases, [payload("/a")])
    assert (report.ok, report.loop) == (200, Loop.CLOSED)
    assert server.connections == 3
    assert (samples["intended_ns"] == samples["dispatched_ns"]).all()
    for connection in (1, 2, 3):
        carried = samples[samples["connection"] == connection]
        assert (carried["sent_ns"][1:] >= carried["done_ns"][:-1]).all()


def test_a_closed_loop_goes_on_after_failures(tmp_path):
    with ScriptedServer({"/a": ["reset"]}) as server:
        phases = [Phase("probe", ClosedLoop(2), requests=20)]
        (report,), samples = send(tmp_path, server.port, phases, [payload("/a")])
    assert report.outcomes[Outcome.RESET] == len(samples) == 20


def test_a_connection_closed_while_idle_is_replaced_unnoticed(tmp_path):
    phases = [Phase(name, Constant(1.0), requests=1) for name in "abc"]
    plan = draw_plan(Scenario("s", "d", tuple(phases), ()), [payload("/a")], 1)
    recorder = Recorder(tmp_path / "samples.bin")
    with ScriptedServer({"/a": [OK, "close"]}) as server:
        sender = Sender(plan, LoadSettings("127.0.0.1", server.port, connections_warm=1), recorder)
        sender.warm_up()
        reports = []
        for index in range(3):
            reports.append(sender.run_phase(index))
            server.closed.acquire()
        sender.close()
    recorder.close()
    assert [report.ok for report in reports] == [1, 1, 1]
    assert [report.connections_lost_idle for report in reports][1:] == [1, 1]
    assert read_samples(tmp_path / "samples.bin")["connection"].tolist() == [1, 2, 3]


def test_a_request_whose_connection_is_dead_goes_to_another_if_nothing_was_sent(tmp_path, monkeypatch):
    """The server's end of the connection reaches us in the instant of sending: only the send itself can tell."""
    begin = Connection.begin
    deaths = iter([BrokenPipeError, ConnectionResetError])

    def dying(connection, request):
        if error := next(deaths, None):
            raise error
        begin(connection, request)

    monkeypatch.setattr(Connection, "begin", dying)
    with ScriptedServer({"/a": [OK]}) as server:
        (report,), samples = send(tmp_path, server.port, one_phase(1), [payload("/a")], connections_warm=1)
    assert (report.ok, report.stale_retries) == (1, 2)
    assert samples["stale_retries"].tolist() == [2]
    assert samples["connection"].tolist() == [3]


def test_a_large_body_is_sent_whole(tmp_path):
    body = bytes(range(256)) * 40_000
    with ScriptedServer({"/a": [OK]}) as server:
        (report,), _ = send(tmp_path, server.port, at_once(3), [payload("/a", body)])
    assert report.ok == 3
    assert [sent for _, _, sent in server.requests] == [body] * 3


def test_an_answer_before_the_whole_body_was_sent_counts(tmp_path):
    body = b"x" * 20_000_000
    with ScriptedServer({"/a": ["deaf", status(413, "connection: close"), "hang"]}) as server:
        (report,), samples = send(tmp_path, server.port, one_phase(2, 20.0), [payload("/a", body)])
    assert samples["status"].tolist() == [413, 413]
    assert report.outcomes[Outcome.CLIENT_ERROR] == 2


def test_a_server_that_cannot_be_reached_is_named(tmp_path):
    with ScriptedServer({}) as server:
        pass
    with pytest.raises(LoadError, match=f"cannot connect to 127.0.0.1:{server.port}: .*refused|connect"):
        send(tmp_path, server.port, one_phase(1), [payload("/a")])


def test_a_host_without_address_is_named(tmp_path):
    plan = draw_plan(Scenario("s", "d", tuple(one_phase(1)), ()), [payload("/a")], 1)
    with pytest.raises(LoadError, match=r"cannot prepare connections to no-such-host\.invalid:80"):
        Sender(plan, LoadSettings("no-such-host.invalid", 80), None)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl is not installed: no certificate for the TLS tests")
    directory = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [program, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=directory, check=True, capture_output=True,
    )  # fmt: skip
    return directory


@pytest.fixture
def tls(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    return context


@pytest.mark.parametrize("trust", [None, "ca_file", "insecure"])
def test_tls_carries_bodies_and_answers_of_any_size(tmp_path, certificate, tls, monkeypatch, trust):
    if trust is None:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
    trusts = {"ca_file": Trust(certificate / "cert.pem"), "insecure": Trust(insecure=True)}
    body = bytes(range(256)) * 4_000
    large = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n" + b"y" * 1_000_000
    with ScriptedServer({"/a": [large]}, tls) as server:
        (report,), samples = send(
            tmp_path,
            server.port,
            one_phase(20),
            [payload("/a", body)],
            tls=True,
            trust=trusts.get(trust, Trust()),
            connections_max=4,
        )
    assert report.ok == 20
    assert all(sent == body for _, _, sent in server.requests)
    assert samples["bytes_received"].tolist() == [len(large)] * 20


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path, tls):
    with (
        ScriptedServer({"/a": [OK]}, tls) as server,
        pytest.raises(LoadError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        send(tmp_path, server.port, one_phase(1), [payload("/a")], tls=True)


def test_answers_of_known_and_of_new_forms_are_recorded_alike(tmp_path):
    shed = b"HTTP/1.1 503 Busy\r\nretry-after: 2\r\ncontent-length: 4\r\n\r\nbusy"
    plain = b"HTTP/1.1 200 OK\r\ndate: now\r\ncontent-length: 0\r\n\r\n"
    scripts = {"/a": [TIMED], "/b": [shed], "/c": [OK[:9], OK[9:]], "/d": [plain]}
    phases = [Phase(name, Constant(500.0), requests=60) for name in ("learning", "known")]
    with ScriptedServer(scripts) as server:
        reports, samples = send(tmp_path, server.port, phases, [payload(path) for path in scripts])
    assert [report.outcomes[Outcome.OK] + report.outcomes[Outcome.SHED] for report in reports] == [60, 60]
    fields = ["status", "outcome", "queue_s", "batch_size", "retry_after_s", "answer", "bytes_received"]
    for chosen in range(len(scripts)):
        rows = samples[samples["payload"] == chosen][fields]
        assert {tuple(map(str, row)) for row in rows.tolist()} == {tuple(map(str, rows[0].tolist()))}
