"""Soak: the everyday load for a long time, among clients that misbehave. Does anything pile up?

It runs when it is named (``--perf-scenario=soak``), for 20 minutes or what the budget's ``length`` says.
"""

from tailgate import (
    Behaviour,
    Criterion,
    Disturbers,
    Phase,
    Poisson,
    Profile,
    Ref,
    Scenario,
    When,
    Witness,
    quantile_name,
)

DISTURBERS = (
    Disturbers(Behaviour.LEAVES, 0.04),
    Disturbers(Behaviour.BREAKS_OFF, 0.02),
    Disturbers(Behaviour.CORRUPT, 0.02),
    Disturbers(Behaviour.DRIPS, 0.02),
)
# Caches and allocators fill in the beginning, which is no leak.
WARM_UP = 0.1
# Of the rate: so light a load that hardly anybody queues, before and after.
LIGHT = 0.2
LIGHT_REQUESTS = 300
BEFORE, SOAK, AFTER = "before", "soak", "after"


def scenario(profile: Profile) -> Scenario:
    """Build it; budget keys ``length``, ``rate`` (about 70 % of what the service can do), ``p95``, ``p99``, ``error_rate``, ``rise``.

    ``rise`` is the growth of the median under a light load, from before the soak to after it; how latency went on within
    the soak is the machine's to say as much as the service's (docs/reference/gate.md), so there the limits of p95 and p99
    stand. Further, what may grow: ``rss_growth`` (share an hour), ``fd_growth`` and ``thread_growth`` (a number an hour). Only the
    client's quantiles are judged: the server's histogram holds the slow requests of the disturbers as well.
    """
    rate, length, soak, everywhere = Ref("rate"), Ref("length"), (SOAK,), (BEFORE, SOAK, AFTER)
    light = Poisson(rate * LIGHT)
    names = [quantile_name(share) for share in profile.quantiles]
    return Scenario(
        name="soak",
        description="the everyday load for a long time, among clients that misbehave",
        phases=(
            Phase("warm-up", Poisson(rate), duration_s=length * WARM_UP, measured=False),
            Phase(BEFORE, light, requests=LIGHT_REQUESTS),
            Phase(SOAK, Poisson(rate), duration_s=length, disturbers=DISTURBERS),
            Phase(AFTER, light, requests=LIGHT_REQUESTS),
        ),
        criteria=(
            *(Criterion(name, Ref(name), soak) for name in names),
            Criterion("p50_rise", Ref("rise"), (BEFORE, AFTER)),
            Criterion("error_rate", Ref("error_rate"), everywhere),
            Criterion("misanswered", 0.0, soak),
            Criterion("unaccounted", 0.0, everywhere, Witness.SERVER),
            Criterion("rss_growth_share_per_hour", Ref("rss_growth"), soak),
            Criterion("fd_growth_per_hour", Ref("fd_growth"), soak),
            Criterion("thread_growth_per_hour", Ref("thread_growth"), soak),
        ),
        when=When.NAMED,
    )
