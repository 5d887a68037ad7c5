"""Which of a foreign service's metrics are its histogram of request seconds and its counter of requests.

Servers and libraries that count requests name them in few ways. Names that say it are found by their form; those of
servers that have other names stand in a table.
"""

import difflib
import re
import shlex
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tailgate.harness.target.asking.exposition import Scrape
from tailgate.harness.target.asking.metric_names import MetricNames
from tailgate.harness.target.asking.selector import Condition, Selector, Series, equal

# Such as http_request_duration_seconds (prometheus-fastapi-instrumentator, OpenTelemetry), its fine-grained
# http_request_duration_highr_seconds, starlette_request_duration_seconds, flask_http_request_duration_seconds,
# bentoml_service_request_duration_seconds, http_server_requests_seconds (Spring).
_SECONDS = re.compile(
    r"(?:.*[_:])?requests?_(?:(?:duration|latency|time|processing_time)_)?(?:highr_)?seconds?"
)
_TOTAL = re.compile(r"(?:.*[_:])?requests?(?:_total)?")


class _Server(NamedTuple):
    """Metrics of a server that have names of their own."""

    seconds: str | None  # its histogram; None where it has none in seconds
    total: str
    chosen: tuple[Condition, ...] = ()  # the series of the histogram that are of whole requests


_SERVERS = (
    _Server("vllm:e2e_request_latency_seconds", "vllm:request_success_total"),
    _Server("tgi_request_duration", "tgi_request_count"),
    _Server(
        "mosec_service_process_duration_second",
        "mosec_service_throughput_total",
        (equal("stage", "total"),),
    ),
    _Server(None, "nv_inference_request_success"),  # Triton: its durations are in microseconds
    _Server(None, "ray_serve_num_http_requests_total"),  # Ray Serve: in milliseconds
    _Server(None, "requests_total_counter"),  # aioprometheus
)
_MODEL = re.compile(r"/v2/models/([^/]+)/.*")
# A route's variable, as FastAPI and Flask write it.
_VARIABLE = re.compile(r"\{[^}]*\}|<[^>]*>")


def suggest_metrics(scrape: Scrape, path: str) -> Mapping[str, str]:
    """Return what a service seems to call its metrics of requests: names of the harness to selectors.

    ``path`` is that of the requests, which labels may hold; empty where it is not known. A ``request_seconds`` of "" says
    that the service has no such histogram. Nothing is returned for a service whose names the harness expects, or where
    none is found. Of several histograms the one with the most edges is taken: it tells the most.
    """
    expected, names = MetricNames(), {series.name for series in scrape.values}
    if f"{expected.request_seconds}_bucket" in names or expected.requests_total in names:
        return {}
    for server in _SERVERS:
        counter = next(
            (one for one in (server.total, server.total.removesuffix("_total")) if one in names), None
        )
        histogram = server.seconds is not None and f"{server.seconds}_bucket" in names
        if counter is not None or histogram:
            seconds = Selector(server.seconds, server.chosen) if histogram and server.seconds else None
            return _told(scrape, path, seconds, counter)
    found = _histogram(scrape, path)
    return _told(scrape, path, found, _counter(scrape, names, "" if found is None else found.name))


def _told(scrape: Scrape, path: str, seconds: Selector | None, counter: str | None) -> Mapping[str, str]:
    told = {}
    if seconds is not None:
        told["request_seconds"] = str(_of_path(scrape, seconds, "_bucket", path))
    elif counter is not None:
        told["request_seconds"] = ""
    if counter is not None:
        told["requests_total"] = str(_of_path(scrape, Selector(counter), "", path))
    return told


def _histogram(scrape: Scrape, path: str) -> Selector | None:
    edges: dict[str, set[str]] = {}
    for series in scrape.values:
        name = series.name.removesuffix("_bucket")
        if name != series.name and _SECONDS.fullmatch(name):
            edges.setdefault(name, set()).add(dict(series.labels).get("le", ""))
    found = [Selector(name) for name in sorted(edges)]
    return max(
        found,
        key=lambda one: (len(edges[one.name]), bool(_of_path(scrape, one, "_bucket", path).conditions)),
        default=None,
    )


def _counter(scrape: Scrape, names: Iterable[str], beside: str) -> str | None:
    """Return the counter of requests whose name is most like that of the histogram."""
    found = [name for name in names if _TOTAL.fullmatch(name) and _kind(scrape, name) == "counter"]
    return max(
        sorted(found), key=lambda name: difflib.SequenceMatcher(None, name, beside).ratio(), default=None
    )


def _kind(scrape: Scrape, name: str) -> str | None:
    return scrape.kinds.get(name, scrape.kinds.get(name.removesuffix("_total")))


def _of_path(scrape: Scrape, selector: Selector, suffix: str, path: str) -> Selector:
    """Return the selector of those series alone whose labels say that they are of this path."""
    bare = path.partition("?")[0]
    family = selector.suffixed(suffix)
    label = next(
        (label for series in scrape.values if family.matches(series) for label in _labels(series, bare)), None
    )
    return selector if label is None else Selector(selector.name, (*selector.conditions, equal(*label)))


def _labels(series: Series, path: str) -> Iterable[tuple[str, str]]:
    """Yield the labels of a series that say that it is of a path."""
    model = _MODEL.fullmatch(path)
    for label, value in series.labels:
        route = "[^/]+".join(map(re.escape, _VARIABLE.split(value)))
        named = model is not None and (label, value) == ("model", model[1])
        if named or (value.startswith("/") and re.fullmatch(route, path)):
            yield label, value


def as_options(suggested: Mapping[str, str]) -> str:
    """Return the options that say so, as a shell takes them."""
    return " ".join(f"--perf-metric={shlex.quote(f'{name}={theirs}')}" for name, theirs in suggested.items())
