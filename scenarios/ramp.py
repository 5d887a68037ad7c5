"""Ramp: a rate that rises step by step through the one that is asked for. Where is the knee?"""

from tailgate import Criterion, Phase, Poisson, Profile, Ref, Scenario, latency_criteria

# Shares of the asked rate: up to it the service must keep its latency, beyond it the ramp looks for the knee.
WITHIN = (0.6, 0.8, 1.0)
BEYOND = (1.5, 2.0, 3.0)
# Requests of a step.
LEAST = 200


def scenario(profile: Profile) -> Scenario:
    """Build it; budget keys ``rate`` (the knee that is asked for), ``p95``, ``p99``, ``error_rate``.

    The knee is the highest step whose p95 is within ``p95`` and which loses nothing.
    """
    rate = Ref("rate")
    # A step is judged by p95 alone: 90 independent requests without one late are enough, or twice as many of a queue.
    each = max(LEAST, -(-profile.requests // len(WITHIN)))
    steps = tuple(
        Phase(f"at {share:g} of the rate", Poisson(rate * share), requests=each if share in WITHIN else LEAST)
        for share in (*WITHIN, *BEYOND)
    )
    within = tuple(step.name for step in steps[: len(WITHIN)])
    return Scenario(
        name="ramp",
        description="a rate that rises in steps, up to the asked one and beyond it",
        phases=(
            Phase("warm-up", Poisson(rate * 0.5), requests=profile.warm_up_requests, measured=False),
            *steps,
        ),
        criteria=(
            *latency_criteria(profile, within),
            Criterion("knee", rate, tuple(step.name for step in steps), objective_s=Ref("p95")),
            Criterion("error_rate", Ref("error_rate"), within),
        ),
    )
