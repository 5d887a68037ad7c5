"""The command ``tailgate``: serve, compile, init, compare, calibrate, list what plugins bring, judge or report a run again, export samples.

Each command loads what it needs when it is run: help, and a service that starts, wait for nothing that measures. Budgets
are checked under pytest, ``pytest -m perf``, and so are comparisons; ``tailgate compare`` is the same in fewer words.
"""

import enum
import importlib.util
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from tailgate import __version__
from tailgate.harness.errors import HarnessError, UsageError

# Options that another program or declaration knows.
_PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
# Packages of the extra "service" that the service cannot start without; asked for, and never imported.
_SERVICE_NEEDS = ("torch", "torchvision", "fastapi", "fastapi_swagger", "uvicorn", "pydantic_settings")


class Status(enum.IntEnum):
    """Exit statuses; standard error says why. ``serve`` and ``compile`` end with the service's own."""

    PASS = 0  # or done
    FAIL = 1
    USAGE = 2  # the command line, a plugin or another setting is wrong, or there is nothing to run
    UNMEASURED = 3  # it could not be measured or done
    INCONCLUSIVE = 4
    INTERRUPTED = 130


class Format(enum.Enum):
    """How ``report`` and ``judge`` write a run."""

    TERMINAL = "terminal"
    MARKDOWN = "markdown"


Results = Annotated[Path, typer.Argument(exists=True, help="A results.json, or the folder that holds it.")]
FormatOption = Annotated[Format, typer.Option("--format", help="How to write it.")]
PluginFiles = Annotated[
    list[Path] | None, typer.Option("--plugin", help="Python file with hooks of tailgate; may be repeated.")
]
BudgetFile = Annotated[
    str | None,
    typer.Option("--budgets", "--perf-budgets", help="Other budgets than those of the run: a TOML file."),
]
Confidence = Annotated[
    str | None,
    typer.Option("--confidence", "--perf-confidence", help="Another confidence than that of the run."),
]
LensSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--lens", "--perf-lens", help="p95=8%, p95.margin=1%, memory=gate or p99=report; may be repeated."
    ),
]
AnswerTolerance = Annotated[
    str | None,
    typer.Option(
        "--answer-tolerance",
        "--perf-answer-tolerance",
        help="How far numbers in answers may differ, as a share.",
    ),
]
AnswerIgnore = Annotated[
    list[str] | None,
    typer.Option(
        "--answer-ignore",
        "--perf-answer-ignore",
        help="A further place in answers that is not compared, such as $.id.",
    ),
]
Minutes = Annotated[float, typer.Option(help="Minutes of blocks.", min=0.1)]
From = Annotated[
    list[Path] | None,
    typer.Option("--from", help="Folder of a kept comparison of code with itself; may be repeated."),
]
Into = Annotated[Path | None, typer.Option(help="Folder for the answer; default: that of the run.")]

app = typer.Typer(
    help="A batching inference service, and a performance gate for any. The gate runs under pytest: "
    "pytest --pyargs tailgate.scenarios -m perf",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # loading it takes longer than all else of --help
)


def main() -> NoReturn:
    """Run the command and end the process."""
    try:
        app(prog_name="tailgate")
    except HarnessError as error:
        from tailgate.harness.report.escape import terminal

        typer.echo(terminal(f"tailgate: {error}"), err=True)
        sys.exit(Status.USAGE if isinstance(error, UsageError) else Status.UNMEASURED)
    except Exception:  # noqa: BLE001 - Python's own status of an error would say FAIL
        traceback.print_exc()
        sys.exit(Status.UNMEASURED)
    sys.exit(Status.PASS)


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


@app.command(add_help_option=False, context_settings=_PASSED_ON)
def serve(context: typer.Context) -> None:
    """Run the inference service; its options: serve --help."""
    _become("tailgate.service", context.args)


@app.command(name="compile", add_help_option=False, context_settings=_PASSED_ON)
def _compile(context: typer.Context) -> None:
    """Compile the service's model ahead of time.

    The options are those that the service will be run with.
    """
    _become("tailgate.service.compile", context.args)


def _become(module: str, arguments: Sequence[str]) -> NoReturn:
    missing = [name for name in _SERVICE_NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"the service needs {', '.join(missing)}: pip install 'tailgate[service]'")
    # As a program: harness and service never import each other. -P: a folder called service is not this one.
    os.execv(sys.executable, [sys.executable, "-P", "-m", module, *arguments])  # noqa: S606 - no shell is meant


@app.command(add_help_option=False, context_settings=_PASSED_ON)
def compare(context: typer.Context) -> None:
    """Compare two revisions or targets: tailgate compare BASE [HEAD]."""
    from tailgate.harness.cli.run import compare

    raise typer.Exit(compare(context.args))


@app.command(name="init", add_help_option=False, context_settings=_PASSED_ON)
def _init(context: typer.Context) -> None:
    """Set the gate up for the project in this folder: tailgate init [COMMAND-LINE | ADDRESS]."""
    from tailgate.harness.cli.init import init

    raise typer.Exit(init(context.args))


@app.command(context_settings=_PASSED_ON)
def calibrate(context: typer.Context, minutes: Minutes = 10.0, from_: From = None, into: Into = None) -> None:
    """Say which changes this machine can see, and in how long.

    The working tree is compared with itself. Options of the gate may follow.
    """
    from tailgate.harness.cli.calibrate import calibrate

    calibrate(context.args, minutes, from_ or (), into)


@app.command()
def judge(  # noqa: PLR0913 - each is an option
    results: Results,
    budgets: BudgetFile = None,
    confidence: Confidence = None,
    lens: LensSettings = None,
    answer_tolerance: AnswerTolerance = None,
    answer_ignore: AnswerIgnore = None,
    plugin: PluginFiles = None,
    *,
    format_: FormatOption = Format.TERMINAL,
) -> None:
    """Judge a run again from its folder.

    By the same terms, or by other budgets, confidence, tolerances or places in answers.
    Exit status as of compare, by the options of the run.
    """
    from tailgate.harness.cli.kept import judge

    said = {"budgets": budgets, "confidence": confidence, "lens": lens}
    said |= {"answer_tolerance": answer_tolerance, "answer_ignore": answer_ignore}
    raise typer.Exit(judge(results, said, plugin or (), format_))


@app.command()
def plugins(
    plugin: PluginFiles = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """List who takes part in a run, with version and hooks."""
    import orjson

    from tailgate.harness.plugins.manager import create_plugin_manager

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
    from tailgate.harness.plugins.manager import create_plugin_manager
    from tailgate.harness.profiles import PROFILES

    # Names and descriptions are the same in every profile.
    for scenario in create_plugin_manager(plugin or ()).scenarios(PROFILES["default"]).values():
        typer.echo(f"{scenario.name}: {scenario.description}")


@app.command()
def report(
    results: Results,
    format_: FormatOption = Format.TERMINAL,
    *,
    html: Annotated[
        bool, typer.Option("--html", help="Write report.html into the folder, and print its path.")
    ] = False,
) -> None:
    """Report a run again, from its results; nothing is judged."""
    from tailgate.harness.cli.kept import picture, read, show

    if html:
        typer.echo(picture(results))
        return
    show(read(results)[0], format_)


_samples = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(_samples, name="samples", help="The raw records of a run, one a request.")


@_samples.callback()
def _of_samples() -> None:
    pass


@_samples.command("export")
def _export(
    file: Annotated[Path, typer.Argument(exists=True, help="A samples.bin.")],
    csv: Annotated[Path | None, typer.Option(help="File to write; default: standard output.")] = None,
) -> None:
    """Write raw records as CSV, one line a request."""
    from tailgate.harness.load.records.samples import export_csv, read_samples
    from tailgate.harness.load.settings import read_id_prefix

    records, id_prefix = read_samples(file), read_id_prefix(file.parent)
    if csv is None:
        export_csv(records, sys.stdout, id_prefix)
        return
    try:
        with csv.open("w", encoding="utf-8", newline="") as stream:
            export_csv(records, stream, id_prefix)
    except OSError as error:
        raise HarnessError(f"cannot write {csv}: {error.strerror}") from error
