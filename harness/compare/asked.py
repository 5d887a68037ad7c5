"""What the user asked to be compared: the sides, the lenses, the payloads, and how each side is started.

First step of a comparison, before anything is checked out or started: whatever cannot be is refused here.
"""

import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence

from tailgate.harness.compare.arms import Side, read_side, with_defaults
from tailgate.harness.compare.blocks.schedule import Arm
from tailgate.harness.compare.decision.design import plan_design
from tailgate.harness.compare.lens import LENSES, override
from tailgate.harness.compare.load import CAPACITY, ComparisonLoad
from tailgate.harness.errors import UsageError
from tailgate.harness.options.settings import GateSettings
from tailgate.harness.results.comparison import Design, Lens
from tailgate.harness.scenario.scenario import Scenario
from tailgate.harness.target.settings import TargetSettings

# Seen only where they are asked for, since looking costs load of its own.
ON_REQUEST = (CAPACITY,)
# What of a server that runs elsewhere cannot be seen.
UNSEEN_ELSEWHERE = ("cpu", "memory", "start_up")


def find_sides(settings: GateSettings, known: Callable[[str], bool]) -> Mapping[Arm, Side]:
    """Return what the user compares.

    Args:
        settings: options, with both sides.
        known: tells whether some plugin knows a target of this specification.

    Raises:
        UsageError: a side is nothing that can be started.
    """
    assert settings.against is not None
    of_head = read_side(Arm.HEAD, settings.head, settings.target, settings.root, known)
    base = read_side(Arm.BASE, settings.against, settings.target, settings.root, known)
    python = settings.against_python
    if python is not None and (base.revision is None or not base.is_service):
        raise UsageError(
            f"--perf-against-python is for a revision of the service, and the base is {base.given!r} as {base.spec}; "
            "a command names its interpreter itself"
        )
    if python is not None and shutil.which(python) is None:
        raise UsageError(f"--perf-against-python: there is no program {python}")
    return {Arm.BASE: base, Arm.HEAD: of_head}


def chosen_lenses(
    settings: GateSettings, sides: Mapping[Arm, Side]
) -> tuple[tuple[Lens, ...], tuple[str, ...]]:
    """Return through which lenses both sides are seen, and a note on each that is left out though it gates.

    Raises:
        UsageError: a setting cannot be read, or asks for a lens that a side cannot be seen through.
    """
    asked = {text.partition("=")[0].partition(".")[0].strip() for text in settings.lens}
    lenses = override(LENSES, settings.lens)
    elsewhere = " and ".join(arm.value for arm, side in sides.items() if side.is_address)
    unseen = set(UNSEEN_ELSEWHERE) if elsewhere else set()
    if refused := sorted(asked & unseen):
        raise UsageError(
            f"--perf-lens: {refused[0]!r} cannot be seen: {elsewhere} runs elsewhere, and so do its processes"
        )
    unseen |= set(ON_REQUEST) - asked
    notes = tuple(
        f"{lens.title} is left out: {elsewhere} runs elsewhere, and its processes cannot be seen"
        for lens in lenses
        if lens.name in unseen and lens.gates
    )
    return tuple(lens for lens in lenses if lens.name not in unseen), notes


def chosen_design(
    settings: GateSettings, lenses: Sequence[Lens], scenarios: int, looks: Sequence[int] | None
) -> Design:
    """Return when it is looked at the blocks.

    Args:
        settings: options, with the blocks that are allowed.
        lenses: of the comparison.
        scenarios: over how many the error that is allowed is split.
        looks: good blocks at each look; None for the usual, which fewer blocks than the first has cannot reach.

    Raises:
        UsageError: no lens gates, or the allowed blocks end before the first look.
    """
    design = plan_design(lenses, scenarios=scenarios, blocks=looks)
    first = design.looks[0].blocks
    if looks is None and settings.blocks is not None and settings.blocks < first:
        raise UsageError(
            f"--perf-blocks: {settings.blocks} blocks end before the first look, which needs {first} good ones, so that "
            f"nothing could come of them but INCONCLUSIVE; allow {first} or more, some of which may be void"
        )
    return design


def side_settings(
    side: Side, scenario: Scenario, settings: GateSettings, target: TargetSettings
) -> TargetSettings:
    """Return what a side's target is started with, before what its revision needs: the scenario's wishes, its Python."""
    defaults = dict(scenario.environment) if isinstance(scenario, ComparisonLoad) else {}
    made = with_defaults(target, side, defaults)
    said_by = "target" if side.spec == settings.target else {Arm.BASE: "against", Arm.HEAD: "head"}[side.arm]
    made = dataclasses.replace(made, directory=settings.launch_folder(said_by))
    if side.arm is Arm.BASE and settings.against_python is not None:
        made = dataclasses.replace(made, python=str(settings.against_python))
    return made


def wanted_processors(scenario: Scenario, settings: GateSettings, sides: Mapping[Arm, Side]) -> int | None:
    """Return how many processors the servers shall share: what the user says, else what the load says of a service.

    Raises:
        UsageError: the user says so of a server that runs elsewhere: only the other side would be kept to them.
    """
    if settings.processors is not None:
        elsewhere = " and ".join(arm.value for arm, side in sides.items() if side.is_address)
        if settings.processors and elsewhere:
            raise UsageError(
                f"--perf-processors: {elsewhere} runs elsewhere, where its processes cannot be moved; leave it out, or give 0"
            )
        return settings.processors
    if not isinstance(scenario, ComparisonLoad) or payload_source(scenario, settings) != scenario.source:
        # Other payloads may be dear to decode, which a service does beside computing.
        return None
    return scenario.processors if all(side.is_service for side in sides.values()) else None


def payload_source(scenario: Scenario, settings: GateSettings) -> str:
    """Return where payloads come from: what the user says, else what the scenario says."""
    said = "payloads" in settings.given | settings.said_in_ini
    if not said and isinstance(scenario, ComparisonLoad) and scenario.source is not None:
        return scenario.source
    return settings.payloads
