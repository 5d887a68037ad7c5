"""A scenario: the rate rises to its peak, as when everybody comes to lunch.

Its budgets: ``"lunch" = { rate = "20 /s", p95 = "200 ms", p99 = "400 ms", error_rate = 0.0 }``.
"""

from collections.abc import Sequence

from tailgate import Criterion, Phase, Profile, Ramp, Ref, Scenario, hookimpl, latency_criteria


@hookimpl
def tailgate_scenarios(profile: Profile) -> Sequence[Scenario]:
    """Bring the scenario ``lunch``, of as many requests as the profile asks for."""
    rush = Phase("rush", Ramp(Ref("rate") * 0.2, Ref("rate")), requests=profile.requests)
    criteria = (
        *latency_criteria(profile, ["rush"]),
        Criterion("error_rate", Ref("error_rate"), ("rush",)),
    )
    return [Scenario("lunch", "the hour in which everybody comes", (rush,), criteria)]
