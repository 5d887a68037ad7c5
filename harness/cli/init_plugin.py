"""``tailgate init --plugin``: a package for a plugin, in a folder of its own, to begin with."""

from collections.abc import Sequence
from pathlib import Path

import typer

from tailgate.harness.cli import Status
from tailgate.harness.errors import UsageError
from tailgate.harness.first import files, plugin
from tailgate.harness.plugins.manager import create_plugin_manager
from tailgate.harness.profiles import PROFILES
from tailgate.harness.report.escape import terminal


def make_plugin(name: str, words: Sequence[str], *, force: bool) -> Status:
    """Write the package of this name; ``words`` are what the command line has besides, which is refused."""
    if words:
        raise UsageError(
            f"tailgate init --plugin=NAME takes nothing but --force, got {words[0]!r}; --perf-plugin=FILE is the option "
            "of the gate"
        )
    root = Path.cwd()
    known = create_plugin_manager().scenarios(PROFILES["default"])
    plan = plugin.plan_plugin(root, name, known, force=force)
    files.write(root, plan)
    tell_files(plan)
    say(f"next: pip install -e {name}; pytest {name}; tailgate run --scenario={name}")
    return Status.PASS


def tell_files(plan: files.Plan) -> None:
    """Say which files were written, and which were left as they are."""
    if plan.texts:
        say(f"wrote {', '.join(map(str, plan.texts))}")
    if plan.kept:
        say(f"kept {', '.join(map(str, plan.kept))}, which --force replaces")


def say(line: str) -> None:
    """Print a line."""
    typer.echo(terminal(line))
