"""What the gateways write, and what is read from it."""

import json
import shutil
import subprocess

import pytest

from tailgate.harness.target.fleet import gateways
from tailgate.harness.target.fleet.gateways import GATEWAYS, Passed

PORTS = (21001, 21002, 21003)
ID = "0123456789abcdef0000000000000001"


@pytest.mark.parametrize(
    ("line", "read"),
    [
        (f"passed {ID} 200 -- p0", Passed(ID, 200, 0, answered=True)),
        (f"passed {ID} 503 -- p2", Passed(ID, 503, 2, answered=True)),
        (f"passed {ID} 200 SD p1", Passed(ID, 200, 1, answered=True)),
        (f"passed {ID} 503 SC <NOSRV>", Passed(ID, 503, -1, answered=False)),
        (f"passed {ID} 503 SC p1", Passed(ID, 503, 1, answered=False)),
        (f"passed {ID} 502 SH p1", Passed(ID, 502, 1, answered=False)),
        (f"passed {ID} 504 sH p1", Passed(ID, 504, 1, answered=False)),
        (f"passed {ID} -1 CH p1", Passed(ID, -1, 1, answered=False)),
        ("passed - 200 -- p0", Passed("-", 200, 0, answered=True)),
        ("Server replicas/p0 is DOWN, reason: Layer4 connection problem", None),
        ("", None),
    ],
)
def test_a_line_of_haproxy_says_who_answered(line, read):
    assert GATEWAYS["haproxy"].read(line, PORTS) == read


@pytest.mark.parametrize(
    ("line", "read"),
    [
        (f"passed {ID} 200 127.0.0.1:21001 via_upstream", Passed(ID, 200, 0, answered=True)),
        (f"passed {ID} 503 127.0.0.1:21003 via_upstream", Passed(ID, 503, 2, answered=True)),
        (f"passed {ID} 503 - no_healthy_upstream", Passed(ID, 503, -1, answered=False)),
        (
            f"passed {ID} 503 127.0.0.1:21002 upstream_reset_before_response_started{{connection_termination}}",
            Passed(ID, 503, 1, answered=False),
        ),
        (f"passed {ID} 0 127.0.0.1:21002 downstream_remote_disconnect", Passed(ID, 0, 1, answered=False)),
        ("passed - 200 127.0.0.1:21001 via_upstream", Passed("-", 200, 0, answered=True)),
        ("", None),
    ],
)
def test_a_line_of_envoy_says_who_answered(line, read):
    assert GATEWAYS["envoy"].read(line, PORTS) == read


@pytest.mark.parametrize("readiness", ["/health/ready", None])
@pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")
def test_haproxy_takes_its_configuration(tmp_path, readiness):
    gateway = GATEWAYS["haproxy"]
    file = tmp_path / "haproxy.conf"
    file.write_text(gateway.configured(21000, PORTS, readiness, tmp_path / "log"))
    done = subprocess.run(
        ["haproxy", "-c", "-f", file], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("readiness", ["/health/ready", None])
def test_envoy_asks_no_replica_that_is_down_and_repeats_only_what_was_not_sent(tmp_path, readiness):
    document = json.loads(GATEWAYS["envoy"].configured(21000, PORTS, readiness, tmp_path / "log"))
    (cluster,) = document["static_resources"]["clusters"]
    assert cluster["common_lb_config"]["healthy_panic_threshold"] == {"value": 0}
    probe = cluster["health_checks"][0]
    assert ("http_health_check" in probe) == (readiness is not None)
    (chain,) = document["static_resources"]["listeners"][0]["filter_chains"]
    (host,) = chain["filters"][0]["typed_config"]["route_config"]["virtual_hosts"]
    assert host["routes"][0]["route"]["retry_policy"]["retry_on"] == "connect-failure"


def test_the_times_that_acts_wait_for_follow_from_the_probes():
    assert gateways.UNSEEN_S >= gateways.PERIOD_S * gateways.FAILURES + gateways.TIMEOUT_S
    assert gateways.SEEN_S > gateways.PERIOD_S
