"""One form of help for all commands: usage, a sentence, options, and examples that can be copied.

The epilog of a command is its examples, a line each; what stands behind ``#`` says what the line is for.
"""

import inspect
import sys
from collections.abc import Callable, Iterable
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from tailgate.harness.options.settings import OPTIONS
from tailgate.harness.options.table import Option

# Options that pytest, another program or another declaration knows.
PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
# Begins the names of parameters that are the gate's, in a command that has others.
_OF_GATE = "perf_"

F = TypeVar("F", bound=Callable[..., Any])


class _Examples:
    """Whose help ends with examples."""

    epilog: str | None

    def format_epilog(self, _: Any, formatter: Any) -> None:
        """Write the examples as they are: a line that is wrapped cannot be copied."""
        if self.epilog:
            with formatter.section("Examples"):
                for line in inspect.cleandoc(self.epilog).splitlines():
                    formatter.write(f"  {line}\n")


class Command(_Examples, TyperCommand):
    """A command."""


class Group(_Examples, TyperGroup):
    """The commands together."""


class WordsCommand(Command):
    """A command that takes its own options, and passes on all other words, among which pytest's options may stand.

    What is declared of the gate's options serves its help, and completion.
    """

    allow_extra_args = True
    ignore_unknown_options = True

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take the own options, unless the words ask for help or the shell asks how they go on."""
        if ctx.resilient_parsing:
            return super().parse_args(ctx, args)
        if {"--help", "-h"} & set(args):
            typer.echo(ctx.get_help())
            raise typer.Exit
        options = [one for one in self.params if isinstance(one, TyperOption)]
        if own := [one for one in options if not str(one.name).startswith(_OF_GATE)]:
            return Command(self.name, params=[*own], add_help_option=False).parse_args(ctx, args)
        ctx.args = list(args)
        return args


class ServiceCommand(Command):
    """A command that becomes the service's own program, which knows its options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Keep all words; help is printed here, and goes on there."""
        if ctx.resilient_parsing:
            return super().parse_args(ctx, args)
        if {"--help", "-h"} & set(args):
            typer.echo(ctx.get_help() + "\n")
            sys.stdout.flush()
        ctx.args = list(args)
        return args


def takes_gate_options(*without: str) -> Callable[[F], F]:
    """Declare the options of the gate for a command, but for some; the function is called with none of them."""

    def declare(function: F) -> F:
        signature = inspect.signature(function)
        own = [one for one in signature.parameters.values() if one.kind is not one.VAR_KEYWORD]
        gates = [_parameter(option) for option in OPTIONS if option.name not in without]
        function.__signature__ = signature.replace(parameters=[*own, *gates])  # type: ignore[attr-defined]
        return function

    return declare


def _parameter(option: Option) -> inspect.Parameter:
    choices = f" ({', '.join(option.choices)})" if option.choices else ""
    declared = typer.Option(
        f"--{option.name}",
        help=option.help + choices,
        autocompletion=scenario_names if option.name == "scenario" else _choices(option.choices),
        show_default=False,
    )
    kind: Any = bool if option.flag else list[str] if option.repeated else str
    return inspect.Parameter(
        f"{_OF_GATE}{option.field}",
        inspect.Parameter.KEYWORD_ONLY,
        default=False if option.flag else None,
        annotation=Annotated[kind if option.flag else kind | None, declared],
    )


def _choices(known: Iterable[str]) -> Callable[[str], list[str]] | None:
    def complete(incomplete: str) -> list[str]:
        return [choice for choice in known if choice.startswith(incomplete)]

    return complete if known else None


def scenario_names(incomplete: str) -> list[tuple[str, str]]:
    """Return the scenarios whose names begin so, with what they are; none where a plugin does not load."""
    from tailgate.harness.errors import HarnessError  # noqa: PLC0415 - as for all completion: only when it is asked for
    from tailgate.harness.plugins.manager import create_plugin_manager  # noqa: PLC0415
    from tailgate.harness.profiles import PROFILES  # noqa: PLC0415

    try:
        known = create_plugin_manager().scenarios(PROFILES["default"])
    except HarnessError:
        return []
    return [(name, one.description) for name, one in known.items() if name.startswith(incomplete)]


def run_names(incomplete: str) -> list[str]:
    """Return the runs in the folder of results whose names begin so, the newest first."""
    from tailgate.harness.cli.runs.newest import kept_runs  # noqa: PLC0415

    return [path.name for path in reversed(kept_runs()) if path.name.startswith(incomplete)]
