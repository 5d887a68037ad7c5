"""The variables of the environment: which mean nothing, and which is read before all others."""

import argparse
import contextlib
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

from tailgate.service.settings import PREFIX, Settings

# What Kubernetes puts into every container of a namespace that has a Service called "tailgate".
KUBERNETES_LINK = re.compile(r"^TAILGATE_(SERVICE_(HOST|PORT)(_\w+)?|PORT(_\d+_\w+)?)$")


def log_format_of(environment: Mapping[str, str], arguments: Sequence[str]) -> str:
    """Return the log format, even where other settings are wrong."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--log-format", default=environment.get(f"{PREFIX}LOG_FORMAT"))
    with contextlib.suppress(argparse.ArgumentError):
        if parser.parse_known_args(arguments)[0].log_format == "json":
            return "json"
    return "console"


def unknown_variables(names: Iterable[str]) -> list[str]:
    """Return a warning for each ``TAILGATE_*`` variable that no setting reads, with the nearest name."""
    known = [name.upper() for name in Settings.model_fields]
    warnings = []
    for name in sorted(names):
        bare = name.removeprefix(PREFIX)
        if bare == name or bare in known or KUBERNETES_LINK.match(name):
            continue
        near = difflib.get_close_matches(bare, known, n=1)
        warnings.append(
            f"{name} is not a setting and is ignored" + (f"; did you mean {PREFIX}{near[0]}?" if near else "")
        )
    return warnings
