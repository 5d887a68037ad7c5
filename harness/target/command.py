"""A target that the harness starts and ends: a program, by its command line."""

from dataclasses import dataclass
from pathlib import Path

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
        self.server = self._fresh()

    def _fresh(self) -> ServerProcess:
        return ServerProcess(self._launch, self._directory / f"server-{self._starts}.log")

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
        self.server = self._fresh()
        self.server.bring_up()

    def stop(self) -> None:
        """Ask it to end, and kill it when it does not."""
        self.server.stop()

    def alive(self) -> bool:
        """Tell whether its process exists."""
        return self.server.alive()

    def log_tail(self) -> str:
        """Return the last lines of its present log."""
        return self.server.log_tail()
