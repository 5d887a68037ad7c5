"""``tailgate compare BASE HEAD``: the comparison of ``pytest -m perf --perf-against`` without pytest."""

import os
from pathlib import Path

import typer

from harness import reproduce
from harness.cli.gate_options import AGAINST, options_help, read_sides
from harness.cli.report import Format, show
from harness.comparison.load import ComparisonLoad, comparable_phase
from harness.errors import UsageError
from harness.options import GateSettings
from harness.outcome import outcome_of
from harness.plugins import Plugins, create_plugin_manager
from harness.results import RunResult
from harness.scenario import Scenario
from harness.session import Session

FAILED = 1
USAGE = """Usage: tailgate compare BASE [HEAD] [OPTION ...]

Is HEAD slower than BASE, under the same load on this machine? Each is a git revision, . for the working tree as it is
(HEAD's default), service:KEY=VALUE,…, command:LINE, or http://host:port.

Exit status: 0 where the verdict lets a test pass, 1 where it fails one, 2 where it cannot be asked.
"""


def compare(context: typer.Context) -> None:
    """Compare two revisions or targets under the same load: tailgate compare BASE [HEAD]; more: compare --help."""
    if {"--help", "-h"} & set(context.args):
        typer.echo(f"{USAGE}\n{options_help(AGAINST)}", nl=False)
        return
    head, settings = read_sides(context.args, Path.cwd())
    plugins = create_plugin_manager(settings.plugin)
    chosen = _chosen(plugins, settings)
    for scenario in chosen:
        # All of them before any is run, which takes minutes.
        comparable_phase(scenario)
    with Session(settings, plugins, _tell, head=head, expected=len(chosen)) as session:
        try:
            for scenario in chosen:
                again = reproduce.comparison(head, scenario.name, session.seed, settings, os.environ)
                session.run(scenario, again=again)
        except BaseException as error:
            compared = any(one.comparison is not None for one in session.result().scenarios)
            # What cannot be asked for is no result; what was compared before it is one.
            if compared or not isinstance(error, UsageError):
                _report(session)
            raise
        result = _report(session)
    if any(outcome_of(one, settings).fails for one in result.scenarios) or not result.scenarios:
        raise typer.Exit(FAILED)


def _report(session: Session) -> RunResult:
    result = session.finish()
    show(result, Format.TERMINAL)
    typer.echo(f"results: {session.directory}")
    return result


def _chosen(plugins: Plugins, settings: GateSettings) -> list[Scenario]:
    every = plugins.scenarios(settings.gathered)
    if unknown := [name for name in settings.scenario if name not in every]:
        raise UsageError(f"--scenario: there is no {unknown[0]!r}; there are {', '.join(every) or 'none'}")
    named = [every[name] for name in settings.scenario]
    chosen = named or [scenario for scenario in every.values() if isinstance(scenario, ComparisonLoad)]
    if not chosen:
        raise UsageError("no plugin brings a scenario for comparisons; name one with --scenario")
    return chosen


def _tell(line: str) -> None:
    """Print what is being done to standard error: the report alone goes to standard output."""
    typer.echo(line, err=True)
