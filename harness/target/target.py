"""What is under test: a target is a frozen description, and ``start`` makes a running target of it."""

import abc
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, Self
from urllib.parse import urlsplit

import httpx

from tailgate.harness.target.asking import asking_client
from tailgate.harness.target.exposition import fetch
from tailgate.harness.target.launch import HOST
from tailgate.harness.target.readiness import PROBE_TIMEOUT_S
from tailgate.harness.target.settings import TargetSettings

INFO = "tailgate_info"
DEFAULT_PORTS = {"http": 80, "https": 443}


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

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Name and value of each header that every request to it carries, whoever sends it."""
        return self.settings.headers

    @property
    def socket_path(self) -> Path | None:
        """The Unix socket that it listens on; None where it listens on a port."""
        return None

    def client(self, timeout_s: float) -> httpx.Client:
        """Return a client that asks it, for whatever is not measured; a context manager."""
        # Metrics may be at an https address beside a target that is not.
        https = self.tls or (self.metrics_url or "").startswith("https://")
        return asking_client(
            timeout_s, self.headers, self.settings.trust if https else None, self.socket_path
        )

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
        path = self.settings.metrics_path
        return None if path is None else self.base_url + path

    def facts(self) -> Mapping[str, str]:
        """Return the labels of ``tailgate_info`` (model, device, precision, …); empty for a target without it.

        Raise MeasurementError where its metrics cannot be read.
        """
        if self.metrics_url is None:
            return {}
        with self.client(PROBE_TIMEOUT_S) as client:
            values = fetch(client, self.metrics_url, self.prefix).values
        return next((dict(series.labels) for series in values if series.name == INFO), {})


class Target(Protocol):
    """A description of what is under test; any object of this shape will do."""

    @property
    def spec(self) -> str: ...  # noqa: D102 - see above

    def start(self, directory: Path) -> RunningTarget:
        """Start it, wait until it is ready, keep its logs in ``directory``; raise TargetError where it does not get ready."""
        ...
