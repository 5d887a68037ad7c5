"""Any target behind a proxy that holds its answers: the plugin that puts one before both sides of a drill."""

import dataclasses
import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tailgate.harness.drill.case import CASES
from tailgate.harness.drill.proxy import READY
from tailgate.harness.errors import TargetError
from tailgate.harness.plugins.hookspecs import hookimpl
from tailgate.harness.target.launching.launch import Launch
from tailgate.harness.target.launching.process import ServerProcess
from tailgate.harness.target.settings import TargetSettings
from tailgate.harness.target.target import RunningTarget, Target

# Of a side's environment: the case that its proxy plays.
VARIABLE = "PERF_DRILL"


@dataclass(frozen=True, slots=True)
class PlantedTarget:
    """A target, and the case that is planted into it."""

    target: Target
    case: str

    @property
    def spec(self) -> str:
        """That of the target."""
        return self.target.spec

    def start(self, directory: Path) -> RunningTarget:
        """Start the target, then a proxy before it."""
        return _Planted(self.target.start(directory), self.case, directory)


class _Planted(RunningTarget):
    """What runs, seen through its proxy; its metrics, its processes and its log are its own."""

    def __init__(self, inner: RunningTarget, case: str, directory: Path) -> None:
        # The server's record knows nothing of what a proxy adds: held against the client's, it would contradict it.
        names = dataclasses.replace(inner.settings.metric_names, request_seconds=None)
        super().__init__(inner.spec, dataclasses.replace(inner.settings, metric_names=names))
        self._inner = inner
        self._case = case
        self._directory = directory
        self._starts = 0
        try:
            self._proxy = self._started()
        except BaseException:
            inner.stop()
            raise

    def _started(self) -> ServerProcess:
        inner = self._inner
        if inner.tls:
            raise TargetError(
                f"{inner.spec}: a drill holds answers between client and server, and cannot do so with https"
            )
        to = f"{inner.host}:{inner.port}" if inner.socket_path is None else str(inner.socket_path)
        pids = [f"--pid={pid}" for pid in inner.pids or ()]
        command = (
            sys.executable,
            "-P",
            "-m",
            "tailgate.harness.drill.proxy",
            "--fd={fd}",
            f"--case={self._case}",
            f"--to={to}",
            *pids,
        )
        self._starts += 1
        launch = Launch(command, readiness_path=None, ready_log=READY, stop_timeout_s=0.0)
        proxy = ServerProcess(launch, self._directory / f"proxy-{self._starts}.log")
        proxy.bring_up()
        return proxy

    @property
    def base_url(self) -> str:
        """Of the proxy, with the path prefix of the target."""
        return self._proxy.base_url + urlsplit(self._inner.base_url).path.rstrip("/")

    @property
    def metrics_url(self) -> str | None:
        """Of the target itself."""
        return None if self._inner.socket_path is not None else self._inner.metrics_url

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Of the target itself."""
        return self._inner.headers

    @property
    def pids(self) -> tuple[int, ...] | None:
        """Those of the target and of its proxy, which works for the target where a case says so."""
        inner = self._inner.pids
        return None if inner is None else (*inner, *self._proxy.pids())

    def restart(self) -> None:
        """Restart both."""
        self._proxy.stop()
        self._inner.restart()
        self._proxy = self._started()

    def stop(self) -> None:
        """End both."""
        try:
            self._proxy.stop()
        finally:
            self._inner.stop()

    def alive(self) -> bool:
        """Tell whether both are there."""
        return self._proxy.alive() and self._inner.alive()

    def log_tail(self) -> str:
        """Return the end of the target's log."""
        return self._inner.log_tail()


class Planting:
    """A plugin of the harness: each target whose environment names a case gets a proxy of it."""

    @hookimpl(wrapper=True)
    def tailgate_target(
        self, spec: str, settings: TargetSettings
    ) -> Generator[None, Target | None, Target | None]:
        """Wrap what the other plugins know."""
        del spec
        target = yield
        case = settings.environment.get(VARIABLE)
        return target if target is None or case not in CASES else PlantedTarget(target, case)
