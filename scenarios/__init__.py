"""The built-in scenarios, as a plugin of the harness like any other: one module each, pure data."""

from collections.abc import Sequence

from harness import hookimpl
from harness.scenario import Profile, Scenario
from scenarios import burst, ramp, steady

__all__ = ["tailgate_scenarios"]


@hookimpl
def tailgate_scenarios(profile: Profile) -> Sequence[Scenario]:
    """Bring steady, burst and ramp."""
    return [steady.scenario(profile), burst.scenario(profile), ramp.scenario(profile)]
