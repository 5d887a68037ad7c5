"""``tailgate plugins`` and ``tailgate scenarios``: what takes part in a run, without running anything."""

from pathlib import Path
from typing import Annotated

import orjson
import typer

from tailgate.harness.plugins import Plugins, create_plugin_manager
from tailgate.harness.scenario import PROFILES

PluginFiles = Annotated[
    list[Path] | None, typer.Option("--plugin", help="Python file with hooks of tailgate; may be repeated.")
]


def plugins(
    plugin: PluginFiles = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """List who takes part in a run: name, distribution, version, hooks."""
    origins = create_plugin_manager(plugin or ()).origins
    if as_json:
        typer.echo(orjson.dumps(origins, option=orjson.OPT_INDENT_2))
        return
    for origin in origins:
        whose = f"{origin.distribution} {origin.version}" if origin.distribution else "a file"
        typer.echo(f"{origin.name} ({whose}): {', '.join(origin.hooks)}")


def scenarios(plugin: PluginFiles = None) -> None:
    """List the scenarios that can be run."""
    found: Plugins = create_plugin_manager(plugin or ())
    # Names and descriptions are the same in every profile.
    for scenario in found.scenarios(PROFILES["default"]).values():
        typer.echo(f"{scenario.name}: {scenario.description}")
