"""From a target's address to the requests of its load: they go where readiness and metrics are asked for."""

from pathlib import Path

import httpx
import pytest
from scripted_server import OK, ScriptedServer

from tailgate.harness.load.reach import load_settings
from tailgate.harness.load.wire.request import encode_request
from tailgate.harness.observe.slot import measure_slot
from tailgate.harness.observe.slot_record import Slot
from tailgate.harness.options.reading import parse_options
from tailgate.harness.scenario.arrivals import Constant
from tailgate.harness.scenario.behaviour import Behaviour, Disturbers
from tailgate.harness.scenario.payloads.payload import Payload
from tailgate.harness.scenario.plan import draw_plan
from tailgate.harness.scenario.scenario import Phase, Scenario
from tailgate.harness.target.settings import TargetSettings
from tailgate.harness.target.spec import RunningUrl

SETTINGS = parse_options(lambda _: None, Path("a-project"))
PAYLOAD = Payload("a", b"body", "text/plain", path="/a?x=1")


@pytest.mark.parametrize(
    ("path", "prefix"),
    [
        ("", ""),
        ("/", ""),
        ("//", ""),
        ("/api", "/api"),
        ("/api/v1/", "/api/v1"),
        ("/api/v1///", "/api/v1"),
        ("/a//b", "/a//b"),
        ("/a b/%7Euser", "/a%20b/%7Euser"),
        ("/préfixe", "/pr%C3%A9fixe"),
        ("/a/../b", "/b"),
    ],
)
def test_the_load_goes_below_the_same_path_as_readiness_and_metrics(path, prefix):
    running = RunningUrl(f"http://127.0.0.1:8000{path}", TargetSettings())
    line = encode_request(PAYLOAD, load_settings(running, SETTINGS)).split(b"\r\n")[0]
    assert line == f"POST {prefix}/a?x=1 HTTP/1.1".encode()
    assert httpx.URL(running.base_url + "/health/ready").raw_path == f"{prefix}/health/ready".encode()
    assert httpx.URL(running.metrics_url).raw_path == f"{prefix}/metrics".encode()


def test_whatever_a_slot_asks_for_lies_below_the_path_of_the_address(tmp_path):
    """Load, clients that do not wait, probes of readiness and of metrics, scrapes."""
    metrics = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nup 1\n"
    ours = {"/api/v1/a": [OK], "/api/v1/health/ready": [OK], "/api/v1/metrics": [metrics]}
    phase = Phase(
        "load", Constant(100.0), requests=20, probes=5, disturbers=(Disturbers(Behaviour.LEAVES, 0.5),)
    )
    made = Scenario("s", "for tests", (phase,), ())
    payload = Payload("a", b"body", "text/plain", path="/a")
    with ScriptedServer(ours) as server:
        running = RunningUrl(f"http://127.0.0.1:{server.port}/api/v1/", TargetSettings())
        measure_slot(
            Slot(made, "head", block=0, start=1, seed=1),
            draw_plan(made, [payload], 1),
            running,
            load_settings(running, SETTINGS),
            tmp_path,
        )
    assert {path for _, path, _ in server.requests} == set(ours)
