"""What the harness itself brings, through the same hooks as anybody's plugin. Scenarios come from the package of that name."""

from collections.abc import Sequence

from tailgate.harness.load.many.engine import GeneratorEngine, built_in_engine
from tailgate.harness.measures import Measure, built_in_measures
from tailgate.harness.plugins.hookspecs import hookimpl
from tailgate.harness.report import Reporter, built_in_reporters
from tailgate.harness.scenario.payloads.payload import Payload
from tailgate.harness.scenario.payloads.sources import built_in_payloads
from tailgate.harness.target.fleet.target import parse_fleet
from tailgate.harness.target.settings import TargetSettings
from tailgate.harness.target.spec import parse_target
from tailgate.harness.target.target import Target


@hookimpl
def tailgate_target(spec: str, settings: TargetSettings) -> Target | None:
    """Know the service, any command line, any address, and a fleet behind a gateway."""
    return parse_target(spec, settings) or parse_fleet(spec, settings)


@hookimpl
def tailgate_payloads(source: str) -> Sequence[Payload] | None:
    """Know photographs, random pixels, a text, and files."""
    return built_in_payloads(source)


@hookimpl
def tailgate_generators(spec: str) -> GeneratorEngine | None:
    """Know processes of this machine, and machines that are reached by ssh."""
    return built_in_engine(spec)


@hookimpl
def tailgate_measures() -> Sequence[Measure]:
    """Bring those of :mod:`tailgate.harness.measures`."""
    return built_in_measures()


@hookimpl
def tailgate_reporters() -> Sequence[Reporter]:
    """Bring the JSON file, the Markdown summary and the page of pictures."""
    return built_in_reporters()
