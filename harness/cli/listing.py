"""``tailgate plugins`` and ``tailgate scenarios``: what takes part in a run, without running anything."""

from collections.abc import Sequence
from pathlib import Path

import orjson
import typer

from tailgate.harness.plugins.manager import create_plugin_manager
from tailgate.harness.profiles import PROFILES


def plugins(files: Sequence[Path], *, as_json: bool) -> None:
    """List who takes part in a run: name, distribution, version, hooks."""
    origins = create_plugin_manager(files).origins
    if as_json:
        typer.echo(orjson.dumps(origins, option=orjson.OPT_INDENT_2))
        return
    for origin in origins:
        whose = f"{origin.distribution} {origin.version}" if origin.distribution else "a file"
        typer.echo(f"{origin.name} ({whose}): {', '.join(origin.hooks)}")


def scenarios(files: Sequence[Path]) -> None:
    """List the scenarios that can be run."""
    # Names and descriptions are the same in every profile.
    for scenario in create_plugin_manager(files).scenarios(PROFILES["default"]).values():
        typer.echo(f"{scenario.name}: {scenario.description}")
