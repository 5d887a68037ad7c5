"""Slow, endless and broken clients at a connection; time passes only where a test lets it."""

import asyncio
import contextlib
import json
import socket
import threading

import pytest
from edges import GET_LIVE, HOST, PIXELS, Connection, answered, chunked, pixels, post, two_edges
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving import PATIENCE_S

from tailgate.service.batching.service import Phase
from tailgate.service.http.limits import LINGER_S
from tailgate.service.http.reader import (
    MAX_FRAME_BYTES,
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    MAX_URL_BYTES,
    HeadReader,
)
from tailgate.service.http.state import State
from tailgate.service.settings import load_settings

OCTETS = b"application/octet-stream"
MAX_BODY_BYTES = 20_000
SETTINGS = load_settings({}, header_timeout_s=10, body_timeout_s=30, write_timeout_s=20, keep_alive_s=75)
LONG_S = 1000.0
HEAD_LIVE = GET_LIVE.replace(b"GET", b"HEAD")
GET_10 = b"GET /health/live HTTP/1.0\r\n\r\n"
GET_METRICS = b"GET /metrics HTTP/1.1\r\n" + HOST + b"\r\n"


@pytest.fixture(scope="module")
def _edges():
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        two_edges(monkeypatch, max_body_bytes=MAX_BODY_BYTES) as edges,
    ):
        yield edges


class Guarded:
    """The hot edge, and the time at it."""

    def __init__(self, edges):
        self.edges, self.guard = edges, edges.guard
        self.cuts_before, self.outcomes_before = self.cuts(), edges.outcomes()

    def connect(self):
        return Connection(self.edges.hot)

    def protocol(self, connection):
        return self.edges.protocol(connection)

    def pass_time(self, seconds):
        """Have the guard look at all connections now, and once more after so long."""

        async def look():
            now_s = self.edges.loop.time()
            self.guard._review(self.guard.connections(), now_s)
            self.guard._review(self.guard.connections(), now_s + seconds)

        self.edges.run(look())

    def until_in(self, connection, *states):
        """Wait until the server's side of a connection is in one of some states."""
        protocol = self.protocol(connection)
        self.edges.until(lambda: protocol.state in states)

    def cuts(self):
        return dict(self.guard.metrics.cuts)

    def cut(self):
        """Return how many connections were cut in this test, by reason."""
        before = self.cuts_before
        return {
            reason.value: count - before[reason]
            for reason, count in self.cuts().items()
            if count > before[reason]
        }

    def ended(self):
        """Return how many requests ended in this test, by outcome."""
        before = self.outcomes_before
        return {
            outcome: count - before.get(outcome, 0)
            for outcome, count in self.edges.outcomes().items()
            if count > before.get(outcome, 0)
        }


@pytest.fixture
def server(_edges):
    """The hot edge; after each test every request has ended once, and no connection is left."""
    edges, guard = _edges, _edges.guard
    guard.settings, guard.most, guard.closing = SETTINGS, SETTINGS.max_connections, False
    begun, ended = edges.begun, edges.ended()
    yield Guarded(edges)
    edges.model.opened.set()
    edges.rest()
    edges.until(lambda: not guard._open and not guard._lingering)
    assert edges.ended() - ended == edges.begun - begun


def error(body):
    return json.loads(body)["error"]


# Clients that are slow.


@pytest.mark.parametrize("first", [b"", PIXELS], ids=["first", "second"])
def test_a_head_that_does_not_come_in_time_is_answered_408(server, first):
    with server.connect() as connection:
        if first:
            connection.send(first)
            assert connection.answer()[0] == 200
        connection.send(PIXELS[:30])
        protocol = server.protocol(connection)
        server.edges.until(lambda: protocol.requests == 1 + bool(first))
        server.pass_time(SETTINGS.header_timeout_s + 1)
        status, headers, body = connection.answer()
        assert connection.is_closed()
    assert (status, headers[-1]) == (408, b"connection: close")
    assert "not there within 10 s (TAILGATE_HEADER_TIMEOUT_S)" in error(body)
    assert server.cut() == {"slow_head": 1}
    assert server.ended() == {"cancelled": 1} | ({"ok": 1} if first else {})


def test_a_client_that_drips_its_head_gains_no_time_by_it(server):
    with server.connect() as connection:
        connection.send(b"POST /predict HTTP/1.1\r\n")
        protocol = server.protocol(connection)
        server.edges.until(lambda: protocol.requests == 1)

        async def drip():
            now_s = server.edges.loop.time()
            server.guard._review(server.guard.connections(), now_s)
            for second in range(int(SETTINGS.header_timeout_s) + 2):
                if not protocol.transport.is_closing():
                    protocol.data_received(b"X-A: b\r\n")
                    server.guard._review(server.guard.connections(), now_s + second)

        server.edges.run(drip())
        assert connection.answer()[0] == 408
    assert server.cut() == {"slow_head": 1}


def test_a_connection_on_which_nothing_comes_is_closed_without_a_word(server):
    with server.connect() as connection:
        server.protocol(connection)
        server.pass_time(SETTINGS.header_timeout_s + 1)
        assert connection.is_closed()
    assert server.cut() == {"idle": 1}
    assert server.ended() == {}


@pytest.mark.parametrize(
    "request_",
    [PIXELS[:-1], chunked(pixels())[:-5], post(b"x" * 99, b"multipart/form-data; boundary=x")[:-1]],
)
def test_a_body_that_does_not_come_in_time_is_answered_408_and_counted_once(server, request_):
    with server.connect() as connection:
        connection.send(request_)
        server.edges.until(lambda: server.edges.service.in_flight.requests == 1)
        server.until_in(connection, State.BODY)
        server.pass_time(SETTINGS.body_timeout_s)
        server.pass_time(SETTINGS.body_timeout_s + 1)
        status, headers, body = connection.answer()
        assert connection.is_closed()
    assert (status, headers[-1]) == (408, b"connection: close")
    assert "not there within 30 s (TAILGATE_BODY_TIMEOUT_S)" in error(body)
    server.edges.rest()
    assert server.cut() == {"slow_body": 1}
    assert server.ended() == {"cancelled": 1}


def test_the_rest_of_a_refused_body_has_to_come_in_time_too(server):
    with server.connect() as connection:
        connection.send(post(bytes(MAX_BODY_BYTES + 1))[:-1])
        assert connection.answer()[0] == 413
        server.pass_time(SETTINGS.body_timeout_s + 1)
        assert connection.is_closed()
    assert server.cut() == {"slow_body": 1}
    assert server.ended() == {"bad_input": 1}


def test_an_idle_connection_is_closed_in_the_end(server):
    with server.connect() as connection:
        connection.send(PIXELS)
        assert connection.answer()[0] == 200
        server.pass_time(SETTINGS.keep_alive_s - 1)
        connection.send(PIXELS)
        assert connection.answer()[0] == 200
        server.pass_time(SETTINGS.keep_alive_s + 1)
        assert connection.is_closed()
    assert server.cut() == {"idle": 1}


def test_line_ends_between_requests_keep_no_connection_open(server):
    with server.connect() as connection:
        connection.send(PIXELS)
        assert connection.answer()[0] == 200
        protocol = server.protocol(connection)
        feed(server, connection, b"\r\n" * 10, 3)
        assert protocol.state is State.IDLE
        server.pass_time(SETTINGS.keep_alive_s + 1)
        assert connection.is_closed()
    assert server.cut() == {"idle": 1}


def test_a_client_that_waits_for_us_is_never_slow(server):
    with contextlib.ExitStack() as stack:
        held = stack.enter_context(server.edges.hold(server.edges.hot))
        queued = stack.enter_context(server.connect())
        queued.send(PIXELS)
        behind = stack.enter_context(server.connect())
        behind.send(PIXELS + GET_LIVE + PIXELS[:20])
        server.edges.waiting(2)
        server.pass_time(LONG_S)
        server.pass_time(2 * LONG_S)
        server.edges.model.opened.set()
        assert [held.answer()[0], queued.answer()[0]] == [200, 200]
        assert [answer[0] for answer in behind.answers(2)] == [200, 200]
        assert server.cut() == {}


def test_a_client_that_does_not_read_its_answers_is_cut_off(server):
    with server.connect() as connection:
        protocol = server.protocol(connection)
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        accepted = protocol.transport.get_extra_info("socket")
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        while protocol.transport.get_write_buffer_size() == 0:
            begun = protocol.requests
            connection.send(GET_METRICS)
            server.edges.until(
                lambda begun=begun: (
                    (protocol.requests > begun and answered(protocol)) or protocol._write_paused
                )
            )
        server.pass_time(SETTINGS.write_timeout_s)
        assert server.cut() == {}
        server.pass_time(SETTINGS.write_timeout_s + 1)
        server.edges.until(lambda: protocol not in server.guard._open)
    assert server.cut() == {"slow_reader": 1}


def test_many_connections_that_drip_do_not_keep_a_normal_client_out(server):
    server.guard.most = 100
    with contextlib.ExitStack() as stack:
        for number in range(500):
            slow = stack.enter_context(server.connect())
            with contextlib.suppress(OSError):
                slow.send(PIXELS[: 1 + number % 60])
        normal = stack.enter_context(server.connect())
        for _ in range(3):
            normal.send(PIXELS)
            assert normal.answer()[0] == 200
        assert len(server.guard._open) <= 100
    assert server.cut()["shed"] >= 400


def test_the_clock_that_looks_at_connections_runs(server, monkeypatch):
    monkeypatch.setattr("tailgate.service.http.limits.SWEEP_S", 0.01)
    server.guard.settings = load_settings({}, header_timeout_s=1e-6)
    with server.connect() as connection:
        assert connection.is_closed()
    assert server.cut() == {"idle": 1}


# As many connections as there may be.


def test_one_connection_too_many_is_refused_where_all_others_are_busy(server):
    server.guard.most = 1
    with server.edges.hold(server.edges.hot) as held, server.connect() as refused:
        status, headers, body = refused.answer()
        assert refused.is_closed()
        server.edges.model.opened.set()
        assert held.answer()[0] == 200
    assert (status, headers[-2:]) == (503, (b"retry-after: 1", b"connection: close"))
    assert "as many connections are open as may be" in error(body)
    assert server.cut() == {"refused": 1}


def test_a_client_that_had_sent_its_request_before_it_was_refused_reads_the_whole_refusal(server):
    server.guard.most = 1
    sent = threading.Event()
    with server.edges.hold(server.edges.hot) as held:
        server.edges.loop.call_soon_threadsafe(sent.wait, PATIENCE_S)  # nobody is let in meanwhile
        with server.connect() as refused:
            refused.send(PIXELS)
            sent.set()
            status, headers, body = refused.answer()
            with contextlib.suppress(ConnectionResetError):  # what nobody has read is lost
                assert refused.is_closed()
        server.edges.model.opened.set()
        assert held.answer()[0] == 200
    assert (status, headers[-1]) == (503, b"connection: close")
    assert "as many connections are open as may be" in error(body)
    assert server.cut() == {"refused": 1}
    assert server.ended() == {"ok": 1}


def test_an_idle_connection_makes_room_for_a_probe(server):
    server.guard.most = 1
    with server.connect() as idle, server.connect() as probe:
        idle_is_closed = idle.is_closed()
        probe.send(GET_LIVE)
        assert probe.answer()[0] == 200
        assert idle_is_closed
    assert server.cut() == {"shed": 1}


@pytest.mark.parametrize(
    "request_",
    [PIXELS, GET_LIVE, post(b"xy", b"text/plain"), chunked(pixels())],
    ids=["", "probe", "refused", "chunks"],
)
def test_a_connection_that_becomes_idle_after_others_were_refused_makes_room_at_once(server, request_):
    server.guard.most = 1
    with server.connect() as busy:
        busy.send(request_[:-1])
        if request_ is not GET_LIVE:
            server.until_in(busy, State.BODY, State.DROPPING)
            with server.connect() as refused_:
                assert refused_.answer()[0] == 503
        busy.send(request_[-1:])
        assert busy.answer()[0] in (200, 415)
        protocol = server.protocol(busy)
        server.edges.until(protocol.is_idle)
        with server.connect() as new:
            new.send(GET_LIVE)
            assert new.answer()[0] == 200
        assert busy.is_closed()
    assert server.cut()["shed"] == 1


@pytest.mark.parametrize(("path", "status"), [(b"live", 200), (b"ready", 200), (b"ready", 503)])
def test_a_probe_may_ask_with_head_and_gets_what_get_gets_without_the_body(server, monkeypatch, path, status):
    if status == 503:
        monkeypatch.setattr(server.edges.service, "phase", Phase.DRAINING)
    with server.connect() as connection:
        connection.send(GET_LIVE.replace(b"live", path))
        with_body = connection.answer()
        connection.send(HEAD_LIVE.replace(b"live", path))
        without = connection.answer(to_head=True)
        connection.send(GET_LIVE)
        assert connection.answer()[0] == 200
    assert without == (status, with_body[1], b"")
    assert with_body[0] == status
    assert server.ended() == {}


def test_what_health_does_not_take_is_told_with_all_that_it_takes(server):
    with server.connect() as connection:
        connection.send(post(b"", path=b"/health/live"))
        status, headers, _ = connection.answer()
    allowed = next(value for value in headers if value.startswith(b"allow: "))
    assert status == 405
    assert set(allowed.removeprefix(b"allow: ").split(b", ")) == {b"GET", b"HEAD"}


# Requests that wait behind another.


def turns(server, count=5):
    """Let the server's loop turn a few times."""

    async def turn():
        for _ in range(count):
            await asyncio.sleep(0)

    server.edges.run(turn())


def test_nothing_is_read_while_a_request_waits_behind_another(server):
    with server.edges.hold(server.edges.hot) as held:
        protocol = server.protocol(held)
        feed(server, held, GET_LIVE, 1 << 20)
        turns(server)
        assert protocol._read_paused
        held.send(GET_LIVE * 3)
        server.edges.model.opened.set()
        assert [answer[0] for answer in held.answers(5)] == [200] * 5
        turns(server)
        assert not protocol._read_paused
    assert server.cut() == {}


def test_any_number_of_requests_in_one_read_is_answered_and_the_connection_goes_on(server):
    with server.edges.hold(server.edges.hot) as held:
        feed(server, held, (PIXELS + GET_LIVE * 50) * 10, 1 << 20)
        server.edges.model.opened.set()
        answers = held.answers(1 + 51 * 10)
        held.send(PIXELS)
        assert held.answer()[0] == 200
    assert {answer[0] for answer in answers} == {200}
    assert server.ended() == {"ok": 12}


def test_a_body_behind_another_request_is_not_read_before_its_turn(server):
    endless = chunked(*[bytes(1000)] * (10 * MAX_BODY_BYTES // 1000))
    with server.edges.hold(server.edges.hot) as held:
        held.send(endless + GET_LIVE)
        turns(server)
        assert server.edges.service.in_flight.bytes == len(pixels())
        server.edges.model.opened.set()
        assert [answer[0] for answer in held.answers(3)] == [200, 413, 200]


@pytest.mark.parametrize("first", [PIXELS, GET_LIVE], ids=["the model", "a probe"])
def test_what_comes_behind_a_wish_to_close_is_not_taken(server, first):
    closing = first.replace(HOST, HOST + b"Connection: close\r\n")
    with server.connect() as connection:
        feed(server, connection, closing + PIXELS + b"nonsense\r\n\r\n", 1 << 20)
        status, headers, _ = connection.answer()
        assert connection.is_closed()
    assert (status, headers[-1]) == (200, b"connection: close")
    assert server.cut() == {}
    assert server.ended() == ({"ok": 1} if first is PIXELS else {})


# Heads.

LINE = b"POST /predict HTTP/1.1\r\n" + HOST


def with_headers(*headers):
    return PIXELS.replace(HOST, HOST + b"".join(header + b"\r\n" for header in headers))


LARGE_HEADS = {
    "a value": (with_headers(b"X-A: " + bytes([65]) * MAX_HEAD_BYTES), 431),
    "a name": (with_headers(bytes([65]) * MAX_HEAD_BYTES + b": x"), 431),
    "headers together": (with_headers(*[b"X-%d: " % n + b"a" * 1000 for n in range(40)]), 431),
    "the number of headers": (with_headers(*[b"X-A:"] * MAX_HEADERS), 431),
    "a URL": (PIXELS.replace(b"/predict", b"/predict?" + b"a" * MAX_URL_BYTES), 414),
    "a URL beyond the head": (PIXELS.replace(b"/predict", b"/predict?" + b"a" * MAX_HEAD_BYTES), 414),
}


@pytest.mark.parametrize("piece_bytes", [1 << 20, 4096, 1000], ids=["at once", "pieces", "small pieces"])
@pytest.mark.parametrize(("request_", "status"), LARGE_HEADS.values(), ids=LARGE_HEADS)
def test_a_head_beyond_what_any_client_needs_is_refused(server, request_, status, piece_bytes):
    with server.connect() as connection:
        feed(server, connection, request_, piece_bytes)
        answer = connection.answer()
    assert (answer[0], answer[1][-1]) == (status, b"connection: close")
    assert server.cut() == {"malformed": 1}
    assert server.ended() == {"bad_input": 1}


def feed(server, connection, data, piece_bytes):
    """Give the server's side bytes in pieces, until it closes."""
    protocol = server.protocol(connection)

    async def pieces():
        for start in range(0, len(data), piece_bytes):
            if not protocol.transport.is_closing():
                protocol.data_received(data[start : start + piece_bytes])

    server.edges.run(pieces())


@pytest.mark.parametrize("piece_bytes", [1 << 20, 1000, 1], ids=["at once", "pieces", "bytes"])
@pytest.mark.parametrize(
    "request_",
    [
        with_headers(b"X-A: " + b"a" * (MAX_HEAD_BYTES - 1000)),
        with_headers(*[b"X-A:"] * (MAX_HEADERS - 5)),
        PIXELS.replace(b"/predict", b"/predict?" + b"a" * (MAX_URL_BYTES - 100)),
    ],
    ids=["value", "number", "URL"],
)
def test_a_large_head_within_the_limits_is_served_in_any_pieces(server, request_, piece_bytes):
    with server.connect() as connection:
        for _ in range(2):
            feed(server, connection, request_, piece_bytes)
            assert connection.answer()[0] == 200
    assert server.cut() == {}


TRAILERS = chunked(pixels())[:-2]


@pytest.mark.parametrize("endless", [b"aa:bb\r\n", b"a" * 50 + b":b\r\n"], ids=["short", "long"])
def test_a_trailer_without_an_end_is_refused_and_kept_nowhere(server, endless):
    with server.connect() as connection:
        feed(server, connection, TRAILERS + endless * (2 * MAX_FRAME_BYTES // len(endless)), 1000)
        status, headers, _ = connection.answer()
    assert (status, headers[-1]) == (431, b"connection: close")
    assert server.cut() == {"malformed": 1}


def test_a_chunk_extension_without_an_end_is_refused(server):
    with server.connect() as connection:
        feed(server, connection, chunked(b"x")[:-11] + b"1;" + b"a" * 10 * MAX_FRAME_BYTES, 1000)
        assert connection.answer()[0] == 431
    assert server.cut() == {"malformed": 1}


def test_the_trailer_of_a_request_that_has_been_refused_is_bounded_too(server):
    with server.connect() as connection:
        refused = chunked(pixels(), headers=[b"Content-Encoding: gzip"])[:-2]
        feed(server, connection, refused, 1 << 20)
        assert connection.answer()[0] == 415
        feed(server, connection, b"aa:bb\r\n" * 10_000, 1000)
        assert connection.is_closed()
    assert server.cut() == {"malformed": 1}
    assert server.ended() == {"bad_input": 1}


@pytest.mark.parametrize("piece_bytes", [1 << 20, 7], ids=["at once", "pieces"])
@pytest.mark.parametrize(
    "header", [b"X-Request-Timeout-Ms: soon", b"Content-Type: text/plain", b"Expect: 100-continue"]
)
def test_what_a_trailer_says_counts_for_nothing(server, header, piece_bytes):
    with server.connect() as connection:
        feed(server, connection, chunked(pixels(), trailer=header + b"\r\n") + PIXELS, piece_bytes)
        assert [answer[0] for answer in connection.answers(2)] == [200, 200]
    assert server.cut() == {}


def test_a_head_without_an_end_holds_no_more_memory_than_a_piece_beyond_the_limit(server):
    with server.connect() as connection:
        feed(server, connection, LINE + b"X-A: " + b"a" * 10_000_000, 10_000)
        assert connection.answer()[0] == 431
    assert server.cut() == {"malformed": 1}


@pytest.mark.parametrize(
    ("garbage", "reason"),
    [
        (b"nonsense\r\n\r\n", "not HTTP/1.1"),
        (b"\x16\x03\x01\x02\x00\x01\x00", "not HTTP/1.1"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "not HTTP/1.1"),
        (b"CONNECT x:443 HTTP/1.1\r\n" + HOST + b"\r\n", "CONNECT is not served"),
        (PIXELS.replace(HOST, b""), "expected one Host header, got 0"),
        (GET_LIVE.replace(HOST, b""), "expected one Host header, got 0"),
        (PIXELS.replace(HOST, HOST + HOST), "expected one Host header, got 2"),
        (GET_LIVE.replace(HOST, b"host: y\r\n" + HOST), "expected one Host header, got 2"),
        (GET_10.replace(b"\r\n\r\n", b"\r\n" + HOST + HOST + b"\r\n"), "expected one Host header, got 2"),
    ],
    ids=[
        "words",
        "TLS",
        "HTTP/2",
        "a tunnel",
        "no host",
        "a probe without a host",
        "two hosts",
        "a probe of two hosts",
        "HTTP/1.0 of two hosts",
    ],
)
def test_what_is_no_request_is_refused_in_the_services_own_form_and_counted(server, garbage, reason):
    with server.connect() as connection:
        connection.send(garbage)
        status, headers, body = connection.answer()
        assert connection.is_closed()
    assert (status, headers[0], headers[-1]) == (400, b"date: today", b"connection: close")
    assert reason in error(body)
    assert server.cut() == {"malformed": 1}
    assert server.ended() == {"bad_input": 1}


@pytest.mark.parametrize(
    "request_",
    [GET_10, post(pixels(), version=b"1.0").replace(HOST, b""), GET_LIVE.replace(b" x", b"")],
    ids=["a probe by HTTP/1.0", "the model by HTTP/1.0", "an empty host"],
)
def test_an_old_client_need_not_name_a_host_and_a_host_may_be_empty(server, request_):
    with server.connect() as connection:
        connection.send(request_)
        assert connection.answer()[0] == 200
    assert server.cut() == {}


def test_a_body_that_is_no_http_ends_its_request_once(server):
    with server.connect() as connection:
        connection.send(chunked(pixels())[:-10] + b"nonsense")
        assert connection.answer()[0] == 400
    server.edges.rest()
    assert server.ended() == {"bad_input": 1}


def test_a_refused_request_whose_rest_is_no_http_is_answered_and_counted_once(server):
    with server.connect() as connection:
        connection.send(chunked(pixels(), headers=[b"Content-Encoding: gzip"])[:-10])
        assert connection.answer()[0] == 415
        connection.send(b"nonsense nonsense")
        assert connection.is_closed()
    assert server.cut() == {"malformed": 1}
    assert server.ended() == {"bad_input": 1}


REFUSED_HEADS = {
    "words": (b"nonsense\r\n\r\n", 400),
    "two hosts": (PIXELS.replace(HOST, HOST + HOST), 400),
    "a head too large": LARGE_HEADS["a value"],
    "a URL too long": LARGE_HEADS["a URL"],
    "a tunnel": (b"CONNECT x:443 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "a broken body": (chunked(pixels()).replace(b"c0\r\n", b"zz\r\n"), 400),
    "a broken end of a body": (chunked(pixels())[:-5] + b"nonsense", 400),
}


@pytest.mark.parametrize(
    "before", [PIXELS, GET_LIVE, PIXELS + GET_LIVE + PIXELS], ids=["one", "a probe", "3"]
)
@pytest.mark.parametrize(("garbage", "status"), REFUSED_HEADS.values(), ids=REFUSED_HEADS)
def test_a_refusal_waits_for_the_answers_to_the_requests_before_it(server, garbage, status, before):
    models, count = before.count(b"/predict"), before.count(b"HTTP/1.1")
    with server.edges.hold(server.edges.hot) as held:
        feed(server, held, before + garbage + PIXELS, 1 << 20)
        turns(server)
        server.edges.model.opened.set()
        answers = held.answers(1 + count + 1)
        assert held.is_closed()
    assert [answer[0] for answer in answers] == [200] * (1 + count) + [status]
    assert answers[-1][1][-1] == b"connection: close"
    assert server.cut() == {"malformed": 1}
    assert server.ended() == {"ok": 1 + models, "bad_input": 1}


@pytest.mark.parametrize("garbage", [b"nonsense\r\n\r\n", chunked(pixels())[:-5] + b"nonsense"])
def test_a_refusal_whose_client_leaves_before_its_turn_is_counted_once(server, garbage):
    with server.edges.hold(server.edges.hot) as held:
        feed(server, held, garbage, 1 << 20)
        turns(server)
        held.close(reset=True)
        server.edges.model.opened.set()
        server.edges.rest()
    assert server.cut() == {"malformed": 1}
    assert server.ended()["bad_input"] == 1
    assert sum(server.ended().values()) == 2


@pytest.mark.parametrize("behind", [b"", GET_LIVE, b"nonsense\r\n\r\n"], ids=["alone", "another", "garbage"])
def test_a_page_that_is_not_whole_in_the_drain_time_is_answered_with_a_refusal_alone(server, behind):
    begun, site = asyncio.Event(), None

    async def half(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        begun.set()
        await receive()
        await receive()

    with server.connect() as connection:
        protocol = server.protocol(connection)
        site = protocol._site

        async def give_up():
            app, site._app = site._app, half
            protocol.data_received(GET_LIVE + behind)
            await begun.wait()
            server.guard.give_up()
            site._app = app

        server.edges.run(give_up())
        answer = connection._file.read()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert server.cut()["drain"] == 1


def test_the_url_of_every_request_is_measured(server):
    with server.connect() as connection:
        connection.send(PIXELS)
        assert connection.answer()[0] == 200
        connection.send(LARGE_HEADS["a URL"][0])
        assert connection.answer()[0] == 414
    assert server.cut() == {"malformed": 1}


@pytest.mark.parametrize("target", [b"http://x", b"http://x:1?a=b", b"http://x/"])
@pytest.mark.parametrize(
    "headers", [(), (b"Connection: Upgrade\r\n", b"Upgrade: h2c\r\n")], ids=["", "upgrade"]
)
def test_a_target_without_a_path_is_the_root(server, target, headers):
    with server.connect() as connection:
        connection.send(b"".join((b"GET %b HTTP/1.1\r\n" % target, HOST, *headers, b"\r\n")))
        status, _, body = connection.answer()
    assert (status, b"moody" in body) == (200, True)


def test_a_fault_of_ours_in_the_connection_is_a_500_that_tells_nothing(server, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("/secret/path")

    monkeypatch.setattr(HeadReader, "_require_small", broken)
    with server.connect() as connection:
        connection.send(PIXELS)
        status, _, body = connection.answer()
    assert (status, body) == (500, b'{"error":"the service failed on this request"}')
    assert server.ended() == {"error": 1}


# Wishes for another protocol.

UPGRADES = {
    "HTTP/2": [b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"],
    "a socket": [b"Connection: keep-alive, Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"],
    "TLS": [b"Upgrade: TLS/1.2", b"Connection: upgrade"],
}


@pytest.mark.parametrize("piece_bytes", [1 << 20, 7, 1], ids=["at once", "pieces", "bytes"])
@pytest.mark.parametrize("headers", UPGRADES.values(), ids=UPGRADES)
@pytest.mark.parametrize("kind", ["announced", "chunked"])
def test_a_wish_for_another_protocol_is_ignored_and_its_request_answered(server, headers, kind, piece_bytes):
    announced = kind == "announced"
    request_ = post(pixels(), OCTETS, *headers) if announced else chunked(pixels(), headers=headers)
    with server.connect() as connection:
        feed(server, connection, request_ + GET_LIVE + request_ + PIXELS, piece_bytes)
        assert [answer[0] for answer in connection.answers(4)] == [200] * 4
    assert server.cut() == {}


@pytest.mark.parametrize("request_", [GET_LIVE, post(b"x", b"text/plain")], ids=["a probe", "refused"])
def test_any_number_of_wishes_in_one_read_is_ignored(server, request_):
    wish = request_.replace(HOST, HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n")
    with server.connect() as connection:
        feed(server, connection, wish * 1000, 1 << 20)
        status = connection.answer()[0]
    assert status == (200 if request_ is GET_LIVE else 415)
    assert set(server.ended()) <= {"bad_input"}
    assert server.cut() == {}


def test_what_is_wrong_with_a_request_is_told_although_it_wishes_for_another_protocol(server):
    with server.connect() as connection:
        connection.send(with_headers(b"Connection: Upgrade", b"Upgrade: h2c") * 2 + b"nonsense\r\n\r\n")
        assert [answer[0] for answer in connection.answers(3)] == [200, 200, 400]
    assert server.ended() == {"ok": 2, "bad_input": 1}


def test_a_wish_to_close_is_kept_beside_one_for_another_protocol(server):
    with server.connect() as connection:
        connection.send(post(pixels(), OCTETS, b"Connection: close, Upgrade", b"Upgrade: h2c"))
        status, headers, _ = connection.answer()
        assert (status, headers[-1]) == (200, b"connection: close")
        assert connection.is_closed()


# Clients that are still sending when they are refused.


def refused(server, connection):
    """Have a connection refused whose client does not hang up; return the server's side of it."""
    protocol = server.protocol(connection)
    connection.send(LARGE_HEADS["a value"][0] + bytes(1_000_000))
    assert connection.answer()[0] == 431
    assert connection.is_closed()
    assert not protocol.transport.is_closing()
    return protocol


def test_a_client_that_is_refused_may_say_the_rest_and_hangs_up_itself(server):
    with server.connect() as connection:
        protocol = refused(server, connection)
        connection.send(bytes(1_000_000), PIXELS)
        server.edges.until(lambda: protocol._dropped > 1_000_000)
    server.edges.until(lambda: not server.guard._open)
    assert server.cut() == {"malformed": 1}
    assert server.ended() == {"bad_input": 1}


@pytest.mark.parametrize("reason", ["a head too large", "a slow body"])
def test_a_client_that_hangs_up_behind_a_refusal_is_left_at_once(server, monkeypatch, reason):
    monkeypatch.setattr("tailgate.service.http.connection.LINGER_S", LONG_S)
    monkeypatch.setattr("tailgate.service.http.half_closed.ASK_AFTER_S", 0)
    with server.connect() as connection:
        if reason == "a slow body":
            connection.send(PIXELS[:-1])
            server.until_in(connection, State.BODY)
            server.pass_time(SETTINGS.body_timeout_s + 1)
            assert connection.answer()[0] == 408
        else:
            refused(server, connection)
        connection.socket.shutdown(socket.SHUT_WR)
        server.edges.until(lambda: not server.guard._open)


def test_a_client_that_does_not_hang_up_is_left_after_a_moment(server):
    with server.connect() as connection:
        refused(server, connection)
        server.pass_time(LINGER_S)
        assert len(server.guard._open) == 1
        server.pass_time(LINGER_S + 1)
        server.edges.until(lambda: not server.guard._open)
    assert server.cut() == {"malformed": 1}


def test_a_client_that_does_not_stop_sending_is_left_after_so_many_bytes(server, monkeypatch):
    monkeypatch.setattr("tailgate.service.http.connection.LINGER_BYTES", 2_000_000)
    with server.connect() as connection:
        refused(server, connection)
        with pytest.raises(OSError, match=r"(reset|pipe)"):
            connection.send(*[bytes(1_000_000)] * 100)
    assert server.cut() == {"malformed": 1}


def test_a_stop_of_the_server_waits_for_no_client_that_has_been_refused(server):
    with server.connect() as connection:
        protocol = refused(server, connection)
        server.edges.loop.call_soon_threadsafe(protocol.shut_down)
        server.edges.until(lambda: not server.guard._open)


def test_a_client_that_lingers_makes_room_for_a_new_one(server):
    server.guard.most = 1
    with server.connect() as connection:
        refused(server, connection)
        with server.connect() as new:
            new.send(GET_LIVE)
            assert new.answer()[0] == 200
    assert server.cut() == {"malformed": 1, "shed": 1}


def test_where_many_that_were_not_let_in_linger_one_more_is_closed_at_once(server, monkeypatch):
    monkeypatch.setattr("tailgate.service.http.limits.MAX_LINGERING", 0)
    server.guard.most = 1
    with server.edges.hold(server.edges.hot) as held, server.connect() as new:
        assert new.answer()[0] == 503
        server.edges.until(lambda: len(server.guard.connections()) == 1)
        server.edges.model.opened.set()
        assert held.answer()[0] == 200
    assert server.cut() == {"refused": 1}


class Tls:
    """A transport that cannot be closed by halves, as one of TLS."""

    def __init__(self, transport):
        self._transport = transport

    def __getattr__(self, name):
        return getattr(self._transport, name)

    def can_write_eof(self):
        return False

    def write_eof(self):
        raise NotImplementedError


def test_a_client_over_tls_is_told_to_hang_up_by_the_answer_alone(server):
    with server.connect() as connection:
        protocol = server.protocol(connection)
        protocol.transport = Tls(protocol.transport)
        connection.send(b"nonsense\r\n\r\n")
        status, headers, _ = connection.answer()
        assert (status, headers[-1]) == (400, b"connection: close")
        assert not protocol.transport.is_closing()
        server.pass_time(LINGER_S + 1)
        assert connection.is_closed()


@pytest.mark.parametrize("request_", [PIXELS, GET_LIVE, b"nonsense\r\n\r\n"])
def test_nothing_is_answered_after_a_refusal(server, request_):
    """Neither a known head nor one that is parsed, and nothing is written to a closed half."""
    with server.connect() as connection:
        feed(server, connection, PIXELS, 1 << 20)
        assert connection.answer()[0] == 200
        feed(server, connection, b"nonsense\r\n\r\n", 1 << 20)
        assert connection.answer()[0] == 400
        feed(server, connection, request_, 1 << 20)
        assert connection.is_closed()
    assert server.ended() == {"ok": 1, "bad_input": 1}


# Anything at all.

FRAGMENTS = [
    PIXELS,
    GET_LIVE,
    PIXELS[:100],
    chunked(pixels()),
    chunked(pixels())[:-3],
    post(bytes(MAX_BODY_BYTES + 1)),
    *(post(pixels(), OCTETS, *headers) for headers in UPGRADES.values()),
    *(request_ for request_, _ in LARGE_HEADS.values()),
    b"HEAD / HTTP/1.1\r\n" + HOST + b"\r\n",
    b"CONNECT x:1 HTTP/1.1\r\n\r\n",
    b"\r\n",
    b"POST /predict HTTP/1.0\r\nContent-Length: 5\r\n\r\n",
]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=50)), max_size=6),
    st.integers(20, 50_000),
    st.booleans(),
)
def test_whatever_comes_each_request_ends_once_and_no_fault_is_ours(server, fragments, piece_bytes, in_time):
    """The fixture holds begun against ended requests; here nothing may be answered or logged as a fault."""
    with server.connect() as connection:
        feed(server, connection, b"".join(fragments), piece_bytes)
        if not in_time:
            server.pass_time(LONG_S)
    server.edges.until(lambda: not server.guard._open)
    server.edges.rest()
    assert "error" not in server.ended()


# Clients that wait to be asked for a body.

EXPECT = b"Expect: 100-continue"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (post(bytes(MAX_BODY_BYTES + 1), OCTETS, EXPECT), 413),
        (post(pixels(), b"text/plain", EXPECT), 415),
        (post(pixels(), OCTETS, EXPECT, path=b"/nowhere"), 404),
    ],
)
def test_an_answer_to_a_client_that_was_not_asked_for_its_body_ends_the_connection(server, request_, status):
    """It need not send the body any more, and what it sends would be taken for it."""
    with server.connect() as connection:
        connection.send(request_.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
        answer = connection.answer()
        assert connection.is_closed()
    assert (answer[0], answer[1][-1]) == (status, b"connection: close")


def test_a_client_that_does_not_wait_to_be_asked_keeps_its_connection(server):
    with server.connect() as connection:
        for _ in range(2):
            connection.send(post(pixels(), b"text/plain", EXPECT))
            status, headers, _ = connection.answer()
            assert (status, b"connection: close" in headers) == (415, False)


def test_a_client_of_http_1_0_is_never_asked(server):
    with server.connect() as connection:
        connection.send(post(pixels(), OCTETS, EXPECT, version=b"1.0"))
        assert connection.answer()[0] == 200


# The end.


def test_while_the_server_stops_each_connection_ends_with_its_next_answer(server):
    with server.connect() as connection, server.edges.hold(server.edges.hot) as held:
        connection.send(GET_LIVE)
        assert connection.answer()[0] == 200
        server.guard.closing = True
        connection.send(GET_LIVE)
        status, headers, _ = connection.answer()
        assert (status, headers[-1]) == (200, b"connection: close")
        assert connection.is_closed()
        server.edges.model.opened.set()
        assert held.answer()[0] == 200


def test_a_request_that_has_not_ended_in_the_drain_time_is_told_so_and_counted_once(server):
    with server.edges.hold(server.edges.hot) as held, server.connect() as reading:
        reading.send(PIXELS[:-1])
        server.edges.until(lambda: server.edges.service.in_flight.requests == 2)

        async def give_up():
            server.guard.give_up()

        server.edges.run(give_up())
        for connection in (held, reading):
            status, headers, body = connection.answer()
            assert (status, headers[-1]) == (503, b"connection: close")
            assert "could not end this request in time" in error(body)
            assert connection.is_closed()
        server.edges.until(lambda: server.edges.service.in_flight.requests == 0)
    assert server.cut() == {"drain": 2}
    assert server.ended() == {"unavailable": 2}
