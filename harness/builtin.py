"""What the harness itself brings, through the same hooks as anybody's plugin. Scenarios come from the package of that name."""

from collections.abc import Sequence

from harness.hookspecs import hookimpl
from harness.measures import Measure, built_in_measures
from harness.payload import Payload
from harness.payload_sources import built_in_payloads
from harness.report import Reporter, built_in_reporters
from harness.target import Target, TargetSettings
from harness.target_spec import BUILT_IN


@hookimpl
def tailgate_target(spec: str, settings: TargetSettings) -> Target | None:
    """Know the service, any command line, and any address."""
    return next((target for parse in BUILT_IN if (target := parse(spec, settings)) is not None), None)


@hookimpl
def tailgate_payloads(source: str) -> Sequence[Payload] | None:
    """Know photographs, random pixels, and files."""
    return built_in_payloads(source)


@hookimpl
def tailgate_measures() -> Sequence[Measure]:
    """Bring those of :mod:`harness.measures`."""
    return built_in_measures()


@hookimpl
def tailgate_reporters() -> Sequence[Reporter]:
    """Bring the JSON file and the Markdown summary."""
    return built_in_reporters()
