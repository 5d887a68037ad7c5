"""A plugin of tailgate: the scenario ``spike``, and the measure ``late_share`` that judges it.

Installed beside tailgate it takes part in every run; ``--perf-plugin=tailgate_spike.py`` does the same without installing.
Its budgets, for a service that answers in about 30 ms::

    "spike" = { rate = "5 /s", quiet = "10 s", spike = "5 s", late = "200 ms", late_share = "2 %", error_rate = 0.0 }
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tailgate import (
    Better,
    Criterion,
    Estimate,
    Measure,
    Phase,
    Poisson,
    Profile,
    Ref,
    Scenario,
    Spike,
    Unit,
    UsageError,
    Window,
    Witness,
    hookimpl,
    in_order,
    latencies_s,
    share_interval,
)

# How many times the rate rises.
FACTOR = 3


@dataclass(frozen=True, slots=True)
class LateShare:
    """The share of requests that took longer than the criterion's objective; one that failed is late."""

    name: str = "late_share"
    unit: Unit = Unit.SHARE
    better: Better = Better.LOWER

    def estimate(self, window: Window, criterion: Criterion) -> Estimate:
        """Estimate the share, with the interval of Clopper and Pearson."""
        objective_s = criterion.objective_s
        if not isinstance(objective_s, (int, float)) or criterion.witness is not Witness.CLIENT:
            raise UsageError(
                f"{self.name} needs objective_s in seconds and the client as witness, got {criterion}"
            )
        late = [latencies_s(part) > objective_s for part in in_order(window.samples)]
        # Late requests come in runs, which widens the interval.
        low, high, worth = share_interval(late, window.confidence)
        n = len(window.samples)
        share = sum(int(part.sum()) for part in late) / n if n else None
        return Estimate(share, low, high, n, window.confidence, worth=worth)


def spike(profile: Profile) -> Scenario:
    """Build the scenario; budget keys ``rate``, ``quiet``, ``spike``, ``late``, ``late_share``, ``error_rate``."""
    rate = Ref("rate")
    arrivals = Spike(rate, rate * FACTOR, at_s=Ref("quiet"), for_s=Ref("spike"))
    return Scenario(
        name="spike",
        description=f"a rate that is {FACTOR} times as high for a while",
        phases=(
            Phase("warm-up", Poisson(rate), requests=profile.warm_up_requests, measured=False),
            Phase("spike", arrivals, requests=profile.requests),
        ),
        criteria=(
            Criterion("late_share", Ref("late_share"), ("spike",), objective_s=Ref("late")),
            Criterion("error_rate", Ref("error_rate"), ("spike",)),
        ),
    )


@hookimpl
def tailgate_scenarios(profile: Profile) -> Sequence[Scenario]:
    """Bring the scenario."""
    return [spike(profile)]


@hookimpl
def tailgate_measures() -> Sequence[Measure]:
    """Bring the measure."""
    return [LateShare()]
