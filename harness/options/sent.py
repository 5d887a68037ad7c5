"""What is sent, which several options may say: the command line beats the ini file, and a file of requests says all."""

from pathlib import Path

from tailgate.harness.errors import UsageError
from tailgate.harness.options.settings import GateSettings


def requests_file(settings: GateSettings) -> Path | None:
    """Return the file of requests; None without one, or where the command line says something else beside an ini file."""
    beaten = _said(settings, "requests") < _said(settings, "payloads", "request")
    return None if beaten else settings.requests


def chosen_source(settings: GateSettings) -> str | None:
    """Return the source of payloads that the user says; None where no option says one.

    Raise UsageError where two options say it.
    """
    other = _said(settings, "payloads", "request")
    if other and _said(settings, "requests") == other:
        name = "payloads" if _said(settings, "payloads") == other else "request"
        raise UsageError(
            f"--perf-requests={settings.requests} gives whole requests, and --perf-{name} a part of one; leave one out"
        )
    file = requests_file(settings)
    if file is not None:
        return f"requests:{file}"
    if _said(settings, "payloads"):
        return settings.payloads
    # No body, and certainly no photographs.
    return "body:" if _said(settings, "request") else None


def payload_source(settings: GateSettings) -> str:
    """Return where the payloads come from: as the user says, else the usual source."""
    return chosen_source(settings) or settings.payloads


def _said(settings: GateSettings, *names: str) -> int:
    """Return 2 where the command line says one of these options, 1 where the ini file does, else 0."""
    return max(2 if name in settings.given else int(name in settings.said_in_ini) for name in names)
