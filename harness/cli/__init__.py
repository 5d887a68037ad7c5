"""The command ``tailgate``: what its exit statuses mean, and how it ends.

:mod:`tailgate.harness.cli.app` says which commands there are. Each loads what it needs when it runs: help, completion, and a
service that starts, wait for nothing that measures. Budgets are checked under pytest, ``pytest -m perf``, and so are
comparisons; ``tailgate run`` and ``tailgate compare`` are the same in fewer words.
"""

import enum
import sys
import traceback
from typing import NoReturn

import typer

from tailgate.harness.errors import HarnessError, UsageError


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
    JSON = "json"
    GITHUB = "github"  # annotations of a workflow
    BADGE = "badge"  # JSON that a badge is drawn from


def main() -> NoReturn:
    """Run the command and end the process."""
    from tailgate.harness.cli.app import app

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
