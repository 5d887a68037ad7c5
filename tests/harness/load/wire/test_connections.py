"""Servers that stay with a connection until it is closed: how many connections they answer at a time."""

import http.client
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest
from scripted_server import OK, ScriptedServer, target
from sent_phases import at_once as all_at_once
from sent_phases import payload, send

from tailgate.harness.load import LoadSettings
from tailgate.harness.load.reach import MOST, answered_at_once, keeps_connections
from tailgate.harness.load.records.samples import Outcome
from tailgate.harness.observe.slot import measure_slot
from tailgate.harness.observe.slot_record import Slot
from tailgate.harness.scenario.arrivals import Constant
from tailgate.harness.scenario.plan import draw_plan
from tailgate.harness.scenario.scenario import Phase, Scenario


class Simulated:
    """A server that answers on the first so many open connections, and makes connections as http.client has them."""

    def __init__(self, workers, late=()):
        self.workers = workers
        self.late = list(late)  # by answer that is asked for, whether it is late for some other reason
        self.open = []

    def connect(self):
        return SimulatedConnection(self)


class SimulatedConnection:
    def __init__(self, server):
        self.server, self.sock, self.timeout = server, None, None

    def putrequest(self, _method, _path, **_):
        pass

    def endheaders(self):
        self.sock = SimpleNamespace(settimeout=lambda _: None)
        self.server.open.append(self)

    def getresponse(self):
        late = self.server.late.pop(0) if self.server.late else False
        if late or self.server.open.index(self) >= self.server.workers:
            raise TimeoutError
        return SimpleNamespace(read=lambda: b"")

    def close(self):
        self.sock = None
        if self in self.server.open:
            self.server.open.remove(self)


@pytest.mark.parametrize("workers", range(1, 12))
def test_the_bound_is_the_number_of_connections_that_are_answered_at_a_time(workers):
    server = Simulated(workers)
    assert answered_at_once(server.connect, "/") == (workers if workers < MOST else None)
    assert server.open == []


@pytest.mark.parametrize(
    "late",
    [
        [True],  # the first of all
        [False, True, True],  # late, and still not there when all others are closed
        [False, True, False],  # once late, and not again
        [False, True, False, False, False, True],  # late at another number of connections
    ],
)
def test_what_is_late_for_other_reasons_is_no_bound(late):
    assert answered_at_once(Simulated(100, late).connect, "/") is None


@pytest.fixture
def one_at_a_time():
    """Run http.server as its documentation has it: one thread, HTTP/1.1; give its port and the paths that it was asked."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            asked.append(self.path)
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = b"tailgate_requests_total %d\n" % asked.count("/a")
            self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

        def do_POST(self):
            self.do_GET()

        def log_message(self, *_):
            pass

    class Server(HTTPServer):
        request_queue_size = 64

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield SimpleNamespace(port=server.server_address[1], asked=asked)
        server.shutdown()
        thread.join()


def test_a_server_of_one_thread_answers_one_connection_at_a_time(one_at_a_time):
    def connect():
        return http.client.HTTPConnection("127.0.0.1", one_at_a_time.port)

    assert keeps_connections(connect, "/")
    assert answered_at_once(connect, "/", patience_s=0.05) == 1


@pytest.mark.parametrize(
    ("script", "kept"),
    [([OK], True), ([OK, "close"], True), ([b"HTTP/1.0 200 OK\r\n\r\nhi", "close"], False)],
)
def test_a_server_that_closes_after_an_answer_says_so_in_it(script, kept):
    with ScriptedServer({"/": script}) as server:
        assert keeps_connections(lambda: http.client.HTTPConnection("127.0.0.1", server.port), "/") == kept


def test_where_nobody_answers_nothing_is_known():
    with ScriptedServer({}) as server:
        pass

    def connect():
        return http.client.HTTPConnection("127.0.0.1", server.port)

    assert keeps_connections(connect, "/")
    assert answered_at_once(connect, "/") is None


def test_requests_to_a_server_of_one_thread_go_over_one_connection_and_all_are_answered(
    tmp_path, one_at_a_time
):
    phases = [*all_at_once(40), Phase("in a row", Constant(500.0), requests=20)]
    reports, samples = send(
        tmp_path, one_at_a_time.port, phases, [payload("/a")], connections_warm=8, at_once=1
    )
    assert [report.ok for report in reports] == [40, 20]
    assert [report.at_once for report in reports] == [1, 1]
    assert set(samples["outcome"]) == {Outcome.OK}
    assert set(samples["connection"][samples["phase"] == 0]) == {1}


def test_between_phases_its_metrics_can_be_read(tmp_path, one_at_a_time):
    phases = tuple(Phase(name, Constant(500.0), requests=20) for name in ("one", "two"))
    made = Scenario("s", "for tests", phases, ())
    record = measure_slot(
        Slot(made, "head", block=0, start=1, seed=1),
        draw_plan(made, [payload("/a")], 1),
        target(one_at_a_time),
        LoadSettings("127.0.0.1", one_at_a_time.port, at_once=1),
        tmp_path,
    )
    assert record.faults == ()
    assert [phase.server.total("tailgate_requests_total") for phase in record.phases] == [20, 20]


def test_where_a_server_keeps_no_connection_none_is_opened_ahead(tmp_path):
    with ScriptedServer({"/a": [b"HTTP/1.0 200 OK\r\n\r\nhi", "close"]}) as server:
        (report,), _ = send(
            tmp_path,
            server.port,
            [Phase("only", Constant(500.0), requests=20)],
            [payload("/a")],
            connections_warm=0,
        )
    assert (report.ok, server.connections) == (20, 20)
