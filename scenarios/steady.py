"""Steady: independent users at a constant mean rate. The everyday load, and the plainest question."""

from tailgate import Criterion, Phase, Poisson, Profile, Ref, Scenario, latency_criteria


def scenario(profile: Profile) -> Scenario:
    """Build it; budget keys ``rate``, ``p95``, ``p99``, ``error_rate``."""
    rate = Ref("rate")
    return Scenario(
        name="steady",
        description="Poisson arrivals at a constant mean rate",
        phases=(
            Phase("warm-up", Poisson(rate), requests=profile.warm_up_requests, measured=False),
            Phase("steady", Poisson(rate), requests=profile.requests),
        ),
        criteria=(
            *latency_criteria(profile, ["steady"]),
            Criterion("error_rate", Ref("error_rate"), ("steady",)),
        ),
    )
