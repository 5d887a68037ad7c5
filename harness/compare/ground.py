"""What all scenarios of a session have in common, and what a comparison of one gives to the results."""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tailgate.harness.compare.blocks.standing import Standing
from tailgate.harness.errors import LoadError, MeasurementError, TargetError
from tailgate.harness.load import Generate, Generator, LoadSettings
from tailgate.harness.load.payloads import Payloads
from tailgate.harness.observe.slot import Watching
from tailgate.harness.options.settings import GateSettings
from tailgate.harness.results.comparison import CUT_SHORT
from tailgate.harness.results.criterion import Waiver
from tailgate.harness.results.run import ArmResult, ScenarioResult
from tailgate.harness.results.slot import SlotResult
from tailgate.harness.scenario.budgets import Budgets
from tailgate.harness.target.settings import TargetSettings
from tailgate.harness.target.target import RunningTarget, Target
from tailgate.harness.units import Unit

# These may be the service's own fault, and stand against it whatever the blocks show.
OF_THE_SERVICE = (TargetError, LoadError, MeasurementError)


@dataclass(frozen=True, slots=True)
class Ground:
    """What all scenarios of a session have in common."""

    settings: GateSettings
    known_target: Callable[[str], bool]  # tells whether some plugin knows a target of this specification
    make_target: Callable[[str, TargetSettings], Target]
    units: Mapping[str, Unit]  # of all measures, by name
    budgets: Budgets
    directory: Path
    run_id: str
    seed: int
    scenarios: int  # over how many the allowed error is split
    payloads: Payloads  # gives those of a source
    connect: Callable[[RunningTarget], LoadSettings]  # how the generator reaches a server
    tell: Callable[[str], None]  # takes a line about what is being done now
    generate: Generate = Generator  # makes who sends a plan
    waivers: tuple[Waiver, ...] = ()  # of all scenarios, with their limits as numbers
    watching: Watching | None = None  # entered while a phase of a checked scenario is sent
    # Takes what a comparison is doing, which changes, and gives what is entered while it runs.
    comparing: Callable[[Standing], contextlib.AbstractContextManager[None]] | None = None
    # Good blocks at each look; None for the design's own. A calibration never looks.
    looks: tuple[int, ...] | None = None
    # Takes what a comparison came to before an exception ended it.
    keep: Callable[["Compared"], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison gives to the results; head is the first arm."""

    scenario: ScenarioResult
    slots: tuple[SlotResult, ...]
    arms: tuple[ArmResult, ...]

    def cut_short(self, unmeasured: ScenarioResult, error: BaseException) -> ScenarioResult:
        """Return the answer of the exception that ended a comparison, with the blocks before it.

        Blocks before an interruption or an error of the harness are sound, and can be judged.
        """
        assert self.scenario.comparison is not None
        text = unmeasured.faults[0].text
        stopped = text if isinstance(error, OF_THE_SERVICE) else CUT_SHORT + text
        return dataclasses.replace(
            unmeasured,
            faults=(*unmeasured.faults, *self.scenario.faults),
            comparison=dataclasses.replace(self.scenario.comparison, stopped=stopped),
            failures=self.scenario.failures,
        )
