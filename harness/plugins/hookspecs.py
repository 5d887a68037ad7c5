"""All hooks of the harness. Built-in scenarios, targets, payloads, generators, measures and reporters come in through them too.

A plugin is a module or an object with functions of these names, marked with ``@tailgate.hookimpl``. It is found by the
entry-point group ``tailgate``, by ``--perf-plugin=FILE``, or is registered by hand. A function whose name starts with
``tailgate_`` and is not among these stops the run.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from tailgate.harness.load.many.engine import GeneratorEngine
    from tailgate.harness.measures import Measure
    from tailgate.harness.profiles import Profile
    from tailgate.harness.report import Reporter
    from tailgate.harness.results.run import RunResult
    from tailgate.harness.scenario.payloads.payload import Payload
    from tailgate.harness.scenario.scenario import Scenario
    from tailgate.harness.target.settings import TargetSettings
    from tailgate.harness.target.target import Target

PROJECT = "tailgate"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def tailgate_scenarios(profile: "Profile") -> "Sequence[Scenario]":  # type: ignore[empty-body]
    """Return the scenarios that this plugin adds; ``profile`` says how much evidence the run is to gather.

    Called when tests are collected or scenarios are listed, and with other profiles to see which budgets are needed: the
    result must depend on the profile alone. The results of all plugins are joined; a name that two plugins use is refused,
    with the names of both plugins.
    """


@hookspec(firstresult=True)
def tailgate_target(spec: str, settings: "TargetSettings") -> "Target | None":
    """Return the target that ``spec`` describes, such as ``service`` or ``http://host:port``; None if this plugin does not know it.

    Called before anything is started, and more than once for a target; it must start nothing. The first result that is not
    None wins; plugins that were registered later are asked first.
    """


@hookspec(firstresult=True)
def tailgate_payloads(source: str) -> "Sequence[Payload] | None":
    """Return the payloads of a source, such as ``photos`` or ``file:PATH``; None if this plugin does not know it.

    Called once for each source of a run. The first result that is not None wins; plugins that were registered later are
    asked first.
    """


@hookspec(firstresult=True)
def tailgate_generators(spec: str) -> "GeneratorEngine | None":
    """Return what starts the generators that ``spec`` describes, such as ``processes:4``; None if this plugin does not know it.

    Called before anything is started, and more than once for a specification; it must start nothing. The first result that is
    not None wins; plugins that were registered later are asked first.
    """


@hookspec
def tailgate_measures() -> "Sequence[Measure]":  # type: ignore[empty-body]
    """Return the measures that this plugin adds: from saved samples to an estimate with its interval.

    Called once, before anything is started. The results of all plugins are joined; a name that two use is refused.
    """


@hookspec
def tailgate_reporters() -> "Sequence[Reporter]":  # type: ignore[empty-body]
    """Return the reporters that this plugin adds: each writes one form of a finished run.

    Called once, before anything is started. Every reporter runs after the last scenario, even if another one raises.
    """


@hookspec
def tailgate_finished(result: "RunResult", directory: Path) -> None:
    """Do something with a finished run, after its reports have been written to ``directory``, where its raw samples are, too.

    Called once; all plugins are called, and what they return is ignored.
    """
