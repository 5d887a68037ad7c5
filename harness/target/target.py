"""What is under test: a target is a frozen description, and ``start`` makes a running target of it."""

import abc
import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, Self
from urllib.parse import urlsplit

import httpx

from tailgate.harness.errors import TargetError
from tailgate.harness.target.asking.client import DEFAULT_PORTS, asking_client, refused_connection
from tailgate.harness.target.asking.exposition import find
from tailgate.harness.target.launching.process import HOST
from tailgate.harness.target.launching.readiness import PROBE_TIMEOUT_S
from tailgate.harness.target.settings import TargetSettings

INFO = "tailgate_info"


class RunningTarget(abc.ABC):
    """A target that takes load; a context manager that stops it."""

    def __init__(self, spec: str, settings: TargetSettings) -> None:
        self.spec = spec  # the specification that it came from
        self.settings = settings  # what the specification left open

    def __enter__(self) -> Self:
        """Return the target, which runs already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    @property
    @abc.abstractmethod
    def base_url(self) -> str:
        """Scheme, host, port and any path prefix, without a slash at the end."""

    @property
    @abc.abstractmethod
    def pids(self) -> tuple[int, ...] | None:
        """The target's processes now, the first one first; None where they cannot be seen."""

    @abc.abstractmethod
    def restart(self) -> None:
        """End the server, start a fresh one, wait until it is ready; its port changes. TargetError where that fails."""

    @abc.abstractmethod
    def stop(self) -> None:
        """End the server if the harness started it; doing so twice changes nothing."""

    @abc.abstractmethod
    def alive(self) -> bool:
        """Tell whether the server is still there."""

    @abc.abstractmethod
    def log_tail(self) -> str:
        """Return the last lines of its log; empty where the harness has none."""

    def meanwhile(
        self,
        act: str,
        phase: str,  # noqa: ARG002 - for targets that act
        folder: Path,  # noqa: ARG002 - as above
    ) -> contextlib.AbstractContextManager[None]:
        """Return a context for the time in which a phase is sent: the target does something, such as replacing its replicas.

        What there is to know of it afterwards goes into the slot's folder, for measures to read. Raise TargetError where the
        target does no such thing.
        """
        raise TargetError(f"{self.spec} does nothing called {act!r} under load")

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Name and value of each header that every request to it carries, whoever sends it."""
        return self.settings.headers

    @property
    def socket_path(self) -> Path | None:
        """The Unix socket that it listens on; None where it listens on a port."""
        return None

    def client(self, timeout_s: float, url: str | None = None) -> httpx.Client:
        """Return a client that asks it, for all that is not measured, at its own or another address; a context manager."""
        place = self.base_url if url is None else url
        own = place.startswith(self.base_url)
        # Where metrics are, a redirect may lead to https.
        trust = self.settings.trust if url is not None or self.tls else None
        return asking_client(timeout_s, self.headers, trust, self.socket_path if own else None)

    def refused_connection(self) -> str:
        """Open a connection, and close it; return why there was none, or nothing. TargetError where TLS cannot come about."""
        trust = self.settings.trust if self.tls else None
        return refused_connection(self.base_url, PROBE_TIMEOUT_S, trust, self.socket_path)

    @property
    def tls(self) -> bool:
        """Whether requests are sent encrypted."""
        return urlsplit(self.base_url).scheme == "https"

    @property
    def host(self) -> str:
        """Name or address to connect to."""
        return httpx.URL(self.base_url).raw_host.decode("ascii") or HOST

    @property
    def port(self) -> int:
        """TCP port to connect to."""
        parts = urlsplit(self.base_url)
        return parts.port or DEFAULT_PORTS[parts.scheme]

    @property
    def prefix(self) -> str:
        """Path of the base address as it is sent, without a slash at its end; empty for none."""
        return httpx.URL(self.base_url).raw_path.decode("ascii").rstrip("/")

    @property
    def metrics_url(self) -> str | None:
        """Where its metrics are; None for a target without any."""
        place = self.settings.metrics_path
        if place is None or place.startswith(("http://", "https://")):
            return place
        if not place.startswith(":"):
            return self.base_url + place
        port, slash, path = place[1:].partition("/")
        own = httpx.URL(self.base_url)
        return str(own.copy_with(scheme="http", port=int(port), raw_path=f"{slash}{path}".encode()))

    def facts(self) -> Mapping[str, str]:
        """Return the labels of ``tailgate_info`` (model, device, precision, …); empty for a target without it.

        Where the metrics redirect, the fact ``metrics`` says where to. Raise MeasurementError where they cannot be read.
        """
        asked = self.metrics_url
        if asked is None:
            return {}
        with self.client(PROBE_TIMEOUT_S, asked) as client:
            found = find(client, asked, elsewhere=not self.headers)
        info = next((dict(series.labels) for series in found.scrape.values if series.name == INFO), {})
        if found.url == asked:
            return info
        led, start = (url.removeprefix(self.base_url) for url in (found.url, asked))
        return {**info, "metrics": f"{led}, where {start} redirects"}


class Target(Protocol):
    """A description of what is under test; any object of this shape will do."""

    @property
    def spec(self) -> str: ...  # noqa: D102 - see above

    def start(self, directory: Path) -> RunningTarget:
        """Start it, wait until it is ready, keep its logs in ``directory``; raise TargetError where it does not get ready."""
        ...
