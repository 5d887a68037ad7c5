"""The built-in scenarios, as a plugin of the harness like any other: one module each, pure data."""

from collections.abc import Sequence

from tailgate import Profile, Scenario, hookimpl
from tailgate.scenarios import burst, compare, overload, ramp, rollout, soak, steady

if __name__ != "tailgate.scenarios":
    raise ImportError(
        f"{__file__} is tailgate.scenarios, and was imported as {__name__}: import tailgate.scenarios"
    )

__all__ = ["tailgate_scenarios"]


@hookimpl
def tailgate_scenarios(profile: Profile) -> Sequence[Scenario]:
    """Bring steady, burst, ramp and overload, soak and rollout for those who name them, and compare for comparisons."""
    return [
        steady.scenario(profile),
        burst.scenario(profile),
        ramp.scenario(profile),
        overload.scenario(profile),
        soak.scenario(profile),
        rollout.scenario(profile),
        compare.scenario(profile),
    ]
