"""What a command of ``tailgate`` asks of the pytest run that it starts, and what that run came to.

``tailgate compare`` and ``tailgate calibrate`` are pytest with options; this is what options cannot say. It is a plugin of
that one run, and the gate finds it there.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest

from tailgate.harness.options.settings import GateSettings
from tailgate.harness.results.run import RunResult


@dataclass(eq=False)
class GateCommand:
    """A plugin of pytest. The attributes below the line are set by the run.

    Attributes:
        alone: the run is of one scenario.
        looks: good blocks at each look of a comparison; None for the usual.
        tells: progress is printed wherever output goes, and not only to a terminal.
        reports: the summary is printed.
        settings: the options; None where they were refused.
        result: what the run came to; None where it measured nothing.
        directory: of the run.
        refused: a test asked for what cannot be run.
        interrupted: by a key, and not by pytest itself.
    """

    alone: bool = False
    looks: tuple[int, ...] | None = None
    tells: bool = False
    reports: bool = True

    settings: GateSettings | None = None
    result: RunResult | None = None
    directory: Path | None = None
    refused: bool = False
    interrupted: bool = False

    @classmethod
    def of(cls, config: pytest.Config) -> "GateCommand":
        """Return the one that a run was started with; one that asks for nothing where pytest was called itself."""
        return next((one for one in config.pluginmanager.get_plugins() if isinstance(one, cls)), cls())

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Remember that a key was pressed; pytest's own interruptions are of other classes."""
        self.interrupted = self.interrupted or excinfo.type is KeyboardInterrupt
