"""Targets, and their specifications: what a user writes for the thing under test.

They come through the hook ``tailgate_target``; the three kinds of this module use it as anybody's do::

    service:MODEL=demo,MAX_BATCH_SIZE=1   this project's service, with TAILGATE_MODEL and TAILGATE_MAX_BATCH_SIZE set
    command:python app.py --port {port}   any program that listens where it is told; {python} is this interpreter
    http://host:port/api/v1               a server that runs already; every path begins with /api/v1
    unix:/run/app.sock:/api/v1            the same behind a Unix socket; the path may be left out
"""

import shlex
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tailgate.harness.errors import TargetError, UsageError
from tailgate.harness.options.settings import SERVICE_PREFIX
from tailgate.harness.secrecy import basic_authorization
from tailgate.harness.target.launching.launch import Launch
from tailgate.harness.target.launching.process import HOST, LONGEST_SOCKET, SOCKET_URL, ServerProcess
from tailgate.harness.target.launching.readiness import Accepts, Check, wait_until_ready
from tailgate.harness.target.launching.ready_path import ReadyPath, probe
from tailgate.harness.target.settings import TargetSettings
from tailgate.harness.target.target import RunningTarget, Target


@dataclass(frozen=True, slots=True)
class CommandTarget:
    """A program that the harness starts and ends."""

    spec: str
    launch: Launch
    settings: TargetSettings

    def start(self, directory: Path) -> RunningTarget:
        """Start it, wait until it is ready, and keep its logs in ``directory`` as ``server-1.log`` and so on."""
        running = _RunningCommand(self, directory)
        running.restart()
        return running


class _RunningCommand(RunningTarget):
    def __init__(self, target: CommandTarget, directory: Path) -> None:
        super().__init__(target.spec, target.settings)
        self._launch = target.launch
        self._directory = directory
        self._starts = 0
        self.server = self._fresh()

    def _fresh(self) -> ServerProcess:
        return ServerProcess(self._launch, self._directory / f"server-{self._starts}.log")

    @property
    def base_url(self) -> str:
        return self.server.base_url

    @property
    def socket_path(self) -> Path | None:
        return self.server.socket_path

    @property
    def metrics_url(self) -> str | None:
        path, port = self.settings.metrics_path, self.server.metrics_port
        return super().metrics_url if path is None or port is None else f"http://{HOST}:{port}{path}"

    @property
    def pids(self) -> tuple[int, ...] | None:
        return self.server.pids()

    def restart(self) -> None:
        self.stop()
        self._starts += 1
        self.server = self._fresh()
        self.server.bring_up()

    def stop(self) -> None:
        self.server.stop()

    def alive(self) -> bool:
        return self.server.alive()

    def log_tail(self) -> str:
        return self.server.log_tail()


@dataclass(frozen=True, slots=True)
class UrlTarget:
    """A server that runs already, at an address, or at a Unix socket: its address then says what requests name."""

    spec: str
    settings: TargetSettings
    socket_path: Path | None = None
    address: str = ""  # where it is not the specification itself

    def start(self, directory: Path) -> RunningTarget:  # noqa: ARG002 - nothing of it is logged here
        """Wait until it is ready."""
        running = RunningUrl(self.spec, self.settings, self.socket_path, self.address)
        wait_until_ready([running.check()], self.settings.ready_timeout_s, check_alive=lambda: None)
        return running


class RunningUrl(RunningTarget):
    """A server that somebody else runs."""

    def __init__(
        self, spec: str, settings: TargetSettings, socket_path: Path | None = None, address: str = ""
    ) -> None:
        super().__init__(spec, settings)
        self._socket_path = socket_path
        self._address = address or spec

    @property
    def base_url(self) -> str:
        """Its address, without the user that it may name."""
        parts = urlsplit(self._address.rstrip("/"))
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

    @property
    def socket_path(self) -> Path | None:
        """The Unix socket that it listens on."""
        return self._socket_path

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Those of the options, and who asks, where the address names a user."""
        info, at, _ = urlsplit(self.spec).netloc.rpartition("@")
        user, _, password = info.partition(":")
        own = (("Authorization", basic_authorization(user, password)),) if at else ()
        return (*self.settings.headers, *own)

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
        path = self.settings.readiness_path
        if path is None:
            return not self.refused_connection()
        try:
            return probe(self.base_url + path, self.client).is_success
        except httpx.RequestError:
            return False

    def check(self) -> Check:
        """Return what says that it takes load."""
        settings = self.settings
        if settings.readiness_path is None:
            return Accepts(self.base_url, self.refused_connection)
        return ReadyPath(
            self.base_url,
            settings.readiness_path,
            partial(probe, client=self.client),
            settings.tell,
            prefix=self.prefix,
            guessed=settings.readiness_guessed,
        )

    def log_tail(self) -> str:
        """Return nothing: its log is elsewhere."""
        return ""


def parse_target(spec: str, settings: TargetSettings) -> Target | None:
    """Return the target that a specification of one of the three kinds describes; None for any other."""
    kind, colon, rest = spec.partition(":")
    if kind == "service":
        return _service(spec, rest, settings)
    if kind == "command" and colon:
        return _program(spec, rest, settings)
    if kind == "unix" and colon:
        return _socket(spec, rest, settings)
    return _address(spec, settings) if spec.startswith(("http://", "https://")) else None


def _service(spec: str, options: str, settings: TargetSettings) -> Target:
    """Take ``KEY=VALUE,…``; keys may leave out ``TAILGATE_``, and values hold no comma."""
    environment = dict(settings.environment)
    for option in filter(None, options.split(",")):
        key, equals, value = option.partition("=")
        if not key.strip() or not equals:
            raise UsageError(f"the target {spec!r} holds {option!r}; expected service:KEY=VALUE,KEY=VALUE")
        environment[SERVICE_PREFIX + key.strip().upper().removeprefix(SERVICE_PREFIX)] = value
    environment[f"{SERVICE_PREFIX}FD"] = "{fd}"
    return _command(
        spec, (settings.python, "-P", "-m", settings.service), replace(settings, environment=environment)
    )


def _program(spec: str, line: str, settings: TargetSettings) -> Target:
    try:
        words = (word.replace("{python}", settings.python) for word in shlex.split(line))
        return _command(spec, tuple(words), settings)
    except ValueError as error:  # an open quotation
        raise UsageError(f"the target {spec!r} cannot be split into arguments: {error}") from error


def _socket(spec: str, rest: str, settings: TargetSettings) -> Target:
    name, _, prefix = rest.partition(":")
    if not name.startswith("/") or not (prefix.startswith("/") or rest == name):
        raise UsageError(
            f"the target {spec!r} is not a socket; expected unix:/PATH/OF/SOCKET, or unix:/PATH/OF/SOCKET:/api/v1 where every "
            "path begins with /api/v1"
        )
    if (length := len(name.encode())) > LONGEST_SOCKET:
        raise UsageError(
            f"the target {spec!r} names a socket by {length} bytes, and the system takes {LONGEST_SOCKET}; give it a "
            "shorter path"
        )
    address = SOCKET_URL + prefix
    _refuse_address(spec, address, settings)
    return UrlTarget(spec, settings, Path(name), address)


def _address(spec: str, settings: TargetSettings) -> Target:
    _refuse_address(spec, spec, settings)
    return UrlTarget(spec, settings)


def _refuse_address(spec: str, address: str, settings: TargetSettings) -> None:
    if mark := next((mark for mark in "?#" if mark in address), None):
        raise UsageError(
            f"the target {spec!r} holds {mark!r}; expected an address without query and fragment, such as "
            "http://host:port/api, since the paths of requests are put behind it"
        )
    try:
        parts = urlsplit(address)
        # What httpx cannot make an address of would fail at the first readiness probe.
        usable = bool(parts.hostname) and parts.port != 0 and bool(httpx.URL(address).host)
    except (ValueError, httpx.InvalidURL):  # a port that is no number, a bracket that does not close
        usable = False
    if not usable:
        raise UsageError(
            f"the target {spec!r} is not an address; expected http://host:port or https://host:port, with a path or without"
        )
    if parts.username is not None and "authorization" in {name.lower() for name, _ in settings.headers}:
        raise UsageError(
            "the target's address names a user, and --perf-header says Authorization as well; leave one of them out"
        )
    if settings.ready_log is not None:
        raise UsageError(
            f"--perf-ready-log is for a target that is launched here, and {spec} runs elsewhere, with a log of its own; give "
            "--perf-readiness-path"
        )


def _command(spec: str, command: tuple[str, ...], settings: TargetSettings) -> CommandTarget:
    launch = Launch(
        command=command,
        environment=settings.environment,
        directory=settings.directory,
        readiness_path=settings.readiness_path,
        ready_timeout_s=settings.ready_timeout_s,
        stop_timeout_s=settings.stop_timeout_s,
        headers=settings.headers,
        readiness_guessed=settings.readiness_guessed,
        ready_log=settings.ready_log,
        tell=settings.tell,
    )
    if launch.names("{metrics_port}") and not (settings.metrics_path or "/").startswith("/"):
        raise UsageError(
            f"the command {' '.join(command)!r} is told {{metrics_port}}, so its metrics are there, and --perf-metrics-path="
            f"{settings.metrics_path} names another place; give their path alone, such as /metrics"
        )
    return CommandTarget(spec, launch, settings)
