"""The command ``tailgate``: serve, compile, list what plugins bring, report a run again, export its samples.

Measuring is pytest's: ``pytest -m perf``. Nothing here sends load or judges.

Exit statuses: 0, done; 1, it could not be done, and standard error says why; 2, the command line or a plugin is wrong.
``serve`` and ``compile`` end with the service's own status. The verdict of a run that is reported again has no say in the status.
"""

import enum
import importlib.util
import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import orjson
import typer
from rich.console import Console

from harness import __version__, results_file, samples
from harness.errors import HarnessError, UsageError
from harness.plugins import Plugins, create_plugin_manager
from harness.report import markdown, terminal
from harness.scenario import PROFILES

FAILED = 1
USAGE = 2
# Packages of the extra "service" that the service cannot start without; asked for, and never imported.
SERVICE_NEEDS = ("torch", "torchvision", "fastapi", "uvicorn", "pydantic_settings")


class Format(enum.Enum):
    """How a report is written."""

    TERMINAL = "terminal"
    MARKDOWN = "markdown"


PluginFiles = Annotated[
    list[Path] | None, typer.Option("--plugin", help="Python file with hooks of tailgate; may be repeated.")
]

app = typer.Typer(
    help="A batching inference service, and a performance gate for any. The gate runs under pytest: "
    "pytest --pyargs scenarios -m perf",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
samples_app = typer.Typer(no_args_is_help=True)
app.add_typer(samples_app, name="samples", help="The raw records of a run, one a request.")


def main() -> NoReturn:
    """Run the command and end the process."""
    try:
        app(prog_name="tailgate")
    except HarnessError as error:
        typer.echo(f"tailgate: {error}", err=True)
        sys.exit(USAGE if isinstance(error, UsageError) else FAILED)
    sys.exit(0)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it
    if wanted:
        typer.echo(f"tailgate {__version__}")
        raise typer.Exit


@app.callback()
def _tailgate(
    *,
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


# --help is the service's own.
_PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


@app.command(add_help_option=False, context_settings=_PASSED_ON)
def serve(context: typer.Context) -> None:
    """Run the inference service; its own options: tailgate serve --help."""
    _become("service", context.args)


@app.command(name="compile", add_help_option=False, context_settings=_PASSED_ON)
def compile_model(context: typer.Context) -> None:
    """Compile the service's model ahead of time, with the options that the service will be run with."""
    _become("service.compile", context.args)


def _become(module: str, arguments: list[str]) -> NoReturn:
    missing = [name for name in SERVICE_NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        raise HarnessError(f"the service needs {', '.join(missing)}: pip install 'tailgate[service]'")
    # As a program: harness and service never import each other. -P: a folder called service is not this one.
    os.execv(sys.executable, [sys.executable, "-P", "-m", module, *arguments])  # noqa: S606 - no shell is meant


@app.command()
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


@app.command()
def scenarios(plugin: PluginFiles = None) -> None:
    """List the scenarios that can be run."""
    found: Plugins = create_plugin_manager(plugin or ())
    # Names and descriptions are the same in every profile.
    for scenario in found.scenarios(PROFILES["default"]).values():
        typer.echo(f"{scenario.name}: {scenario.description}")


@app.command()
def report(
    results: Annotated[Path, typer.Argument(help="A results.json, or the folder that holds it.")],
    format_: Annotated[Format, typer.Option("--format", help="How to write it.")] = Format.TERMINAL,
) -> None:
    """Report a run again, from its results alone."""
    result = results_file.read(results / results_file.RESULTS if results.is_dir() else results)
    if format_ is Format.MARKDOWN:
        typer.echo(markdown.render(result), nl=False)
    else:
        terminal.render(result, Console(highlight=False))


@samples_app.command("export")
def export_samples(
    file: Annotated[Path, typer.Argument(help="A samples.bin.")],
    csv: Annotated[Path | None, typer.Option(help="File to write; default: standard output.")] = None,
) -> None:
    """Write raw records as CSV, one line a request."""
    records = samples.read_samples(file)
    if csv is None:
        samples.export_csv(records, sys.stdout)
        return
    try:
        with csv.open("w", encoding="utf-8", newline="") as stream:
            samples.export_csv(records, stream)
    except OSError as error:
        raise HarnessError(f"cannot write {csv}: {error.strerror}") from error


if __name__ == "__main__":
    main()
