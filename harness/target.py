"""What is under test: a program that the harness starts, or an address that it is given.

Stands between :mod:`tailgate.harness.target_spec`, which makes one of what a user wrote, and :mod:`tailgate.harness.launch`. A target
is a frozen description; ``start`` makes a running target of it. Nothing here sends load or reads metrics.
"""

import abc
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self
from urllib.parse import urlsplit

import httpx

from tailgate.harness.asking import asking_client
from tailgate.harness.errors import TargetError, UsageError
from tailgate.harness.launch import HOST, Launch, ServerProcess
from tailgate.harness.readiness import PROBE_TIMEOUT_S, probe, wait_until_ready
from tailgate.harness.scrape import MetricNames, fetch
from tailgate.harness.secrecy import basic_authorization

INFO = "tailgate_info"
DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class TargetSettings:
    """What a specification leaves open.

    Attributes:
        environment: variables for a target that is started, added to those of this process.
        readiness_path: answers 2xx once the target takes load.
        metrics_path: its Prometheus metrics; None where it has none: the server's criteria are then left out.
        metric_names: what it calls its metrics.
        ready_timeout_s: how long it may take to become ready.
        stop_timeout_s: from TERM to KILL.
        directory: where a command runs; None for the current directory.
        python: the interpreter that runs the service.
        service: the module that it runs.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    readiness_path: str = "/health/ready"
    metrics_path: str | None = "/metrics"
    metric_names: MetricNames = field(default_factory=MetricNames)
    ready_timeout_s: float = 120.0
    stop_timeout_s: float = 30.0
    directory: Path | None = None
    python: str = sys.executable
    service: str = "tailgate.service"

    def __post_init__(self) -> None:
        """Refuse a path that is not one."""
        for name in ("readiness_path", "metrics_path"):
            path = getattr(self, name)
            if path is not None and not path.startswith("/"):
                raise UsageError(f"the target's {name} must start with '/', got {path!r}")


class RunningTarget(abc.ABC):
    """A target that takes load; a context manager that stops it.

    Attributes:
        spec: the specification that it came from.
        settings: what the specification left open.
    """

    def __init__(self, spec: str, settings: TargetSettings) -> None:
        self.spec = spec
        self.settings = settings

    def __enter__(self) -> Self:
        """Return the target, which runs already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
        """End the server, start a fresh one and wait until it is ready; its port changes.

        Raises:
            TargetError: it did not become ready, or is not the harness's to restart.
        """

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
        return ()

    @property
    def tls(self) -> bool:
        """Whether requests are sent encrypted."""
        return urlsplit(self.base_url).scheme == "https"

    @property
    def host(self) -> str:
        """Name or address to connect to."""
        return urlsplit(self.base_url).hostname or HOST

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
        """Return how the target describes itself (model, device, precision, …): the labels of ``tailgate_info``.

        Empty for a target without metrics, or without that one.

        Raises:
            MeasurementError: its metrics cannot be read.
        """
        if self.metrics_url is None:
            return {}
        with asking_client(PROBE_TIMEOUT_S, self.headers) as client:
            values = fetch(client, self.metrics_url, self.prefix).values
        return next((dict(series.labels) for series in values if series.name == INFO), {})


class Target(Protocol):
    """A description of what is under test; any object of this shape will do.

    Attributes:
        spec: the specification that it came from.
    """

    @property
    def spec(self) -> str: ...  # noqa: D102 - see above

    def start(self, directory: Path) -> RunningTarget:
        """Start it, wait until it is ready, and keep its logs in ``directory``.

        Raises:
            TargetError: it did not become ready.
        """
        ...


@dataclass(frozen=True, slots=True)
class CommandTarget:
    """A program that the harness starts and ends.

    Attributes:
        spec: the specification that it came from.
        launch: its command line and environment.
        settings: what the specification left open.
    """

    spec: str
    launch: Launch
    settings: TargetSettings

    def start(self, directory: Path) -> RunningTarget:
        """Start it, wait until it is ready, and keep its logs in ``directory`` as ``server-1.log`` and so on."""
        running = RunningCommand(self, directory)
        running.restart()
        return running


class RunningCommand(RunningTarget):
    """A program that the harness started."""

    def __init__(self, target: CommandTarget, directory: Path) -> None:
        super().__init__(target.spec, target.settings)
        self._launch = target.launch
        self._directory = directory
        self._starts = 0
        self._server: ServerProcess | None = None

    @property
    def server(self) -> ServerProcess:
        """The process that serves now, or did last."""
        if self._server is None:
            raise TargetError(f"the target {self.spec!r} has not been started")
        return self._server

    @property
    def base_url(self) -> str:
        """Address of the server that runs now."""
        return self.server.base_url

    @property
    def pids(self) -> tuple[int, ...] | None:
        """Its processes now, the command's first."""
        return self.server.pids()

    def restart(self) -> None:
        """End it if it runs, and start it on a fresh port with a fresh log."""
        self.stop()
        self._starts += 1
        self._server = ServerProcess(self._launch, self._directory / f"server-{self._starts}.log")
        self._server.bring_up()

    def stop(self) -> None:
        """Ask it to end, and kill it when it does not."""
        if self._server is not None:
            self._server.stop()

    def alive(self) -> bool:
        """Tell whether its process exists."""
        return self._server is not None and self._server.alive()

    def log_tail(self) -> str:
        """Return the last lines of its present log."""
        return "" if self._server is None else self._server.log_tail()


@dataclass(frozen=True, slots=True)
class UrlTarget:
    """A server that runs already.

    Attributes:
        spec: its address.
        settings: what the specification left open.
    """

    spec: str
    settings: TargetSettings

    def start(self, directory: Path) -> RunningTarget:  # noqa: ARG002 - nothing of it is logged here
        """Wait until it is ready."""
        running = RunningUrl(self.spec, self.settings)
        url = running.base_url + self.settings.readiness_path
        wait_until_ready(
            url,
            self.settings.ready_timeout_s,
            check_alive=lambda: None,
            prefix=running.prefix,
            probe=partial(probe, headers=running.headers),
        )
        return running


class RunningUrl(RunningTarget):
    """A server that somebody else runs."""

    @property
    def base_url(self) -> str:
        """Its address, without the user that it may name."""
        parts = urlsplit(self.spec.rstrip("/"))
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Who asks, where the address names a user."""
        info, at, _ = urlsplit(self.spec).netloc.rpartition("@")
        user, _, password = info.partition(":")
        return (("Authorization", basic_authorization(user, password)),) if at else ()

    @property
    def pids(self) -> None:
        """Never visible."""
        return None

    def restart(self) -> None:
        """Refuse."""
        raise TargetError(f"{self.spec} is a server that runs elsewhere: the harness cannot restart it")

    def stop(self) -> None:
        """Leave it alone."""

    def alive(self) -> bool:
        """Tell whether it says that it is ready."""
        return probe(self.base_url + self.settings.readiness_path, self.headers).ready

    def log_tail(self) -> str:
        """Return nothing: its log is elsewhere."""
        return ""
