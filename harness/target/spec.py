"""Target specifications: what a user writes for the thing under test, read into a target.

They come through the hook ``tailgate_target``; the three kinds of this module use it as anybody's do::

    service:MODEL=demo,MAX_BATCH_SIZE=1   this project's service, with TAILGATE_MODEL and TAILGATE_MAX_BATCH_SIZE set
    command:python app.py --port {port}   any program that listens where it is told
    http://host:port/api/v1               a server that runs already; every path begins with /api/v1
"""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

import httpx

from tailgate.harness.errors import UsageError
from tailgate.harness.options.settings import SERVICE_PREFIX
from tailgate.harness.target.command import CommandTarget
from tailgate.harness.target.launch import Launch
from tailgate.harness.target.settings import TargetSettings
from tailgate.harness.target.target import Target
from tailgate.harness.target.url import UrlTarget

Parser = Callable[[str, TargetSettings], Target | None]


def service_target(spec: str, settings: TargetSettings) -> Target | None:
    """Take ``service`` and ``service:KEY=VALUE,…``; keys may leave out ``TAILGATE_``, and values hold no comma."""
    kind, _, options = spec.partition(":")
    if kind != "service":
        return None
    environment = dict(settings.environment)
    for option in filter(None, options.split(",")):
        key, equals, value = option.partition("=")
        if not key.strip() or not equals:
            raise UsageError(f"the target {spec!r} holds {option!r}; expected service:KEY=VALUE,KEY=VALUE")
        environment[SERVICE_PREFIX + key.strip().upper().removeprefix(SERVICE_PREFIX)] = value
    environment[f"{SERVICE_PREFIX}FD"] = "{fd}"
    return _command(
        spec, (settings.python, "-P", "-m", settings.service), replace(settings, environment=environment)
    )


def command_target(spec: str, settings: TargetSettings) -> Target | None:
    """Take ``command:`` and a command line, split as a shell would, without running one."""
    kind, colon, line = spec.partition(":")
    if kind != "command" or not colon:
        return None
    try:
        return _command(spec, tuple(shlex.split(line)), settings)
    except ValueError as error:  # an open quotation
        raise UsageError(f"the target {spec!r} cannot be split into arguments: {error}") from error


def url_target(spec: str, settings: TargetSettings) -> Target | None:
    """Take an address that starts with ``http://`` or ``https://``."""
    if not spec.startswith(("http://", "https://")):
        return None
    if mark := next((mark for mark in "?#" if mark in spec), None):
        raise UsageError(
            f"the target {spec!r} holds {mark!r}; expected an address without query and fragment, such as "
            "http://host:port/api, since the paths of requests are put behind it"
        )
    try:
        parts = urlsplit(spec)
        # What httpx cannot make an address of would fail at the first readiness probe.
        usable = bool(parts.hostname) and parts.port != 0 and bool(httpx.URL(spec).host)
    except (ValueError, httpx.InvalidURL):  # a port that is no number, a bracket that does not close
        usable = False
    if not usable:
        raise UsageError(
            f"the target {spec!r} is no address; expected http://host:port or https://host:port, with a path or without"
        )
    return UrlTarget(spec, settings)


def _command(spec: str, command: tuple[str, ...], settings: TargetSettings) -> CommandTarget:
    launch = Launch(
        command=command,
        environment=settings.environment,
        directory=settings.directory,
        readiness_path=settings.readiness_path,
        ready_timeout_s=settings.ready_timeout_s,
        stop_timeout_s=settings.stop_timeout_s,
    )
    return CommandTarget(spec, launch, settings)


BUILT_IN: tuple[Parser, ...] = (service_target, command_target, url_target)


def parse_target(spec: str, settings: TargetSettings, parsers: Sequence[Parser] = BUILT_IN) -> Target:
    """Return the target that the first parser to know the specification makes of it; raise UsageError for none."""
    for parser in parsers:
        target = parser(spec, settings)
        if target is not None:
            return target
    raise UsageError(
        f"no target is called {spec!r}; expected service, service:KEY=VALUE,…, command:PROGRAM … {{port}}, "
        "http://host:port, or what a plugin offers"
    )
