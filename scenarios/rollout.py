"""Rollout: a fleet behind a gateway is replaced replica by replica under load, and then one is killed. What is lost, and how late?

It runs when it is named (``--perf-scenario=rollout``), against a fleet (``--perf-target=haproxy:2:service``).
"""

from tailgate import Criterion, Phase, Poisson, Profile, Ref, Scenario, When

ROLLOUT, KILL = "rollout", "kill"
# A kill takes one start of a replica; a rollout one for each.
KILL_SHARE = 0.5


def scenario(profile: Profile) -> Scenario:
    """Build it; budget keys ``rate``, ``length`` (longer than it takes to replace all), ``p99``, ``objective``, ``late_rate``, ``error_rate``.

    ``late_rate`` is the share of accepted requests beyond ``objective``, and ``p99`` is of accepted requests, too. ``error_rate``
    counts refusals. Nothing may be lost or sent twice. Of the kill, only what was in flight at that replica may be lost.
    """
    load, length = Poisson(Ref("rate")), Ref("length")
    return Scenario(
        name="rollout",
        description="a fleet is replaced replica by replica under load, and then one replica is killed",
        phases=(
            Phase("warm-up", load, requests=profile.warm_up_requests, measured=False),
            Phase(ROLLOUT, load, duration_s=length, meanwhile="replace"),
            Phase(KILL, load, duration_s=length * KILL_SHARE, meanwhile="kill"),
        ),
        criteria=(
            Criterion("lost", 0.0, (ROLLOUT,)),
            Criterion("duplicated", 0.0, (ROLLOUT, KILL)),
            Criterion("late_rate", Ref("late_rate"), (ROLLOUT,), objective_s=Ref("objective")),
            Criterion("accepted_p99", Ref("p99"), (ROLLOUT,)),
            Criterion("error_rate", Ref("error_rate"), (ROLLOUT,)),
            Criterion("lost_elsewhere", 0.0, (KILL,)),
        ),
        when=When.NAMED,
    )
