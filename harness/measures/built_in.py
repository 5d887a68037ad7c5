"""The measures that come with the harness."""

from tailgate.harness.measures.knee import Knee
from tailgate.harness.measures.latency import Accepted, Drift, LatencyRise, Quantile
from tailgate.harness.measures.ledger import Unaccounted
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
from tailgate.harness.probes import Asked


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
