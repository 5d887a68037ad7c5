"""The command line that runs one scenario again: same seed, same options, same settings of the service.

A report ends with it. Options of the ini file are left out, since a second run finds them there again.
"""

import shlex
from collections.abc import Mapping, Sequence

from harness.options import OPTIONS, GateSettings
from harness.plugins import PLUGINS_VARIABLE

# What a launched service reads.
SERVICE_PREFIX = "TAILGATE_"


def built_in_test(scenario: str) -> tuple[str, ...]:
    """Return the arguments that select the test of a scenario that a plugin brings."""
    return ("--pyargs", "scenarios", f"--perf-scenario={scenario}")


def command(
    selection: Sequence[str], seed: int, settings: GateSettings, environment: Mapping[str, str]
) -> str:
    """Return the command for a POSIX shell.

    Args:
        selection: pytest's arguments that select the one test, such as those of :func:`built_in_test`.
        seed: of the run, whether it was given or drawn.
        settings: options of the run.
        environment: usually ``os.environ``.
    """
    # An assignment must not be quoted as a whole, or the shell takes it for the program.
    assignments = [
        f"{name}={shlex.quote(value)}"
        for name, value in sorted(environment.items())
        if name.startswith(SERVICE_PREFIX) or name == PLUGINS_VARIABLE
    ]
    arguments = ["pytest", *selection, "-m", "perf", f"--perf-seed={seed}"]
    for option in OPTIONS:
        if option.name in settings.given - {"scenario", "seed"}:
            arguments += option.words(getattr(settings, option.field))
    return " ".join([*assignments, shlex.join(arguments)])
