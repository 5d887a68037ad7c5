"""What a command of ``tailgate`` asks of the pytest run that it starts, beyond options, and what that run came to.

The gate finds it among the plugins of that one run.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tailgate.harness.options.settings import GateSettings
from tailgate.harness.results.run import RunResult


@dataclass(eq=False)
class GateCommand:
    """A plugin of pytest. The attributes below the line are set by the run."""

    alone: bool = False  # the run is of one scenario
    looks: tuple[int, ...] | None = None  # good blocks at each look of a comparison; None for the usual
    tells: bool = False  # progress is printed wherever output goes, and not only to a terminal
    reports: bool = True  # the summary is printed
    plugins: Mapping[str, object] = field(default_factory=dict)  # further plugins of the harness, by name
    # Raises UsageError for settings that the command does not take, before anything is prepared.
    check: Callable[[GateSettings], None] = lambda _: None

    settings: GateSettings | None = None  # None where they were refused
    result: RunResult | None = None  # None where it measured nothing
    directory: Path | None = None
    refused: bool = False  # a test asked for what cannot be run
    interrupted: bool = False  # by a key, and not by pytest itself

    @classmethod
    def of(cls, config: pytest.Config) -> "GateCommand":
        """Return the one that a run was started with; one that asks for nothing where pytest was called itself."""
        return next((one for one in config.pluginmanager.get_plugins() if isinstance(one, cls)), cls())

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Remember that a key was pressed; pytest's own interruptions are of other classes."""
        self.interrupted = self.interrupted or excinfo.type is KeyboardInterrupt
