"""The command ``tailgate``: serve, compile, compare, calibrate, list what plugins bring, judge or report a run again, export samples.

One module a command; this one is their table of contents. Budgets are checked under pytest, ``pytest -m perf``, and so are
comparisons there; ``tailgate compare`` is the same in fewer words.

Exit statuses (:class:`tailgate.harness.cli.run.Status`): 0, PASS or done; 1, FAIL; 2, the command line, a plugin or another
setting is wrong, or there is nothing to run; 3, it could not be measured or done; 4, INCONCLUSIVE; 130, interrupted. Standard
error says why. ``serve`` and ``compile`` end with the service's own status. The verdict of a run that is reported again
has no say in the status.
"""

import sys
import traceback
from typing import Annotated, NoReturn

import typer

from tailgate import __version__
from tailgate.harness.cli import calibrate, compare, judge, listing, report, samples, serve
from tailgate.harness.cli.run import Status
from tailgate.harness.errors import HarnessError, UsageError
from tailgate.harness.report.escape import terminal

# Options that another program or declaration knows.
_PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}

app = typer.Typer(
    help="A batching inference service, and a performance gate for any. The gate runs under pytest: "
    "pytest --pyargs tailgate.scenarios -m perf",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> NoReturn:
    """Run the command and end the process."""
    try:
        app(prog_name="tailgate")
    except HarnessError as error:
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


app.command(add_help_option=False, context_settings=_PASSED_ON)(serve.serve)
app.command(name="compile", add_help_option=False, context_settings=_PASSED_ON)(serve.compile_model)
app.command(add_help_option=False, context_settings=_PASSED_ON)(compare.compare)
app.command(context_settings=_PASSED_ON)(calibrate.calibrate)
app.command()(judge.judge)
app.command()(listing.plugins)
app.command()(listing.scenarios)
app.command()(report.report)
app.add_typer(samples.app, name="samples", help="The raw records of a run, one a request.")
