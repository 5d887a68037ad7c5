"""What both sides of a comparison share, from plain facts, and the facts of real processes."""

import os
import socket
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgate.harness.compare.sharing import Held, held_by, refuse_one_port, shared
from tailgate.harness.errors import TargetError

NOTHING = Held(1)


def both(**held):
    facts = {name: frozenset(value) for name, value in held.items()}
    return Held(8001, **facts), Held(8002, **facts)


@pytest.mark.parametrize(
    ("held", "says"),
    [
        (
            {"written": ["/x/app.db"]},
            "both sides use the database /x/app.db: what one writes the other reads",
        ),
        ({"written": ["/x/app.db-wal", "/x/app.db-shm", "/x/app.db"]}, "use the database /x/app.db: "),
        ({"written": ["/x/store.sqlite3-wal"]}, "use the database /x/store.sqlite3: "),
        ({"written": ["/x/queue.bin"]}, "use /x/queue.bin: "),
        ({"written": [f"/x/{n}.bin" for n in range(5)]}, "use /x/0.bin, /x/1.bin, /x/2.bin and 2 more: "),
        ({"connected": [("10.0.0.1", 5432)]}, "are connected to 10.0.0.1:5432 (PostgreSQL): "),
        ({"connected": [("::1", 6379)]}, "are connected to [::1]:6379 (Redis): "),
        ({"connected": [("10.0.0.1", 4711)]}, "are connected to 10.0.0.1:4711: "),
        ({"variables": [("DATABASE_URL", "postgresql://u:hunter22@h/d")]}, "the same DATABASE_URL: "),
        ({"variables": [("APP_REDIS_URL", "redis://h")]}, "the same APP_REDIS_URL: "),
        ({"variables": [("MAIN_DSN", "host=h dbname=d")]}, "the same MAIN_DSN: "),
        ({"variables": [("CACHE_DIR", "/tmp/c")]}, "the same CACHE_DIR: "),
        ({"variables": [("APP_CACHE_DIR", "/tmp/c")]}, "the same APP_CACHE_DIR: "),
        ({"variables": [("WHERE", "mysql+pymysql://h/d")]}, "the same WHERE: "),
        ({"variables": [("PROMETHEUS_MULTIPROC_DIR", "/tmp/p")]}, "the same PROMETHEUS_MULTIPROC_DIR: "),
    ],
)
def test_what_both_sides_have_is_a_note_with_what_mends_it_and_without_its_value(held, says):
    (note,) = shared(*both(**held))
    assert says in note
    assert note.endswith("give each its own with --perf-base-env and --perf-head-env")
    assert "hunter22" not in note


@pytest.mark.parametrize(
    "held",
    [
        {"written": ["/x/app.log", "/x/app.log.1", "/x/nohup.out", "/dev/shm/x", "/x/gone.db (deleted)"]},
        {"connected": [("127.0.0.1", 8001), ("127.0.0.1", 8002)]},
        {"variables": [("SENTRY_DSN", "https://key@sentry.io/1"), ("PATH", "/bin"), ("DATABASE_URL", "")]},
        {"variables": [("HF_HOME", "/m"), ("UV_CACHE_DIR", "/u"), ("HOME", "/h"), ("TORCH_HOME", "/t")]},
    ],
)
def test_logs_the_servers_themselves_and_what_is_only_read_are_no_sharing(held):
    assert shared(*both(**held)) == ()


ANYTHING = st.builds(
    Held,
    st.integers(1, 3),
    st.frozensets(st.sampled_from(["/a.db", "/b", "/c.log"])),
    st.frozensets(st.tuples(st.sampled_from(["10.0.0.1", "::1"]), st.integers(1, 5))),
    st.frozensets(st.tuples(st.just("net"), st.sampled_from(["0.0.0.0", "127.0.0.1"]), st.integers(1, 3))),
    st.frozensets(st.tuples(st.sampled_from(["REDIS_URL", "DB_PATH"]), st.sampled_from("xy"))),
)


@given(ANYTHING, ANYTHING)
def test_sharing_has_no_direction_and_a_side_that_holds_nothing_shares_nothing(one, other):
    assert shared(one, other) == shared(other, one)
    assert shared(one, NOTHING) == ()


@pytest.mark.parametrize(
    ("base", "head", "refused"),
    [
        (("a", "127.0.0.1", 9100), ("a", "127.0.0.1", 9100), True),
        (("a", "0.0.0.0", 9100), ("a", "127.0.0.1", 9100), True),
        (("a", "127.0.0.1", 9100), ("a", "::", 9100), True),
        (("a", "127.0.0.1", 9100), ("a", "127.0.0.2", 9100), False),
        (("a", "127.0.0.1", 9100), ("a", "127.0.0.1", 9101), False),
        # Each in a container of its own.
        (("a", "0.0.0.0", 80), ("b", "0.0.0.0", 80), False),
    ],
)
def test_two_sides_that_listen_on_one_port_are_refused(base, head, refused):
    sides = Held(1, listening=frozenset({base})), Held(2, listening=frozenset({head}))
    if not refused:
        refuse_one_port(*sides)
        return
    with pytest.raises(TargetError, match="both sides listen on port 9100, so that"):
        refuse_one_port(*sides)


HOLDER = """
import os, socket, sys
file = open(sys.argv[1], "r+b")
reader = open(sys.argv[2], "rb")
connected = socket.create_connection(("127.0.0.1", int(sys.argv[3])))
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
sys.stdin.read()
"""


def test_the_facts_of_a_process_are_read_and_those_of_one_that_is_gone_are_passed_over(tmp_path):
    written, only_read = tmp_path / "app.db", tmp_path / "model.bin"
    written.touch()
    only_read.touch()
    with socket.create_server(("127.0.0.1", 0)) as store:
        port = store.getsockname()[1]
        arguments = [sys.executable, "-c", HOLDER, str(written), str(only_read), str(port)]
        environment = {**os.environ, "DATABASE_URL": "sqlite:///x"}
        with subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        ) as process:
            own = int(process.stdout.readline())
            with socket.create_connection(("127.0.0.1", own)):
                held = held_by((process.pid, 2**22 + 1), own)
            process.stdin.close()
    assert held.written == {str(written)}
    assert held.connected == {("127.0.0.1", port)}
    assert {(address, at) for _, address, at in held.listening} == {("127.0.0.1", own)}
    assert ("DATABASE_URL", "sqlite:///x") in held.variables
    assert held_by((process.pid,), own) == Held(own)
