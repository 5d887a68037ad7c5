"""A fleet as a target: ``haproxy:2:service:…``, ``envoy:3:command:…``: a gateway, so many replicas, and one free place.

Every place has its port, which the gateway knows from the start, so that nobody tells it of a rollout but its own probes.
"""

import concurrent.futures
import contextlib
import random
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tailgate.harness.errors import MeasurementError, TargetError, UsageError
from tailgate.harness.target.fleet import acts, books
from tailgate.harness.target.fleet.books import FleetBook
from tailgate.harness.target.fleet.gateways import GATEWAYS, Gateway
from tailgate.harness.target.fleet.replica import Replica
from tailgate.harness.target.launching.launch import Launch
from tailgate.harness.target.launching.process import HOST, ServerProcess
from tailgate.harness.target.settings import TargetSettings
from tailgate.harness.target.spec import CommandTarget, parse_target
from tailgate.harness.target.target import RunningTarget

MOST_REPLICAS = 64
_SPEC = re.compile(rf"({'|'.join(GATEWAYS)}):(\d+):(.+)", re.DOTALL)
# Below those that the kernel gives to outgoing connections, which could take a port while its place is free.
PORTS = range(20_000, 32_768)
# For the gateway's log to hold what it passed on.
FLUSH_S = 10.0
FLUSH_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class FleetTarget:
    """A server that is launched several times, behind a gateway."""

    spec: str
    gateway: Gateway
    size: int
    server: CommandTarget
    acts: tuple[str, ...] = tuple(acts.ACTS)

    def start(self, directory: Path) -> RunningTarget:
        """Start all replicas and the gateway, wait until they are ready, and keep their logs in ``directory``."""
        running = RunningFleet(self, directory)
        running.restart()
        return running


class RunningFleet(RunningTarget):
    """Replicas in their places, and the gateway before them."""

    def __init__(self, target: FleetTarget, directory: Path) -> None:
        # Whose metrics would a gateway's be? Each replica is asked for its own, at its own port.
        super().__init__(target.spec, replace(target.server.settings, metrics_path=None))
        self._target = target
        self._directory = directory.resolve()
        self._entrance, *self._ports = free_ports(target.size + 2)
        self._running: dict[int, Replica] = {}
        self._ended: list[Replica] = []
        self._gateway: ServerProcess | None = None

    @property
    def base_url(self) -> str:
        """Of the gateway."""
        return f"http://{HOST}:{self._entrance}"

    @property
    def pids(self) -> tuple[int, ...]:
        """Those of the replicas, then those of the gateway."""
        servers = [replica.server for replica in tuple(self._running.values())]
        return tuple(
            pid for server in (*servers, self._gateway) if server is not None for pid in server.pids()
        )

    def restart(self) -> None:
        """Start all afresh, at the same ports."""
        self.stop()
        try:
            for place in range(self._target.size):
                self._start(place)
            for replica in self._running.values():
                replica.server.wait_ready()
            self._gateway = self._started_gateway()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End all."""
        with contextlib.ExitStack() as stack:
            for replica in self._running.values():
                stack.callback(replica.server.stop)
            if self._gateway is not None:
                stack.callback(self._gateway.stop)
        self._running.clear()
        self._gateway = None

    def alive(self) -> bool:
        """Tell whether the gateway and as many replicas as there should be are there."""
        servers = [replica.server for replica in tuple(self._running.values())]
        there = self._gateway is not None and self._gateway.alive() and len(servers) >= self._target.size
        return there and all(server.alive() for server in servers)

    def log_tail(self) -> str:
        """Return the end of the log of a server that has ended, or else of the gateway."""
        servers = [replica.server for replica in tuple(self._running.values())]
        ended = [server for server in servers if not server.alive()]
        shown = ended[0] if ended else self._gateway
        return "" if shown is None else shown.log_tail()

    # What acts are made of.

    @property
    def places(self) -> tuple[int, ...]:
        """The places where a replica runs, in their order."""
        return tuple(sorted(self._running))

    @property
    def free_place(self) -> int:
        """The first place where none runs."""
        return min(set(range(len(self._ports))) - set(self._running))

    def add(self, place: int) -> None:
        """Start a replica in a free place, and wait until it is ready."""
        self._start(place).server.wait_ready()

    def retire(self, place: int) -> None:
        """Have a replica end by itself."""
        self._take(place).retire()

    def kill(self, place: int) -> None:
        """Kill a replica."""
        self._take(place).kill()

    def _take(self, place: int) -> Replica:
        replica = self._running.pop(place)
        self._ended.append(replica)
        return replica

    def _start(self, place: int) -> Replica:
        server = self._target.server
        log = self._directory / f"replica-{place}.log"
        replica = Replica(place, self._ports[place], server.launch, server.settings, log)
        self._running[place] = replica
        replica.start()
        return replica

    def _started_gateway(self) -> ServerProcess:
        gateway, settings = self._target.gateway, self.settings
        file = self._directory / f"{gateway.name}.conf"
        log = self._directory / gateway.log
        file.write_text(gateway.configured(self._entrance, self._ports, settings.readiness_path, log))
        launch = Launch(
            command=tuple(word.replace("{file}", str(file)) for word in gateway.command),
            # It reads its port from the file; a launched program is told it somewhere.
            environment={"PORT": "{port}"},
            readiness_path=settings.readiness_path,
            ready_timeout_s=settings.ready_timeout_s,
            stop_timeout_s=0.0,
            headers=settings.headers,
        )
        process = ServerProcess(launch, self._directory / f"{gateway.name}.log", self._entrance)
        process.bring_up()
        return process

    # What is done, and written down, while a phase is sent.

    @contextlib.contextmanager
    def meanwhile(self, act: str, phase: str, folder: Path) -> Iterator[None]:
        """Do an act beside the load, and keep the books of the phase; MeasurementError where the load ends before the act."""
        if act not in acts.ACTS:
            raise TargetError(f"{self.spec} does nothing called {act!r} under load: {', '.join(acts.ACTS)}")
        self._ended.clear()
        for replica in self._running.values():
            replica.begin()
        log = self._directory / self._target.gateway.log
        written, ended = log.stat().st_size, threading.Event()
        began_ns = time.monotonic_ns()
        with concurrent.futures.ThreadPoolExecutor(1, "fleet") as pool:
            acting = pool.submit(self._timed, act, ended)
            try:
                yield
                in_time = acting.done()
            except Exception:
                raise
            except BaseException:
                # Nobody waits until a replica is ready.
                ended.set()
                self.stop()
                raise
            finally:
                ended.set()
        ended_ns = acting.result()
        if not in_time:
            raise MeasurementError(
                f"phase {phase!r}: to {act} took {(ended_ns - began_ns) / 1e9:.0f} s at least, and the load was over before; "
                "give it more time (budget length)"
            )
        for replica in self._running.values():
            replica.finish()
        self._wait_for_log(log)
        with log.open("rb") as file:
            file.seek(written)
            lines = file.read()
        known = (*self._ended, *self._running.values())
        replicas = tuple(replica.book() for replica in known)
        ports = tuple(self._ports)
        book = FleetBook(phase, act, self._target.gateway.name, ports, began_ns, ended_ns, replicas)
        books.keep(book, lines, folder)

    def _timed(self, act: str, ended: threading.Event) -> int:
        """Do an act; return when it was over. Once the load has ended, it waits for nothing more."""
        acts.ACTS[act](self, ended.wait)
        return time.monotonic_ns()

    def _wait_for_log(self, log: Path) -> None:
        """Wait until the gateway's log has a request that was sent after all others: its lines may be written late."""
        mark = f"{random.getrandbits(64):016x}"
        path = self.settings.readiness_path or "/"
        with self.client(FLUSH_S) as client:
            client.get(self.base_url + path, headers={"x-request-id": mark})
        deadline_s = time.monotonic() + FLUSH_S
        while mark.encode() not in log.read_bytes():
            if time.monotonic() >= deadline_s:
                raise MeasurementError(
                    f"the gateway's log {log} has no line of a request {FLUSH_S:g} s after it"
                )
            time.sleep(FLUSH_POLL_S)


def parse_fleet(spec: str, settings: TargetSettings) -> FleetTarget | None:
    """Return the fleet that a specification describes; None for another kind of target."""
    kind = spec.partition(":")[0]
    if kind not in GATEWAYS:
        return None
    found = _SPEC.fullmatch(spec)
    size = 0 if found is None else int(found[2])
    server = None if found is None else parse_target(found[3], settings)
    if not 2 <= size <= MOST_REPLICAS or not isinstance(server, CommandTarget):
        raise UsageError(
            f"the target {spec!r} is not a fleet; expected {kind}:N: before a target that is launched, with N from 2 to "
            f"{MOST_REPLICAS}, such as {kind}:2:service or {kind}:2:command:app --port {{port}}"
        )
    if server.launch.names("{socket}"):
        raise UsageError(
            f"the target {spec!r}: a gateway asks replicas at ports; put {{port}} or {{fd}} for {{socket}}"
        )
    if not (settings.metrics_path or "/").startswith("/"):
        raise UsageError(
            f"the target {spec!r}: each replica is asked for its own metrics, and --perf-metrics-path={settings.metrics_path} "
            "is one place for all; give a path, or {metrics_port} in the command"
        )
    gateway = GATEWAYS[kind]
    if shutil.which(gateway.command[0]) is None:
        raise UsageError(
            f"the target {spec!r} starts the program {gateway.command[0]!r}, which is not on the path; {gateway.install}"
        )
    return FleetTarget(spec, gateway, size, server)


def free_ports(count: int) -> tuple[int, ...]:
    """Return ports that nobody listens at; another program may take one before it is used."""
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as one, contextlib.suppress(OSError):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind((HOST, port))
            found.append(port)
        if len(found) == count:
            return tuple(found)
    raise TargetError(f"there are no {count} free ports from {PORTS.start} to {PORTS.stop - 1}")
