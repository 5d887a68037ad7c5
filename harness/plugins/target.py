"""A plugin's target, held to its shape when it is started: what it lacks is said then, and not in the middle of a run."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tailgate.harness.errors import HarnessError, TargetError
from tailgate.harness.target.settings import TargetSettings
from tailgate.harness.target.target import RunningTarget, Target

METHODS = ("restart", "stop", "alive", "log_tail", "facts", "client", "__enter__", "__exit__")
# Read once and for all; what only a target that runs can say may be asked again.
ATTRIBUTES: dict[str, tuple[type, ...]] = {
    "spec": (str,),
    "settings": (TargetSettings,),
    "base_url": (str,),
    "host": (str,),
    "prefix": (str,),
    "port": (int,),
    "tls": (bool,),
    "headers": (tuple,),
    "socket_path": (Path, type(None)),
    "pids": (tuple, type(None)),
    "metrics_url": (str, type(None)),
}


@dataclass(frozen=True, slots=True)
class CheckedTarget:
    """A target of a plugin, and whose it is."""

    target: Target
    owner: str

    @property
    def spec(self) -> str:
        """The specification that it came from."""
        return self.target.spec

    @property
    def acts(self) -> tuple[str, ...]:
        """What it can do while a phase is sent."""
        return tuple(getattr(self.target, "acts", ()))

    def start(self, directory: Path) -> RunningTarget:
        """Start it; what runs must be of the shape of :class:`RunningTarget`."""
        who = f"{self.owner}: the target {self.spec!r}"
        try:
            running = self.target.start(directory)
        except HarnessError:
            raise
        except Exception as error:
            raise TargetError(f"{who}: start() raised {type(error).__name__}: {error}") from error
        if lacking := _lacks(running):
            with contextlib.suppress(Exception):
                running.stop()
            raise TargetError(
                f"{who}: start() gave {running!r}, expected a harness.target.target.RunningTarget: {lacking}"
            )
        return running


def _lacks(running: Any) -> str:
    for name in METHODS:
        if not callable(getattr(running, name, None)):
            return f"it has no method {name}()"
    for name, kinds in ATTRIBUTES.items():
        try:
            value = getattr(running, name)
        except Exception as error:  # noqa: BLE001 - a property of a plugin may raise anything
            return f"its {name} cannot be read: {type(error).__name__}: {error}"
        if not isinstance(value, kinds):
            return f"its {name} is {value!r}"
    return ""
