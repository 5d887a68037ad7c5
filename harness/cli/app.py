"""The commands of ``tailgate``, put together, with what they say when nothing else is asked."""

from typing import Annotated

import typer

from tailgate import __version__
from tailgate.harness.cli import looking, starting
from tailgate.harness.cli.help import Group

EXAMPLES = """
tailgate doctor                                # is this machine fit to measure on?
tailgate init                                  # set the gate up for the project in this folder
tailgate run 'python app.py --port {port}'     # put load on a service, and check its budgets
tailgate compare main                          # is the working tree slower than main?
tailgate report                                # the newest run again
"""

app = typer.Typer(
    cls=Group,
    help="A batching inference service, and a performance gate for any. COMMAND --help has examples of each command.",
    epilog=EXAMPLES,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # loading it takes longer than all else of --help
)
app.add_typer(starting.app)
app.add_typer(looking.app)


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
