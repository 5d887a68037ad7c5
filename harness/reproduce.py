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
    arguments = ["pytest", *selection, "-m", "perf", f"--perf-seed={seed}"]
    return _shell([*arguments, *_options(settings, {"scenario", "seed"})], environment)


def comparison(
    head: str, scenario: str, seed: int, settings: GateSettings, environment: Mapping[str, str]
) -> str:
    """Return the command of ``tailgate compare`` for a POSIX shell; arguments as of :func:`command`.

    Args:
        head: what is compared with the base of the settings.
        scenario: its name.
        seed: of the run.
        settings: options of the run.
        environment: usually ``os.environ``.
    """
    arguments = ["tailgate", "compare", str(settings.against), head]
    arguments += [f"--perf-scenario={scenario}", f"--perf-seed={seed}"]
    return _shell([*arguments, *_options(settings, {"scenario", "seed", "against"})], environment)


def _options(settings: GateSettings, without: set[str]) -> list[str]:
    chosen = [option for option in OPTIONS if option.name in settings.given - without]
    return [word for option in chosen for word in option.words(getattr(settings, option.field))]


def _shell(arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    # An assignment must not be quoted as a whole, or the shell takes it for the program.
    assignments = [
        f"{name}={shlex.quote(value)}"
        for name, value in sorted(environment.items())
        if name.startswith(SERVICE_PREFIX) or name == PLUGINS_VARIABLE
    ]
    return " ".join([*assignments, shlex.join(arguments)])
