"""The command line that runs one scenario again: same seed, same options, same settings of the service.

Options of the ini file are left out, since a second run finds them there again. A variable of a secret name is taken from
the environment of whoever runs it again.
"""

import shlex
from collections.abc import Mapping, Sequence

from tailgate.harness.options.secret import secrets_of
from tailgate.harness.options.settings import OPTIONS, SERVICE_PREFIX, GateSettings
from tailgate.harness.plugins.loading import PLUGINS_VARIABLE
from tailgate.harness.secrecy import Secrets, is_secret

ENVIRONMENT_OPTIONS = ("--perf-env=", "--perf-base-env=", "--perf-head-env=")


def built_in_test(scenario: str) -> tuple[str, ...]:
    """Return the arguments that select the test of a scenario that a plugin brings."""
    return ("--pyargs", "tailgate.scenarios", f"--perf-scenario={scenario}")


def command(
    selection: Sequence[str], seed: int, settings: GateSettings, environment: Mapping[str, str]
) -> str:
    """Return the command for a POSIX shell; ``selection`` are pytest's arguments that select the one test."""
    said = [option for option in OPTIONS if option.name in settings.given - {"scenario", "seed", "live"}]
    options = [word for option in said for word in option.words(getattr(settings, option.field))]
    arguments = ["pytest", *selection, "-m", "perf", f"--perf-seed={seed}", *options]
    assignments = [
        _assigned(name, value)
        for name, value in sorted(environment.items())
        if name.startswith(SERVICE_PREFIX) or name == PLUGINS_VARIABLE
    ]
    secrets = secrets_of(settings)
    return " ".join([*assignments, *(_word(argument, secrets) for argument in arguments)])


def _assigned(name: str, value: str) -> str:
    """Return an assignment, which must not be quoted as a whole, or the shell takes it for the program."""
    return f'{name}="${name}"' if is_secret(name) else f"{name}={shlex.quote(value)}"


def _word(word: str, secrets: Secrets) -> str:
    """Return a word for the shell; of a secret variable the shell gives the value, who has it."""
    option = next(filter(word.startswith, ENVIRONMENT_OPTIONS), None)
    name = "" if option is None else word.removeprefix(option).partition("=")[0].strip()
    if is_secret(name):
        return f'"{option}{name}=${name}"'
    return shlex.quote(secrets.hide(word))
