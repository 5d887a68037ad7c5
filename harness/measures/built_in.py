"""The measures that come with the harness."""

from harness.measures.knee import Knee
from harness.measures.latency import Accepted, Drift, LatencyRise, Quantile
from harness.measures.ledger import Unaccounted
from harness.measures.measure import Measure
from harness.measures.probes import ProbeLatency
from harness.measures.rates import ErrorRate, Goodput, GoodputShare, LostRate, Misanswered, Throughput
from harness.measures.recovery import Recover, Settle
from harness.measures.refusal import RefusalLatency, UnhintedRefusals
from harness.measures.resources import Growth, MemoryRise, Per, Resource
from harness.probes import Asked


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
