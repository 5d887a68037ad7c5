"""The page of a run in progress, and the server that shows it to browsers on this machine.

It listens on loopback, in threads of pytest's process. Once per second it reads the records of the phase that is being sent, as
the line on the terminal does. The rest of its work is done when a browser asks, which it does once per second.
"""

import contextlib
import dataclasses
import json
import threading
import time
from collections import deque
from collections.abc import Iterator
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import pytest

from tailgate import look
from tailgate.harness.compare.blocks.standing import Standing
from tailgate.harness.errors import UsageError
from tailgate.harness.observe.beside.periodic import periodically
from tailgate.harness.observe.beside.under_way import Following, PhaseLoad, Seen
from tailgate.harness.report.html import REPORT
from tailgate.harness.report.progress import done, of_comparison
from tailgate.harness.report.why import why, why_of_scenario
from tailgate.harness.results.run import RunResult
from tailgate.harness.secrecy import Secrets

HOST = "127.0.0.1"
PERIOD_S = 1.0
# Two hours of seconds; of a longer run the page shows the last of them.
MOST_ROWS = 7200
MOST_SAID = 8
# A browser asks once per second: one that has asked of late may learn how the run ended, before the server is gone.
LINGER_S = 3.0


class Progress:
    """What a run has come to so far: told by the run, read by browsers, from any thread.

    ``of`` is how many scenarios there will be.
    """

    def __init__(self, target: str, of: int, secrets: Secrets) -> None:
        self._lock = threading.Lock()
        self._started_s = time.monotonic()
        self._secrets = secrets
        self._of = of
        self._state: dict[str, Any] = {
            "target": secrets.hide(target),
            "now": None,
            "phases": [],
            "said": [],
            "verdicts": [],
            "ended": None,
        }
        # Per second: time, offered, achieved, p50, p95, p99, refused and failed; rates are per second.
        self._rows: deque[tuple[float | None, ...]] = deque(maxlen=MOST_ROWS)
        self._count = 0
        self._standing: Standing | None = None  # of the comparison that is made now
        self.report: Path | None = None  # where the report lies; None until it is written

    def tell(self, line: str) -> None:
        """Take a line about what is being done now."""
        with self._lock:
            self._state["said"] = [*self._state["said"], self._secrets.hide(line)][-MOST_SAID:]

    def tell_verdict(self, result: RunResult) -> None:
        """Take what the last scenario of a result came to."""
        last = result.scenarios[-1]
        told = {"scenario": last.name, "verdict": last.verdict.value, "why": why_of_scenario(last)}
        with self._lock:
            self._state["verdicts"].append(told)

    @contextlib.contextmanager
    def watching(self, load: PhaseLoad) -> Iterator[None]:
        """Follow a phase that is sent within a ``with`` block."""
        phase = {"scenario": load.scenario, "name": load.phase.name, "start_s": self._time_s(), "end_s": None}
        with self._lock:
            self._state["phases"].append(phase)
        following = Following(load, time.monotonic_ns())
        try:
            with periodically(_Note(self, load, following).take, PERIOD_S):
                yield
        finally:
            with self._lock:
                phase["end_s"], self._state["now"] = self._time_s(), None

    @contextlib.contextmanager
    def comparing(self, standing: Standing) -> Iterator[None]:
        """Follow a comparison within a ``with`` block."""
        self._standing = standing
        try:
            yield
        finally:
            self._standing = None

    def note(self, load: PhaseLoad, seen: Seen, refused_per_s: float, failed_per_s: float) -> None:
        """Take what is known of a phase at this moment."""
        share, quantiles = done(load, seen), seen.quantiles_s
        now = {
            "scenario": load.scenario,
            "phase": load.phase.name,
            "share": share,
            "left_s": seen.elapsed_s / share - seen.elapsed_s if 0 < share < 1 else None,
            "refused": seen.refused,
            "failures": seen.failures,
        }
        with self._lock:
            self._state["now"] = now
            self._rows.append(
                (
                    self._time_s(),
                    seen.offered_per_s,
                    seen.achieved_per_s,
                    *(quantiles.get(name) for name in ("p50", "p95", "p99")),
                    refused_per_s,
                    failed_per_s,
                )
            )
            self._count += 1

    def finish(self, result: RunResult, directory: Path) -> None:
        """Take what the run came to, once its reports are written."""
        report = directory / REPORT
        self.report = report if report.is_file() else None
        ended = {
            "verdict": result.verdict.value,
            "why": why(result),
            "folder": self._secrets.hide(str(directory)),
            "report": self.report is not None,
        }
        with self._lock:
            self._state["ended"] = ended

    def state(self, known: int) -> bytes:
        """Return all that the page shows as JSON; of the rows those that a browser, which has ``known`` of them, lacks."""
        with self._lock:
            lacking = self._count - known if known <= self._count else self._count
            rows = list(self._rows)[max(0, len(self._rows) - lacking) :]
            number = min(len(self._state["verdicts"]) + 1, self._of)
            standing = self._standing
            line = None if standing is None else of_comparison(standing, time.monotonic())
            told = {
                "compared": None if line is None else dataclasses.asdict(line),
                "time_s": self._time_s(),
                "number": number,
                "of": self._of,
                "count": self._count,
                "rows": rows,
            }
            # In ASCII: a server's log may hold what is no UTF-8.
            return json.dumps(self._state | told, allow_nan=False).encode()

    @property
    def ended(self) -> bool:
        """Whether the run is over."""
        return self._state["ended"] is not None

    def _time_s(self) -> float:
        return round(time.monotonic() - self._started_s, 3)


class _Note:
    """Notes a phase again and again, with what came since the last time as rates."""

    def __init__(self, progress: Progress, load: PhaseLoad, following: Following) -> None:
        self._progress = progress
        self._load = load
        self._following = following
        self._before = (0.0, 0, 0)

    def take(self) -> None:
        seen = self._following.seen(time.monotonic_ns())
        now = (seen.elapsed_s, seen.refused, sum(seen.failures.values()))
        spent_s, refused, failed = (new - old for new, old in zip(now, self._before, strict=True))
        self._before = now
        self._progress.note(
            self._load, seen, *((count / spent_s if spent_s else 0.0) for count in (refused, failed))
        )


class RunServer:
    """Answers browsers on this machine within a ``with`` block.

    Raises:
        UsageError: on entering, where the port is taken.
    """

    def __init__(self, progress: Progress, port: int) -> None:
        self.progress = progress
        self._port = port
        self._asked_s = float("-inf")
        self._end_seen = threading.Event()

    @property
    def address(self) -> str:
        """Where a browser finds the page."""
        return f"http://{HOST}:{self._server.server_port}/"

    def __enter__(self) -> Self:
        """Begin to listen."""
        handler = partial(_Handler, self, look.live_page(__package__, "run", "Running – tailgate"))
        try:
            self._server = _Server((HOST, self._port), handler)
        except OSError as error:
            raise UsageError(
                f"--perf-live={self._port}: cannot listen on {HOST}:{self._port}: {error.strerror}; give another port, or "
                "--perf-live without one"
            ) from None
        self._thread = threading.Thread(target=self._server.serve_forever, name="tailgate-live", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop; first let a browser that watches learn how the run ended."""
        if self.progress.ended and time.monotonic() - self._asked_s < LINGER_S:
            self._end_seen.wait(LINGER_S)
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, target: str) -> tuple[str, bytes] | None:
        """Return the type and the body of what is at a target beside the page; None where nothing is."""
        address, report = urlsplit(target), self.progress.report
        self._asked_s = time.monotonic()
        if address.path == "/state":
            known = parse_qs(address.query).get("known", ["0"])[0]
            over = self.progress.ended
            body = self.progress.state(int(known) if known.isdecimal() else 0)
            if over and report is None:
                self._end_seen.set()
            return "application/json", body
        if address.path == "/report" and report is not None:
            body = report.read_bytes()
            self._end_seen.set()
            return "text/html; charset=utf-8", body
        return None


def begin(progress: Progress, port: int, config: pytest.Config) -> RunServer:
    """Serve the page of a run until pytest ends; raise UsageError where the port is taken."""
    stack = contextlib.ExitStack()
    server = stack.enter_context(RunServer(progress, port))
    config.add_cleanup(stack.close)
    return server


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """Say nothing of a browser that left: the terminal is the run's."""


class _Handler(BaseHTTPRequestHandler):
    """One question of a browser."""

    server_version = "tailgate"

    def __init__(self, server: RunServer, page: look.LivePage, *arguments: Any) -> None:
        self._run = server
        self._page = page
        super().__init__(*arguments)

    def do_GET(self) -> None:
        """Answer with the page, what it shows, or the report."""
        # A page from elsewhere whose name leads here (DNS rebinding) says that name.
        if urlsplit(f"//{self.headers.get('host', '')}").hostname not in {HOST, "localhost"}:
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
        elif self.path == "/":
            self._reply("text/html; charset=utf-8", self._page.text.encode(), self._page.policy)
        elif (found := self._run.answer(self.path)) is not None:
            self._reply(*found)
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _reply(self, kind: str, body: bytes, policy: str | None = None) -> None:
        self.send_response(HTTPStatus.OK)
        headers = {"Content-Type": kind, "Content-Length": str(len(body)), "Cache-Control": "no-store"}
        headers |= {"X-Content-Type-Options": "nosniff"} | (
            {"Content-Security-Policy": policy} if policy else {}
        )
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""
