"""Both servers of a block get the same few processors, and everybody else the others."""

import os
import subprocess
import sys
import threading
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgate.harness.compare.blocks.schedule import plan_block
from tailgate.harness.compare.processors import Sharing, Split, choose_sharing, kept_to
from tailgate.harness.errors import TargetError, UsageError

HERE = frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset()
COMPUTES = {"device": "cpu", "threads": "1"}


@given(
    allowed=st.sets(st.integers(0, 63), min_size=2, max_size=16),
    servers=st.integers(1, 15),
    own=st.booleans(),
    index=st.integers(0, 100),
)
def test_whoever_is_no_server_has_processors_that_no_server_has(allowed, servers, own, index):
    sharing = Sharing(tuple(sorted(allowed)), servers, max(allowed) if own else None)
    if not sharing.possible:
        assert servers >= len(allowed) - own
        return
    split = sharing.split(index)
    assert len(split.servers) == servers
    assert split.harness
    assert split.servers | split.harness == allowed - {sharing.generator}
    assert not split.servers & split.harness


@pytest.mark.parametrize(("own", "turns"), [(None, {0, 2, 5, 7}), (7, {0, 2, 5})])
def test_each_processor_has_its_turn_but_the_generators_own(own, turns):
    sharing = Sharing((0, 2, 5, 7), 1, own)
    assert {next(iter(sharing.split(index).servers)) for index in range(8)} == turns


def test_on_each_processor_each_arm_is_launched_first_equally_often():
    sharing = Sharing((0, 1, 2), 1)
    seen = Counter()
    for index in range(12):
        seen[plan_block(5, index, 2).launched_first, sharing.split(index).servers] += 1
    assert set(seen.values()) == {2}
    assert len(seen) == 6


@pytest.mark.parametrize(
    ("wanted", "facts", "asked", "servers", "note"),
    [
        (None, COMPUTES, False, None, ""),
        (0, COMPUTES, True, None, ""),
        (
            1,
            COMPUTES,
            False,
            1,
            "both servers ran on the same one processor of 4, and moved on after every two blocks",
        ),
        (
            2,
            COMPUTES,
            True,
            2,
            "both servers ran on the same 2 processors of 4, and moved on after every two blocks",
        ),
        (4, COMPUTES, False, None, "there are 4, and the harness needs one that no server runs on"),
        (1, {"device": "cuda", "threads": "1"}, False, None, "a side computes on cuda"),
        (1, {}, False, None, "a side computes on an unknown device"),
        (1, {"device": "cpu"}, False, None, "a side computes with untold threads"),
        (
            1,
            {"device": "cpu", "threads": "4"},
            False,
            None,
            "a side computes with 4 threads; --perf-processors",
        ),
        # Who says so knows what they do.
        (1, {"device": "cpu", "threads": "4"}, True, 1, "both servers ran on the same one processor of 4"),
    ],
)
def test_a_service_that_computes_on_few_processors_is_kept_to_them(
    monkeypatch, wanted, facts, asked, servers, note
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, processors: None)
    sharing, said = choose_sharing(wanted, [COMPUTES, facts], None, asked=asked)
    assert (None if sharing is None else sharing.servers) == servers
    assert note in said
    assert bool(note) == bool(said)


def refuse(thread, processors):
    raise PermissionError(1, "Operation not permitted")


def allow(thread, processors):
    pass


@pytest.mark.parametrize(
    ("allowed", "generator", "move", "reason"),
    [
        ({3}, None, allow, "there are 1, and the harness needs one that no server runs on"),
        ({0, 1}, 1, allow, "there are 1 beside the load generator's own, and the harness needs one"),
        ({0, 1}, None, refuse, "this system does not allow a process to be moved: Operation not permitted"),
        (None, None, allow, "this system does not let a program choose its processors"),
    ],
)
def test_what_cannot_be_is_noted_and_refused_to_whom_asks_for_it(
    monkeypatch, allowed, generator, move, reason
):
    monkeypatch.setattr(os, "sched_setaffinity", move)
    if allowed is None:
        monkeypatch.delattr(os, "sched_getaffinity")
    else:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: allowed)
    sharing, said = choose_sharing(1, [COMPUTES], generator, asked=False)
    assert sharing is None
    assert reason in said
    with pytest.raises(UsageError, match=f"--perf-processors=1: {reason}"):
        choose_sharing(1, [COMPUTES], generator, asked=True)


class Moves:
    """Takes the place of the kernel's call, and remembers."""

    def __init__(self):
        self.made = []

    def __call__(self, thread, processors):
        self.made.append((thread, set(processors)))


def test_all_threads_of_a_server_are_moved_and_this_one_gets_its_own_back(monkeypatch):
    moves, here = Moves(), os.sched_getaffinity(0)
    monkeypatch.setattr(os, "sched_setaffinity", moves)
    stop = threading.Event()
    other = threading.Thread(target=stop.wait)
    other.start()
    try:
        with kept_to(Split(frozenset({0}), frozenset({1, 2})), [os.getpid()], []):
            assert {thread for thread, processors in moves.made if processors == {0}} >= {
                threading.get_native_id(),
                other.native_id,
            }
            assert moves.made[-1] == (0, {1, 2})
    finally:
        stop.set()
        other.join()
    assert moves.made[-1] == (0, here)


@pytest.mark.skipif(len(HERE) < 2, reason="there is one processor, which nobody can be kept off")
def test_processes_run_where_they_are_kept():
    first, *others = sorted(HERE)
    split = Split(frozenset({first}), frozenset(others))
    idle = [sys.executable, "-c", "input()"]
    with (
        subprocess.Popen(idle, stdin=subprocess.PIPE) as server,
        subprocess.Popen(idle, stdin=subprocess.PIPE) as generator,
    ):
        with kept_to(split, [server.pid], [generator.pid]):
            assert os.sched_getaffinity(server.pid) == split.servers
            assert os.sched_getaffinity(generator.pid) == split.harness
            assert os.sched_getaffinity(0) == split.harness
        assert os.sched_getaffinity(0) == HERE


def test_a_server_that_cannot_be_moved_is_an_error_and_one_that_has_ended_is_none(monkeypatch):
    split, moves = Split(frozenset({0}), frozenset({1})), Moves()

    def refuse_servers(thread, processors):
        if thread:
            refuse(thread, processors)
        moves(thread, processors)

    monkeypatch.setattr(os, "sched_setaffinity", refuse_servers)
    with (
        pytest.raises(
            TargetError, match=r"processors \[0\]: Operation not permitted; --perf-processors=0 lets"
        ),
        kept_to(split, [os.getpid()], []),
    ):
        pass
    assert moves.made == [(0, set(HERE))]

    def gone(thread, processors):
        if thread:
            raise ProcessLookupError

    monkeypatch.setattr(os, "sched_setaffinity", gone)
    with kept_to(split, [os.getpid()], []):
        pass


def test_the_processors_come_back_when_what_they_were_kept_for_fails(monkeypatch):
    moves, here = Moves(), os.sched_getaffinity(0)
    monkeypatch.setattr(os, "sched_setaffinity", moves)
    with (
        pytest.raises(ValueError, match="load"),
        kept_to(Split(frozenset({0}), frozenset({1})), [], []),
    ):
        raise ValueError("load")
    assert moves.made == [(0, {1}), (0, here)]
