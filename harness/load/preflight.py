"""The preflight: before any load one request of each kind is sent, and a wrong answer stops the run.

A service that answers 404, or errors in a 200, would else be loaded to the end and be judged by how fast it refuses. What
stops a run, and the option that mends it, is decided by pure functions; :func:`preflight` asks.
"""

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urljoin, urlsplit

import orjson

from tailgate.harness.load.first_answer import FirstAnswer, ask
from tailgate.harness.load.records.answers import KeptAnswer
from tailgate.harness.load.settings import LoadSettings
from tailgate.harness.load.wire.endpoint import Endpoint, resolve_endpoint
from tailgate.harness.results.preflight import Preflight, sentences
from tailgate.harness.scenario.payloads.expectation import expectations, first_miss
from tailgate.harness.scenario.payloads.payload import Payload
from tailgate.harness.target.asking import openapi
from tailgate.harness.target.launching.last_words import its_log

# So many requests, and so long, are worth the wait; what is wrong with the others fails in the load itself.
MOST = 1_000
LONGEST_S = 20.0
SAID_CHARACTERS = 120
# For the document of a server that has just answered.
DOCUMENT_TIMEOUT_S = 0.5
GOOD = range(200, 300)
IDENTITY = "--perf-header='Authorization: Bearer $TOKEN' sends who asks"
EXPECT = "--perf-expect says what a right answer is"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a preflight came to: the answers in order of the requests, and why no load may follow; empty where it may."""

    answers: tuple[Preflight, ...]
    refused: str = ""
    missed: bool = False  # the answer that stopped it is whole, and not what is expected of it
    unasked: int = 0  # requests that were left out, since there are too many, or all take too long

    @property
    def note(self) -> str:
        """What a reader must know of it; empty for nothing."""
        asked = len(self.answers)
        return (
            f"the preflight asked {asked:,} of {asked + self.unasked:,} requests once" if self.unasked else ""
        )


def preflight(
    payloads: Sequence[Payload],
    settings: LoadSettings,
    request: str = "",
    *,
    tell: Callable[[str], None] = lambda _: None,
    log_tail: Callable[[], str] = lambda: "",
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Send each payload once, until one is refused; ``request`` is what --perf-request says.

    ``log_tail`` gives the end of the server's log, which is told where the server failed. Raise LoadError where the server's address cannot be looked up.
    """
    endpoint = resolve_endpoint(settings)
    deadline_s = clock() + LONGEST_S
    answers: list[Preflight] = []
    for payload in payloads[:MOST]:
        if answers and clock() >= deadline_s:
            break
        answer = ask(payload, settings, endpoint)
        answers.append(_kept(payload, settings, answer))
        wrong, said = judged(answer, payload)
        if wrong:
            told = f"no load was sent after this first answer: {answers[-1]} (payload {payload.name!r})"
            mends = mended_by(answer, payload, settings, request)
            offers = _offered(settings, endpoint) if answer.status in {404, 405} else ""
            failed = answers[-1].status is None or answers[-1].status >= HTTPStatus.INTERNAL_SERVER_ERROR
            why = "; ".join(filter(None, (told, said, mends, offers)))
            why += its_log(log_tail()) if failed else ""
            return Outcome(tuple(answers), why, missed=bool(payload.expect) and not answer.why)
    for line in sentences(answers):
        tell(line)
    return Outcome(tuple(answers), unasked=len(payloads) - len(answers))


def _kept(payload: Payload, settings: LoadSettings, answer: FirstAnswer) -> Preflight:
    # A body that is cut in the middle of a character, or that is none, is shown as far as it goes.
    said = answer.why or " ".join(answer.text[: 4 * SAID_CHARACTERS].split())[:SAID_CHARACTERS]
    if not answer.why and "\ufffd" in said:
        said = f"{len(answer.body[:16])} bytes begin {answer.body[:16].hex(' ')}"
    return Preflight(
        payload=payload.name,
        request=f"{payload.method} {settings.prefix}{payload.path}",
        status=None if answer.why else answer.status,
        content_type=answer.content_type,
        bytes=answer.length,
        said=said,
        seconds=answer.seconds,
    )


def judged(answer: FirstAnswer, payload: Payload) -> tuple[bool, str]:
    """Return whether a first answer stops the run, and why where its status does not say so."""
    if answer.why or answer.status is None:
        return True, ""
    if payload.expect:
        kept = KeptAnswer(1, 0, answer.status, answer.content_type, answer.length, answer.crc, answer.body)
        miss = first_miss(expectations(payload.expect, f"payload {payload.name!r}"), kept, None)
        return miss is not None, miss or ""
    if answer.status not in GOOD:
        return True, ""
    said = _own_error(answer)
    return bool(said), f"it says that it failed ({said}); {EXPECT}" if said else ""


def _own_error(answer: FirstAnswer) -> str:
    """Return the error that a JSON object, or an event of a stream, holds beside a good status; empty for none."""
    if answer.error_event is not None:
        return answer.error_event.decode(errors="replace")[:SAID_CHARACTERS]
    document = _json(answer)
    if not isinstance(document, dict):
        return ""
    name = next((name for name in ("error", "errors") if document.get(name)), None)
    return "" if name is None else f"{name}: {str(document[name])[:SAID_CHARACTERS]}"


def _json(answer: FirstAnswer) -> Any:
    try:
        return orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return None


def mended_by(answer: FirstAnswer, payload: Payload, settings: LoadSettings, request: str) -> str:
    """Return the option that mends a wrong answer; empty where only the server can mend it."""
    status, body = answer.status or 0, "--perf-payloads says what is sent, such as body:TEXT or file:PATH"
    if 300 <= status < 400:
        return _led(answer, payload, settings)
    if status in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}:
        ours = f"{payload.method} {payload.path}" == request
        allowed = answer.headers.get("allow", "")
        there = f" (this path takes {allowed})" if allowed else ""
        what = "--perf-request='METHOD PATH' says" if ours else "the payload's own method and path say"
        return f"{what} what is asked{there}"
    sent = payload.content_type if payload.body else "none"
    mends: dict[int, str] = {
        HTTPStatus.UNAUTHORIZED: IDENTITY,
        HTTPStatus.FORBIDDEN: IDENTITY,
        HTTPStatus.PROXY_AUTHENTICATION_REQUIRED: IDENTITY,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE: (
            f"the content type sent is {sent}: --perf-header='Content-Type: …' sends another, and {body}"
        ),
        HTTPStatus.BAD_REQUEST: body,
        HTTPStatus.UNPROCESSABLE_ENTITY: body,
        HTTPStatus.TOO_MANY_REQUESTS: (
            "take its limit of requests off, or send who may ask more with --perf-header"
        ),
    }
    return mends.get(status, "")


def _led(answer: FirstAnswer, payload: Payload, settings: LoadSettings) -> str:
    """Say where a redirect leads, and the option that goes there at once."""
    location = answer.headers.get("location", "")
    if not location:
        return "it names no place where it leads"
    scheme = "https" if settings.tls else "http"
    here = f"{scheme}://{settings.host}:{settings.port}"
    led = urlsplit(urljoin(f"{here}{settings.prefix}{payload.path}", location))
    path = led.path + (f"?{led.query}" if led.query else "")
    ours = (led.scheme, led.hostname, led.port or settings.port) == (scheme, settings.host, settings.port)
    if ours and path.startswith(f"{settings.prefix}/"):
        return (
            f"it leads to {location}: --perf-request='{payload.method} {path.removeprefix(settings.prefix)}'"
        )
    return f"it leads to {location}, another server: --perf-target names that"


def _offered(settings: LoadSettings, endpoint: Endpoint) -> str:
    """Say what the server's OpenAPI document offers; empty without one."""
    quick = dataclasses.replace(settings, timeout_s=min(DOCUMENT_TIMEOUT_S, settings.timeout_s))
    offers = openapi.offered(document(quick, endpoint))
    return f"its {openapi.PATH} offers {offers}" if offers else ""


def document(settings: LoadSettings, endpoint: Endpoint) -> Any:
    """Return the server's OpenAPI document; None without one."""
    answer = ask(Payload(openapi.PATH, b"", "", openapi.PATH, "GET"), settings, endpoint)
    return _json(answer) if not answer.why and answer.status in GOOD else None
