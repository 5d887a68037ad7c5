"""``tailgate scenarios`` and ``tailgate plugins``: what can be run, and who takes part."""

from collections.abc import Sequence
from pathlib import Path

import typer

from tailgate.harness.cli.told import as_json as tell
from tailgate.harness.plugins.manager import create_plugin_manager
from tailgate.harness.profiles import PROFILES
from tailgate.harness.report.escape import terminal
from tailgate.harness.scenario.ref import refs


def scenarios(files: Sequence[Path], *, as_json: bool) -> None:
    """List scenarios; names and descriptions are the same in every profile."""
    known = create_plugin_manager(files).scenarios(PROFILES["default"]).values()
    if as_json:
        tell(
            scenarios=[
                {"name": one.name, "description": one.description, "budgets": sorted(refs(one))}
                for one in known
            ]
        )
        return
    for one in known:
        typer.echo(terminal(f"{one.name}: {one.description}"))


def plugins(files: Sequence[Path], *, as_json: bool) -> None:
    """List plugins."""
    origins = create_plugin_manager(files).origins
    if as_json:
        tell(plugins=origins)
        return
    for origin in origins:
        whose = f"{origin.distribution} {origin.version}" if origin.distribution else "a file"
        typer.echo(terminal(f"{origin.name} ({whose}): {', '.join(origin.hooks)}"))
