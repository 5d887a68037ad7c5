"""Replicas on Ray: who gets which place of HAProxy's, and a cluster of two nodes whose actor is killed under load."""

import contextlib
import dataclasses
import importlib.util
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgate import Payload, Phase, Poisson, Scenario, draw_plan
from tailgate.harness.load import LoadSettings
from tailgate.harness.load.generator import Generator
from tailgate.harness.load.records.samples import kinds
from tailgate.harness.load.wire.request_id import draw_prefix, request_of
from tailgate.harness.measures.handover import PASSED, closed
from tailgate.harness.target.asking.exposition import parse
from tailgate.harness.target.asking.metric_names import MetricNames
from tailgate.harness.target.fleet.books import FleetBook, ReplicaBook
from tailgate.harness.target.fleet.gateways import GATEWAYS
from tailgate.harness.target.fleet.replica import counted
from tailgate.harness.target.fleet.target import free_ports

ROOT = Path(__file__).parents[2]
RAY = ROOT / "deploy" / "ray"
PATIENCE_S = 180.0
haproxy = pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")


def load(name):
    spec = importlib.util.spec_from_file_location(name, RAY / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


places = load("places")
Place = places.Place

SAID = """\
# pxname,svname,qcur,scur,status,addr,
entrance,FRONTEND,,3,OPEN,,
replicas,p1,0,2,UP,10.0.0.1:8001,
replicas,p2,0,0,DOWN 1/2,10.0.0.2:8001,
replicas,p3,0,1,DRAIN,[2001:db8::1]:8001,
replicas,p4,0,0,MAINT,127.0.0.1:1,
replicas,BACKEND,0,3,UP,,
"""


def test_what_haproxy_says_is_read_by_the_names_of_its_columns():
    assert places.read(SAID) == (
        Place("p1", "10.0.0.1:8001", "UP", 2),
        Place("p2", "10.0.0.2:8001", "DOWN", 0),
        Place("p3", "[2001:db8::1]:8001", "DRAIN", 1),
        Place("p4", "127.0.0.1:1", "MAINT", 0),
    )


def obeyed(there, commands):
    """Return places as HAProxy would have them after these commands."""
    by_name = {place.name: place for place in there}
    for command in commands:
        words = command.split()
        name = words[2].partition("/")[2]
        if words[3] == "addr":
            change = {"address": f"{words[4]}:{words[6]}"}
        else:
            change = {"status": {"drain": "DRAIN", "maint": "MAINT", "ready": "UP"}[words[4]]}
        by_name[name] = dataclasses.replace(by_name[name], **change)
    return tuple(by_name.values())


ADDRESSES = st.sampled_from([f"10.0.0.{host}:8000" for host in range(1, 7)])


@given(st.lists(st.sets(ADDRESSES, max_size=4), min_size=1, max_size=6), st.data())
def test_whatever_replicas_come_and_go_each_wanted_one_gets_a_place_and_no_other_keeps_one(rounds, data):
    there = tuple(Place(f"p{number}", "127.0.0.1:1", "MAINT", 0) for number in range(1, 9))
    for wanted in rounds:
        there = tuple(
            dataclasses.replace(one, sessions=data.draw(st.integers(0, 2)) if one.status != "MAINT" else 0)
            for one in there
        )
        there = obeyed(there, places.changes(there, wanted))
        for one in there:
            # Whoever has requests under way keeps its place, and gets no new ones.
            assert one.status != "MAINT" or one.sessions == 0
            assert one.status != "UP" or one.address in wanted
    # Once all requests are answered, two more rounds are enough.
    for _ in range(2):
        there = obeyed(
            [dataclasses.replace(one, sessions=0) for one in there],
            places.changes([dataclasses.replace(one, sessions=0) for one in there], rounds[-1]),
        )
    assert {one.address for one in there if one.status != "MAINT"} == set(rounds[-1])
    assert len({one.address for one in there if one.status != "MAINT"}) == sum(
        one.status != "MAINT" for one in there
    )


@contextlib.contextmanager
def gateway(folder):
    """Run HAProxy as deploy/ray configures it; yield its port, its socket and its log."""
    (port,) = free_ports(1)
    path, log = folder / "s", folder / "haproxy.log"
    environment = {**os.environ, "TAILGATE_BIND": f"127.0.0.1:{port}", "TAILGATE_SOCKET": str(path)}
    # Of several threads that log at once some drop lines: one processor, one thread.
    one = str(min(os.sched_getaffinity(0)))
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["taskset", "--cpu-list", one, "haproxy", "-db", "-f", RAY / "haproxy.cfg"],
            env=environment,
            stdout=output,
            stderr=output,
        )
    try:
        until(path.exists)
        yield port, str(path), log
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def until(condition):
    end_s = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < end_s, "it did not come about"
        time.sleep(0.05)
    return found


@haproxy
def test_haproxy_does_what_it_is_told(tmp_path):
    with gateway(tmp_path) as (_, path, _):
        before = places.read(places.ask(path, "show stat"))
        assert len(before) == 16
        assert {place.status for place in before} == {"MAINT"}
        for command in places.changes(before, {"127.0.0.1:20001"}):
            places.ask(path, command)
        (used,) = (place for place in places.read(places.ask(path, "show stat")) if place.status != "MAINT")
        assert (used.name, used.address) == ("p1", "127.0.0.1:20001")
        for command in places.changes(places.read(places.ask(path, "show stat")), set()):
            places.ask(path, command)
        assert {place.status for place in places.read(places.ask(path, "show stat"))} == {"MAINT"}


@contextlib.contextmanager
def cluster():
    """Run a Ray cluster of two nodes on this machine; yield its address."""
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        nodes.add_node(num_cpus=1)
        nodes.wait_for_nodes()
        yield nodes.address
    finally:
        nodes.shutdown()


def served(path):
    return {place.address for place in places.read(places.ask(path, "show stat")) if place.status == "UP"}


def count(address):
    """Return how many requests a replica has counted; None where it is gone."""
    try:
        text = httpx.get(f"http://{address}/metrics", trust_env=False).text
    except httpx.HTTPError:
        return None
    return counted(parse(text, 1), MetricNames())


@haproxy
def test_an_actor_is_killed_under_load_and_no_request_is_lost(tmp_path):
    """The process of a killed actor drains, Ray starts another, and every request is in the books of client, gateway and replicas."""
    pytest.importorskip("ray", reason="ray is not installed: pip install ray")
    service = {
        "TAILGATE_MODEL": "benchmarks.models:noop",
        "TAILGATE_DEVICE": "cpu",
        "TAILGATE_THREADS": "1",
        "TAILGATE_EXECUTOR": "eager",
        "TAILGATE_DRAIN_DELAY_S": "6",
    }
    with cluster() as address, gateway(tmp_path) as (port, path, log), contextlib.ExitStack() as stack:
        command = [sys.executable, "-m", "tailgate.service"]
        options = ["--replicas=2", "--cpus=1", f"--socket={path}", f"--address={address}"]
        fleet = subprocess.Popen(
            [sys.executable, RAY / "replicas.py", *options, "--", *command],
            env=os.environ | service,
            cwd=ROOT,
        )
        stack.callback(fleet.wait, PATIENCE_S)
        stack.callback(fleet.terminate)
        first = until(lambda: len(served(path)) == 2 and served(path))
        body = bytes(64 * 64 * 3)
        answers = {
            httpx.post(f"http://{where}/predict", content=body, trust_env=False).text
            for where in (*first, f"127.0.0.1:{port}")
        }
        assert len(answers) == 1
        known = {where: count(where) for where in first}
        before = dict(known)

        phase = Phase("kill", Poisson(50.0), duration_s=20.0)
        plan = draw_plan(
            Scenario("ray", "a test", (phase,), ()), [Payload("p", body, "application/octet-stream")], 1
        )
        settings = LoadSettings("127.0.0.1", port, id_prefix=draw_prefix())
        with Generator(plan, settings, tmp_path / "load") as sending, watched(known, path):
            supervisor_of(min(first)).kill()
            sending.run_phase(0)
            samples = sending.samples()
            # Ray has started another.
            assert until(lambda: len(served(path)) == 2 and served(path)) != first
        rows = [
            (number, one.status, one.place, one.answered)
            for line in log.read_text().splitlines()
            if (one := GATEWAYS["haproxy"].read(line, ())) is not None
            and (number := request_of(one.request_id, settings.id_prefix, 0)) is not None
        ]
        book = FleetBook(
            "kill", "kill", "haproxy", (), 0, 1, (ReplicaBook(-2, None, None, None, False, None, None),)
        )
        found = closed(samples, np.array(rows, PASSED), book)
        assert found.lost.sum() == 0, kinds(samples[found.lost])
        assert found.repeated == 0
        ours = sum(total - before.get(where, 0) for where, total in known.items())
        assert ours == sum(row[3] for row in rows) == len(samples)
        fleet.terminate()
        assert fleet.wait(PATIENCE_S) == 0
        assert served(path) == set()


def supervisor_of(address):
    """Return the process of the actor that has started the replica at an address."""
    port = int(address.rpartition(":")[2])
    (pid,) = {
        one.pid
        for one in psutil.net_connections("tcp")
        if one.status == psutil.CONN_LISTEN and one.laddr.port == port
    }
    return psutil.Process(pid).parent()


@contextlib.contextmanager
def watched(known, path):
    """Read the counts of all replicas that serve, again and again, so that the last ones of a replica that drains are known."""
    ended = threading.Event()

    def watch():
        last = False
        while not last:
            last = ended.is_set()
            for where in {*known, *served(path)}:
                if (now := count(where)) is not None:
                    known[where] = now
            ended.wait(0.1)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
