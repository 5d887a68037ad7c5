"""Find out by asking: when a server is ready, where its metrics are, and one request that it answers well."""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx
import orjson

from tailgate.harness.errors import MeasurementError, TargetError
from tailgate.harness.load import preflight
from tailgate.harness.load.first_answer import ask
from tailgate.harness.load.preflight import GOOD, judged
from tailgate.harness.load.settings import LoadSettings
from tailgate.harness.load.wire.endpoint import resolve_endpoint
from tailgate.harness.scenario.payloads.payload import Payload
from tailgate.harness.target.asking import openapi
from tailgate.harness.target.asking.exposition import Scrape, parse
from tailgate.harness.target.launching.ready_path import USUAL_PATHS

METRICS = ("/metrics", "/metrics/", "/prometheus", "/api/metrics")
# A server that listens, and answers none of these well, gets so long to become ready.
PATIENCE_S = 5.0
PAUSE_S = 0.1
MOST_TRIED = 5
# That the same request is asked: of its answers, the quickest counts.
TIMES = 3
# Names of work, which a gate is about; others may delete something.
_WORK = re.compile(
    r"predict|infer|score|generate|complet|embed|classif|rank|transcrib|detect|invoke|chat", re.IGNORECASE
)
# Nothing that a user asks for.
_NO_WORK = re.compile(r"^/(health|ready|live|metrics|docs|redoc|openapi|status|ping|version)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Request:
    """A request that was answered well; ``body`` is the JSON text, None for none."""

    line: str  # METHOD PATH
    body: str | None
    seconds: float  # of the quickest of a few answers


def find_readiness(
    client: httpx.Client,
    base_url: str,
    check_alive: Callable[[], None],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Return the first of the usual paths of a server that listens that answers 2xx; empty for one without such a path.

    ``check_alive`` raises where waiting is pointless.
    """
    deadline_s = clock() + PATIENCE_S
    while True:
        check_alive()
        for path in USUAL_PATHS:
            try:
                if client.get(base_url + path).status_code in GOOD:
                    return path
            except httpx.RequestError:
                break
        if clock() >= deadline_s:
            return ""
        sleep(PAUSE_S)


def find_metrics(client: httpx.Client, base_url: str) -> tuple[str, Scrape] | None:
    """Return the path of a Prometheus exposition, and what it says; None for a server without one."""
    for path in METRICS:
        try:
            answer = client.get(base_url + path)
            if answer.status_code in GOOD:
                return path, parse(answer.text, time.monotonic_ns())
        except (httpx.HTTPError, MeasurementError):
            continue
    return None


def find_request(settings: LoadSettings, tell: Callable[[str], None]) -> Request:
    """Return a request that the server answers well, by its OpenAPI document; raise TargetError where none is found.

    First a few of its POSTs, those first whose names speak of work, with an example of their body; then its GETs.
    """
    document = preflight.document(settings, resolve_endpoint(settings))
    every = openapi.operations(document)
    posts = [one for one in every if one.method == "POST" and openapi.body_of(one, document) is not None]
    gets = [one for one in every if one.method == "GET" and not _NO_WORK.match(one.path)]
    chosen = [*sorted(posts, key=lambda one: not _WORK.search(one.path))[:MOST_TRIED], *gets[:MOST_TRIED]]
    tried = []
    for operation in chosen:
        body = openapi.body_of(operation, document) if operation.method == "POST" else None
        line = f"{operation.method} {openapi.target_of(operation, document)}"
        text = None if body is None else orjson.dumps(body).decode()
        seconds, why = try_request(settings, line, text)
        if seconds is not None:
            return Request(line, text, seconds)
        tell(f"{line} is answered with {why}")
        tried.append(line)
    raise TargetError(_not_found(tried, every))


def try_request(settings: LoadSettings, line: str, body: str | None) -> tuple[float | None, str]:
    """Return the seconds of the quickest answer, or None and what was answered in place of a good one."""
    method, _, path = line.partition(" ")
    payload = Payload("first", (body or "").encode(), openapi.JSON, path, method)
    endpoint, quickest = resolve_endpoint(settings), None
    for _ in range(TIMES):
        answer = ask(payload, settings, endpoint)
        wrong, said = judged(answer, payload)
        if wrong:
            return None, answer.why or said or f"{answer.status}: {answer.text[:200]}"
        quickest = answer.seconds if quickest is None else min(quickest, answer.seconds)
    return quickest, ""


def _not_found(tried: Sequence[str], every: Sequence[openapi.Operation]) -> str:
    why = f"none of {', '.join(tried)} is answered well" if tried else "no request is known"
    if not every:
        why += f" ({openapi.PATH} describes none)"
    return f"{why}; say what to send: --request='POST /path' --payloads=file:body.json, with a file that holds the body"
