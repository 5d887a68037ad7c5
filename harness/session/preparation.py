"""What is wrong with a run is refused here, before anything is started, timed or written.

Only the device and precision of the running target are left to :mod:`tailgate.harness.scenario.budgets`.
"""

import dataclasses
import datetime as dt
import difflib
import os
import shlex
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tailgate.harness.compare.asked import (
    chosen_design,
    chosen_lenses,
    find_sides,
    side_settings,
    source_of,
    wanted_processors,
)
from tailgate.harness.compare.lens import LENSES, find_lens, override
from tailgate.harness.compare.load import comparable_phase
from tailgate.harness.compare.processors import choose_sharing
from tailgate.harness.errors import BudgetError, UsageError
from tailgate.harness.load import LoadSettings
from tailgate.harness.load.payloads import Payloads
from tailgate.harness.load.reach import generator_processor
from tailgate.harness.load.wire.request import encode_request
from tailgate.harness.measures import Measure
from tailgate.harness.measures.measure import asked_by_budgets, units_of
from tailgate.harness.named import find
from tailgate.harness.options.sent import payload_source
from tailgate.harness.options.settings import GateSettings
from tailgate.harness.plugins.manager import Plugins
from tailgate.harness.report import Reporter
from tailgate.harness.results.criterion import Waiver
from tailgate.harness.scenario.budgets import (
    ANY,
    FILE_NAME,
    Budgets,
    check_units,
    find_budgets,
    with_budgeted,
)
from tailgate.harness.scenario.payloads.payload import Payload, settled
from tailgate.harness.scenario.ref import Ref, refs, resolve
from tailgate.harness.scenario.right_answers import expects, with_right_answers
from tailgate.harness.scenario.scenario import Phase, Scenario
from tailgate.harness.scenario.unbudgeted import runs_without
from tailgate.harness.session.budget_run import HEAD
from tailgate.harness.target.fleet.gateways import GATEWAYS
from tailgate.harness.target.fleet.target import FleetTarget
from tailgate.harness.target.settings import TargetSettings, target_settings
from tailgate.harness.target.spec import CommandTarget
from tailgate.harness.target.state import StateCommands, asked_lines, commands_of
from tailgate.harness.target.target import Target
from tailgate.harness.verdict import judge
from tailgate.harness.verdict.waivers import FILE_NAME as WAIVERS
from tailgate.harness.verdict.waivers import read_waivers

# About what one is on a common machine: whether a number makes sense does not depend on it.
NOMINAL_YARDSTICK_S = 0.012


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a run needs, read and checked."""

    settings: GateSettings
    plugins: Plugins
    expected: int  # scenarios that will be run: the error that the run allows itself is split over them
    # Good blocks at each look of a comparison; None for the usual. Others make no run of the gate: the ledger is for
    # those that are judged.
    looks: tuple[int, ...] | None
    measures: tuple[Measure, ...]
    budgets: Budgets
    payloads: Payloads  # of a source
    reporters: tuple[Reporter, ...]
    waivers: tuple[Waiver, ...] = ()


def prepare(
    settings: GateSettings,
    plugins: Plugins,
    scenarios: Iterable[Scenario] = (),
    *,
    expected: int = 1,
    looks: tuple[int, ...] | None = None,
) -> Prepared:
    """Read what a run needs, and refuse what cannot run.

    ``scenarios`` are those that are known to be run; a test may bring another of its own later.

    Raises:
        UsageError: an option, a budget, a plugin, a revision or a scenario is wrong.
        TargetError: git cannot tell of a revision.
    """
    chosen = list(scenarios)
    measures, budgets = plugins.measures(), find_budgets(settings.budgets, settings.root, settings.budget)
    target = target_settings(settings, budgets, [one.name for one in chosen], NOMINAL_YARDSTICK_S)
    plugins.generate(settings.generators)
    _refuse_output(settings.output)
    # Of the ini file, it may be, for a comparison another time.
    override(LENSES, settings.lens)
    if settings.against is None:
        made = plugins.target(settings.target, target)
        _refuse_unknown_program(made)
        _refuse_unknown_commands(commands_of(asked_lines(settings), HEAD, made, target, target.directory))
        for scenario in chosen:
            _refuse_idle_acts(scenario, made)
        specs = {settings.target}
        sources = {payload_source(settings)}
    else:
        specs = _refuse_incomparable(settings, plugins, chosen, target, expected, looks)
        sources = {source_of(one, settings) for one in chosen}
    _refuse_idle_trust(settings, specs)
    payloads = Payloads(plugins.payloads, lambda payload: settled(payload, settings))
    for source in sources:
        for payload in payloads(source):
            encode_request(payload, LoadSettings("localhost", 1, headers=target.headers))
    for scenario in chosen:
        judge.refuse_unanswerable(scenario.criteria, scenario.phases, measures)
        _refuse_numbers(scenario, settings, budgets, measures, payloads)
    waivers = read_waivers(settings.root, dt.datetime.now(dt.UTC).date())
    # A test may bring a scenario of its own, whose name nobody knows yet.
    known = plugins.scenarios(settings.gathered) if expected == len(chosen) else None
    _refuse_idle_waivers(waivers, None if known is None else known | {one.name: one for one in chosen})
    return Prepared(
        settings, plugins, expected, looks, measures, budgets, payloads, plugins.reporters(), waivers
    )


def _refuse_idle_waivers(waivers: Iterable[Waiver], known: Mapping[str, Scenario] | None) -> None:
    """Refuse waivers of lenses and scenarios that do not exist; ``known`` is None where that cannot be told of scenarios."""
    for one in waivers:
        if one.lens:
            find_lens(one.lens)
        if known is not None:
            find("scenario", one.scenario, known, f"{WAIVERS}: ")


def _refuse_output(folder: Path) -> None:
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(
            f"--perf-output: cannot write into {folder}: {there} is not a folder that may be written to"
        )


def _refuse_incomparable(
    settings: GateSettings,
    plugins: Plugins,
    scenarios: Iterable[Scenario],
    target: TargetSettings,
    expected: int,
    looks: Sequence[int] | None,
) -> set[str]:
    """Refuse what cannot be compared; return the specifications of both targets."""
    sides = find_sides(settings, plugins.knows_target)
    lenses, _ = chosen_lenses(settings, sides)
    chosen_design(settings, lenses, expected, looks)
    if settings.processors is not None:
        choose_sharing(settings.processors, (), generator_processor(settings), asked=True)
    for scenario in scenarios:
        comparable_phase(scenario)
        wanted_processors(scenario, settings, sides)
        for side in sides.values():
            own = side_settings(side, scenario, settings, target)
            made = plugins.target(side.spec, own)
            if side.revision is None:
                _refuse_unknown_program(made)
            _refuse_unknown_commands(commands_of(asked_lines(settings), side.arm.value, made, own, None))
    return {side.spec for side in sides.values()}


def _refuse_idle_trust(settings: GateSettings, specs: Iterable[str]) -> None:
    """Refuse options on TLS where nothing is asked by https; what a plugin's target does is its own."""
    said = ("ca_file", "insecure", "client_cert", "client_key")
    options = [f"--perf-{name.replace('_', '-')}" for name in said if getattr(settings, name)]
    plain = all(spec.startswith(("http://", "unix:", "command:", "service", *GATEWAYS)) for spec in specs)
    if options and plain and not settings.metrics_path.startswith("https://"):
        raise UsageError(
            f"{', '.join(options)}: for an https:// target, got {' and '.join(sorted(specs))}; leave it out, or give the "
            "target's https:// address"
        )


def _refuse_idle_acts(scenario: Scenario, target: Target) -> None:
    """Refuse a scenario in which the target does what it cannot do."""
    can: Sequence[str] = getattr(target, "acts", ())
    for phase in scenario.phases:
        if phase.meanwhile is not None and phase.meanwhile not in can:
            raise UsageError(
                f"scenario {scenario.name!r}, phase {phase.name!r}: the target is to {phase.meanwhile} while it is sent, and "
                f"{target.spec} cannot; it needs a fleet, such as --perf-target=haproxy:2:service"
            )


def _refuse_unknown_program(target: Target) -> None:
    """Refuse a program that is nowhere on the path; one with a slash in its name is found where it is started."""
    if isinstance(target, FleetTarget):
        target = target.server
    if not isinstance(target, CommandTarget):
        return
    program, path = target.launch.command[0], target.launch.environment.get("PATH")
    if "/" not in program and "{" not in program and shutil.which(program, path=path) is None:
        raise UsageError(
            f"the target {target.spec!r} starts the program {program!r}, which is not on the path"
        )


def _refuse_unknown_commands(commands: StateCommands) -> None:
    """Refuse a command whose program is nowhere on the path of its arm; one with a slash is found where it runs."""
    for step, line in commands.lines.items():
        program, path = shlex.split(line)[0], commands.environment.get("PATH")
        if "/" not in program and shutil.which(program, path=path) is None:
            raise UsageError(
                f"--perf-{step.value}: there is no program {program!r} on the path, got {line!r}; it is started without "
                "a shell: write sh -c '…' for what only a shell knows"
            )


def _refuse_numbers(
    scenario: Scenario,
    settings: GateSettings,
    budgets: Budgets,
    measures: tuple[Measure, ...],
    payloads: Callable[[str], Sequence[Payload]],
) -> None:
    """Refuse budgets that are missing whatever the target's device and precision, or have no meaning."""
    compared = settings.against is not None
    # A comparison has no absolute limits, so none of their budgets is asked for.
    asked = dataclasses.replace(scenario, criteria=()) if compared else scenario
    source = source_of(scenario, settings) if compared else payload_source(settings)
    judged = expects(asked, payloads(source)) and not compared
    units = units_of(measures)
    lines = [budgets.quantities(scenario.name, *place) for place in _places(budgets, scenario.name)]
    for line in lines:
        budgeted = asked if compared else with_budgeted(asked, line, asked_by_budgets(measures))
        check_units(with_right_answers(budgeted, line) if judged else budgeted, line, units)
    whole = [line for line in lines if refs(asked) <= set(line)]
    if not whole and not compared and runs_without(scenario, budgets):
        return
    if not whole:
        raise BudgetError(_missing(scenario, asked, budgets, settings, max(lines, key=len)))
    for line in whole:
        numbers = {key: quantity.resolve(NOMINAL_YARDSTICK_S) for key, quantity in line.items()}
        for phase in resolve(asked, numbers).phases:
            _refuse_arrivals(scenario, phase)


def _refuse_arrivals(scenario: Scenario, phase: Phase) -> None:
    assert not isinstance(phase.duration_s, Ref)
    try:
        phase.arrivals.draw(np.random.default_rng(0), requests=phase.requests, duration_s=phase.duration_s)
    except UsageError as error:
        raise UsageError(f"scenario {scenario.name!r}, phase {phase.name!r}: {error}") from None
    except Exception as error:
        raise UsageError(
            f"scenario {scenario.name!r}, phase {phase.name!r}: {phase.arrivals} raised {type(error).__name__}: {error}"
        ) from error


def _places(budgets: Budgets, scenario: str) -> Iterator[tuple[str, str]]:
    keys = [key for key in budgets.lines if key[0] in {ANY, scenario}]
    for device in sorted({key[1] for key in keys} | {ANY}):
        for precision in sorted({key[2] for key in keys} | {ANY}):
            yield device, precision


def _missing(
    scenario: Scenario,
    asked: Scenario,
    budgets: Budgets,
    settings: GateSettings,
    line: Mapping[str, object],
) -> str:
    missing, unasked = sorted(refs(asked) - set(line)), sorted(set(line) - refs(scenario))
    where = budgets.source or settings.budgets or settings.root / FILE_NAME
    keys = ", ".join(f"{key} = …" for key in missing)
    lines = {key[0] for key in budgets.lines} - {ANY, scenario.name}
    hints = [_hint(key, unasked) for key in missing] + [_hint(scenario.name, lines)]
    return f'scenario {scenario.name!r} lacks budgets; write into {where}: "{scenario.name}" = {{ {keys} }}, or say each by --perf-budget{"".join(hints)}'


def _hint(name: str, written: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, written, n=1)
    return f"; is {near[0]!r} meant for {name!r}?" if near else ""
