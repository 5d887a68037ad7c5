"""The proxy of a drill: bytes pass unchanged, answers are held once, and as long as the case says."""

import os
import socket
import threading
from types import SimpleNamespace

import pytest

from tailgate.harness.drill import proxy
from tailgate.harness.drill.case import CASES
from tailgate.harness.drill.proxy import Holder, connect, processor_seconds, relay
from tailgate.harness.testing import FakeClock

PATIENCE_S = 30


@pytest.fixture
def between():
    """Return the client's end, the target's end, and the latencies that the relay between them held answers for."""
    client, ours = socket.socketpair()
    theirs, target = socket.socketpair()
    held = []
    thread = threading.Thread(target=relay, args=(ours, theirs, held.append))
    thread.start()
    for one in (client, target):
        one.settimeout(PATIENCE_S)
    yield client, target, held
    for one in (client, target):
        one.close()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    for one in (ours, theirs):
        one.close()


def test_bytes_pass_both_ways_and_an_answer_in_pieces_is_held_once(between):
    client, target, held = between
    for _ in range(2):
        client.sendall(b"POST / HTTP/1.1\r\n\r\n")
        assert target.recv(100) == b"POST / HTTP/1.1\r\n\r\n"
        for piece in (b"HTTP/1.1 200 OK\r\n", b"\r\n\x00\xff"):
            target.sendall(piece)
            assert client.recv(100) == piece
    assert len(held) == 2
    assert all(0 <= latency_s < PATIENCE_S for latency_s in held)


def test_what_nobody_has_asked_for_is_not_held(between):
    client, target, held = between
    target.sendall(b"early")
    assert client.recv(100) == b"early"
    assert held == []


def test_the_relay_ends_with_either_side():
    client, ours = socket.socketpair()
    theirs, target = socket.socketpair()
    with client, ours, theirs, target:
        target.shutdown(socket.SHUT_WR)
        relay(ours, theirs, lambda _: None)


@pytest.fixture
def clock(monkeypatch):
    """A clock of the proxy that sleeping moves, and work as well."""
    clock, worked = FakeClock(1.0), FakeClock()

    def thread_time():
        worked.advance(0.001)
        clock.advance(0.001)
        return worked.now_s

    times = SimpleNamespace(perf_counter=clock, monotonic=clock, sleep=clock.sleep, thread_time=thread_time)
    monkeypatch.setattr(proxy, "time", times)
    clock.worked = worked
    return clock


def test_base_holds_nothing_and_works_for_nothing(clock):
    spent = iter([0.0, 5.0, 9.0])
    holder = Holder(CASES["unchanged"], lambda: next(spent))
    holder.hold(0.1)
    assert (clock.sleeps_s, clock.worked.now_s) == ([], 0)


def test_all_work_is_a_share_of_the_latency_and_of_the_targets_processor_time(clock):
    spent_s = [10.0]
    holder = Holder(CASES["all-5"], lambda: spent_s[0])
    spent_s[0] += 0.2  # of which 5 % are 10 ms
    holder.hold(0.4)
    assert 0.010 <= clock.worked.now_s <= 0.012
    # Of the 20 ms that the answer is held in all, what work took is not slept again.
    (slept,) = clock.sleeps_s
    assert slept == pytest.approx(0.02 - clock.worked.now_s)
    worked_s = clock.worked.now_s
    holder.hold(0.4)  # too soon to ask again, and nothing is owed
    assert clock.worked.now_s == worked_s


def test_a_long_debt_of_work_is_paid_in_parts(clock):
    spent_s = [0.0]
    holder = Holder(CASES["all-5"], lambda: spent_s[0])
    spent_s[0] = 100.0
    holder.hold(0.01)
    assert clock.worked.now_s <= proxy.LONGEST_SPIN_S + 0.003


def test_one_answer_in_fifty_stalls(clock):
    holder = Holder(CASES["stall"], lambda: 0.0, seed=1)
    for _ in range(5_000):
        holder.hold(0.001)
    assert 60 <= len(clock.sleeps_s) <= 140
    assert set(clock.sleeps_s) == {0.05}


def test_the_processor_time_of_a_process_that_has_ended_counts_as_nothing():
    assert processor_seconds([os.getpid(), 2**22 + 1]) > 0  # above the kernel's greatest pid
    assert processor_seconds([2**22 + 1]) == 0


def test_a_target_is_reached_by_address_and_by_unix_socket(tmp_path):
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        connect(f"127.0.0.1:{server.getsockname()[1]}") as there,
    ):
        assert there.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        connect(path).close()
