"""``tailgate compare BASE HEAD``: ``pytest -m perf --perf-against=BASE --perf-head=HEAD`` in fewer words."""

from collections.abc import Sequence

import typer

from tailgate.harness.cli.run import options_help, run_gate, split_sides
from tailgate.harness.cli.status import Status
from tailgate.harness.errors import UsageError
from tailgate.harness.session.command import GateCommand

USAGE = """Usage: tailgate compare BASE [HEAD] [OPTION ...]

Is HEAD slower than BASE, under the same load on this machine? Each is a git revision, . for the working tree as it is
(HEAD's default), service:KEY=VALUE,…, command:LINE, or http://host:port.

It is pytest with options: every option of pytest may follow, and the project's pytest settings count. The gate's own
options may leave out "perf-".

Exit status: 0 PASS, 1 FAIL, 2 it cannot be asked, 3 it could not be measured, 4 INCONCLUSIVE, 130 interrupted. A verdict
that the options let pass (--perf-inconclusive, --perf-enforce) is 0.
"""


def compare(words: Sequence[str]) -> Status:
    """Compare the sides that these words name, with the options that follow."""
    if {"--help", "-h"} & set(words):
        typer.echo(f"{USAGE}\n{options_help('against', 'head')}", nl=False)
        return Status.PASS
    sides, rest = split_sides(words)
    if not 1 <= len(sides) <= 2:
        raise UsageError(
            f"expected tailgate compare BASE [HEAD] [OPTION ...], got {len(sides)} sides: {' '.join(sides) or 'none'}"
        )
    named = [f"--perf-{name}={side}" for name, side in zip(("against", "head"), sides, strict=False)]
    return run_gate(GateCommand(tells=True), [*rest, *named])
