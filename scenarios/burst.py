"""Burst: a quiet service is hit by many requests at one instant, again and again. How late, and for how long?"""

from tailgate import Bursts, Criterion, Phase, Poisson, Profile, Ref, Scenario, latency_criteria

# Requests that arrive together; at one batch of 16 or several smaller ones, a queue that has to be worked off.
SIZE = 16


def scenario(profile: Profile) -> Scenario:
    """Build it; budget keys ``rate`` (between bursts), ``every`` (seconds from burst to burst), ``p95``, ``p99``, ``recover``, ``error_rate``.

    A request is late, and the service has not recovered, beyond the budget's ``late``.
    """
    rate = Ref("rate")
    bursts = max(profile.repeats, -(-profile.requests // SIZE))
    arrivals = Bursts(SIZE, every_s=Ref("every"), rate_per_s=rate, quiet_s=Ref("every", 0.5))
    return Scenario(
        name="burst",
        description=f"{SIZE} requests at one instant, again and again, over a quiet background",
        phases=(
            Phase("quiet", Poisson(rate), requests=profile.warm_up_requests, measured=False),
            Phase("bursts", arrivals, duration_s=Ref("every", bursts)),
        ),
        criteria=(
            *latency_criteria(profile, ["bursts"]),
            Criterion("recover", Ref("recover"), ("bursts",), objective_s=Ref("late")),
            Criterion("error_rate", Ref("error_rate"), ("bursts",)),
        ),
    )
