"""Overload: far more than the service can do. Does it go on doing what it can, and refuse the rest at once?

How much is far more depends on the service and the machine, so the load counts in the throughput that a closed loop
measures first. That throughput is a criterion itself, against a budget that knows nothing of the service: otherwise one
that got slower all over would be asked for less, and pass.
"""

from tailgate import ClosedLoop, Criterion, Number, Phase, Poisson, Profile, Ref, Scenario, Witness

# Two full batches of 32: one is computed while the other waits.
CONNECTIONS = 64
# The first request of each connection leaves at once: a rate needs many more.
LEAST_SATURATED = 4 * CONNECTIONS
TIMES_CAPACITY = 2.0
TIMES_CAPACITY_THOROUGH = 10.0
TIMES_CAPACITY_AFTERWARDS = 0.5
# What bounds p90 at confidence 0.99 though one answer is late, and p50 of a short run.
PROBES, PROBES_SMOKE = 66, 15
# Of the objective: what the service is told, so that the way there and back is not lost on time.
DEADLINE = 0.8
SATURATED, OVERLOAD, AFTERWARDS = "saturated", "overload", "afterwards"


def scenario(profile: Profile) -> Scenario:
    """Build it; budget keys ``capacity`` (requests/s in a closed loop), ``goodput`` (share of it, under overload), ``objective``.

    Further: ``refusal`` (latency), ``lost_rate``, ``rss_rise``, ``probe`` (latency of readiness and metrics under load), and,
    once the load has gone, ``settle`` and ``error_rate``. The objective is the latency that accepted requests keep to;
    0.8 of it is the deadline that the service is told.
    """
    times = TIMES_CAPACITY_THOROUGH if profile.name == "thorough" else TIMES_CAPACITY
    objective = Ref("objective")
    return Scenario(
        name="overload",
        description=f"{times:g} times what the service can do, and then half of it",
        phases=(
            Phase("warm-up", ClosedLoop(CONNECTIONS), requests=profile.warm_up_requests, measured=False),
            Phase(SATURATED, ClosedLoop(CONNECTIONS), requests=max(LEAST_SATURATED, profile.requests // 6)),
            Phase(
                OVERLOAD,
                Poisson(times),
                # What is accepted is about one in so many: half of what the profile asks for, since this load is short.
                requests=int(profile.requests * times / 2),
                relative_to=SATURATED,
                deadline_s=objective * DEADLINE,
                probes=PROBES_SMOKE if profile.name == "smoke" else PROBES,
            ),
            Phase(
                AFTERWARDS,
                Poisson(TIMES_CAPACITY_AFTERWARDS),
                requests=max(50, profile.requests // 20),
                relative_to=SATURATED,
                # What the overload has left behind is what is asked for.
                without_pause=True,
            ),
        ),
        criteria=_criteria(profile, objective),
    )


def _criteria(profile: Profile, objective: Number) -> tuple[Criterion, ...]:
    # A short run has no time for as many probes as their tail takes.
    probed = "p50" if profile.name == "smoke" else "p90"
    # Accepted requests share a queue that is always full: a thousand of them are worth some fifty independent ones, which
    # shows p95 with none late, and no tail beyond it. A short run accepts too few for that.
    accepted = "accepted_p50" if profile.name == "smoke" else "accepted_p95"
    return (
        Criterion("throughput", Ref("capacity"), (SATURATED,)),
        Criterion("goodput_share", Ref("goodput"), (SATURATED, OVERLOAD), objective_s=objective),
        Criterion(accepted, objective, (OVERLOAD,)),
        Criterion("refusal_p50", Ref("refusal"), (OVERLOAD,)),
        Criterion("unhinted_refusals", 0.0, (OVERLOAD,)),
        Criterion("lost_rate", Ref("lost_rate"), (OVERLOAD,)),
        Criterion("unaccounted", 0.0, (OVERLOAD,), Witness.SERVER),
        Criterion("rss_rise", Ref("rss_rise"), (SATURATED, OVERLOAD)),
        Criterion(f"health_{probed}", Ref("probe"), (OVERLOAD,)),
        Criterion(f"metrics_{probed}", Ref("probe"), (OVERLOAD,)),
        Criterion("settle", Ref("settle"), (OVERLOAD, AFTERWARDS), objective_s=objective),
        Criterion("error_rate", Ref("error_rate"), (AFTERWARDS,)),
    )
