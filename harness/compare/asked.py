"""What the user asked to be compared; what cannot be is refused here, before anything starts."""

import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence

from tailgate.harness.compare.arms import Side, read_side, with_defaults
from tailgate.harness.compare.blocks.schedule import Arm
from tailgate.harness.compare.decision.design import plan_design
from tailgate.harness.compare.lens import LENSES, override
from tailgate.harness.compare.load import CAPACITY, ComparisonLoad
from tailgate.harness.errors import UsageError
from tailgate.harness.options.sent import chosen_source
from tailgate.harness.options.settings import GateSettings
from tailgate.harness.results.comparison import Design, Lens
from tailgate.harness.scenario.scenario import Scenario
from tailgate.harness.target.settings import TargetSettings

# Lenses on the processes of a server, which cannot be seen elsewhere.
UNSEEN_ELSEWHERE = frozenset({"cpu", "memory", "start_up"})


def find_sides(settings: GateSettings, known: Callable[[str], bool]) -> Mapping[Arm, Side]:
    """Return both sides; ``known`` tells whether some plugin knows a target of this specification.

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
    """Return the lenses of a comparison, and a note on each gating one that is left out.

    Raises:
        UsageError: a setting cannot be read, or asks for a lens on the processes of a server elsewhere.
    """
    asked = {text.partition("=")[0].partition(".")[0].strip() for text in settings.lens}
    lenses = override(LENSES, settings.lens)
    elsewhere = _elsewhere(sides)
    unseen = UNSEEN_ELSEWHERE if elsewhere else frozenset[str]()
    if refused := sorted(asked & unseen):
        raise UsageError(
            f"--perf-lens: {refused[0]!r} cannot be seen: {elsewhere} runs elsewhere, and so do its processes"
        )
    # A probe of capacity costs load of its own.
    unseen |= {CAPACITY} - asked
    notes = tuple(
        f"{lens.title} is left out: {elsewhere} runs elsewhere, and its processes cannot be seen"
        for lens in lenses
        if lens.name in unseen and lens.gates
    )
    return tuple(lens for lens in lenses if lens.name not in unseen), notes


def chosen_design(
    settings: GateSettings, lenses: Sequence[Lens], scenarios: int, looks: Sequence[int] | None
) -> Design:
    """Return when to look at the blocks; ``looks`` are the good blocks at each, None for the usual.

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
    """Return what a side's target is started with: the scenario's wishes, its folder, its Python."""
    defaults = dict(scenario.environment) if isinstance(scenario, ComparisonLoad) else {}
    environment = {**target.environment, **settings.environment_of(side.arm.value)}
    made = with_defaults(dataclasses.replace(target, environment=environment), side, defaults)
    said_by = "target" if side.spec == settings.target else {Arm.BASE: "against", Arm.HEAD: "head"}[side.arm]
    made = dataclasses.replace(made, directory=settings.launch_folder(said_by))
    if side.arm is Arm.BASE and settings.against_python is not None:
        made = dataclasses.replace(made, python=str(settings.against_python))
    return made


def wanted_processors(scenario: Scenario, settings: GateSettings, sides: Mapping[Arm, Side]) -> int | None:
    """Return how many processors the servers share: as the user says, else as the load says of a service.

    Raises:
        UsageError: the user asks for it while a server runs elsewhere.
    """
    if settings.processors is not None:
        elsewhere = _elsewhere(sides)
        if settings.processors and elsewhere:
            raise UsageError(
                f"--perf-processors: {elsewhere} runs elsewhere, where its processes cannot be moved; leave it out, or give 0"
            )
        return settings.processors
    if not isinstance(scenario, ComparisonLoad) or source_of(scenario, settings) != scenario.source:
        # A service decodes beside computing, and other payloads may be costly to decode.
        return None
    return scenario.processors if all(side.is_service for side in sides.values()) else None


def source_of(scenario: Scenario, settings: GateSettings) -> str:
    """Return the user's payloads, else the scenario's."""
    own = scenario.source if isinstance(scenario, ComparisonLoad) else None
    return chosen_source(settings) or own or settings.payloads


def _elsewhere(sides: Mapping[Arm, Side]) -> str:
    return " and ".join(arm.value for arm, side in sides.items() if side.is_address)
