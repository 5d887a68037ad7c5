"""Measures: from the records of some phases to one estimate with its interval.

Stands between the saved samples and scrapes and the judge. A measure is an object with a name, a unit, a direction and
``estimate(window, criterion)``; those of plugins come in through the hook ``tailgate_measures`` and look like these.
Nothing here compares with a limit.

A request that failed was never answered: it counts as infinitely late and is never dropped (:mod:`tailgate.harness.observe.window`), so
that an estimate can be infinite, and a budget cannot be met by refusing the slow requests.
"""

from tailgate.harness.measures.knee import Knee
from tailgate.harness.measures.latency import Accepted, Drift, LatencyRise, Quantile
from tailgate.harness.measures.measure import Measure
from tailgate.harness.measures.probes import ProbeLatency
from tailgate.harness.measures.rates import (
    ErrorRate,
    Goodput,
    GoodputShare,
    LostRate,
    Misanswered,
    Throughput,
)
from tailgate.harness.measures.recovery import Recover, Settle
from tailgate.harness.measures.refusal import RefusalLatency, UnhintedRefusals
from tailgate.harness.measures.resources import Growth, MemoryRise, Per, Resource
from tailgate.harness.measures.unaccounted import Unaccounted
from tailgate.harness.observe.probes import Asked

__all__ = [
    "Accepted",
    "Drift",
    "ErrorRate",
    "Goodput",
    "GoodputShare",
    "Growth",
    "Knee",
    "LatencyRise",
    "LostRate",
    "Measure",
    "MemoryRise",
    "Misanswered",
    "Per",
    "ProbeLatency",
    "Quantile",
    "Recover",
    "RefusalLatency",
    "Resource",
    "Settle",
    "Throughput",
    "Unaccounted",
    "UnhintedRefusals",
    "built_in_measures",
]


def built_in_measures() -> tuple[Measure, ...]:
    """Return them."""
    return (
        *(Quantile(share) for share in (0.5, 0.9, 0.95, 0.99, 0.999)),
        *(Accepted(share) for share in (0.5, 0.95, 0.99)),
        *(Drift(share) for share in (0.5, 0.95)),
        *(LatencyRise(share) for share in (0.5, 0.95)),
        ErrorRate(),
        LostRate(),
        Misanswered(),
        Throughput(),
        Goodput(),
        GoodputShare(),
        RefusalLatency(0.5),
        UnhintedRefusals(),
        Knee(),
        Recover(),
        Settle(),
        *(ProbeLatency(asked, share) for asked in Asked for share in (0.5, 0.9)),
        *(Growth(Resource.RSS, per) for per in Per),
        *(Growth(resource) for resource in (Resource.FDS, Resource.THREADS)),
        MemoryRise(),
        Unaccounted(),
    )
