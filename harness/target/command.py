"""A target that the harness starts and ends: a program, by its command line."""

from dataclasses import dataclass
from pathlib import Path

from tailgate.harness.errors import TargetError
from tailgate.harness.target.launch import Launch, ServerProcess
from tailgate.harness.target.settings import TargetSettings
from tailgate.harness.target.target import RunningTarget


@dataclass(frozen=True, slots=True)
class CommandTarget:
    """A program that the harness starts and ends."""

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
