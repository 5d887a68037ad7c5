"""A latency histogram as the server counted it, and what can honestly be said of its quantiles.

Between two bucket edges a histogram knows nothing, so a quantile is an *interval*: the bucket that holds its order
statistic. An interval between ranks is carried over: its lower rank gives the lower edge of that rank's bucket, its upper
rank the upper edge of its own. Rounding to edges only ever widens, and where an edge stands exactly on the limit nothing is
lost. A bucket (a, b] holds values *above* a, so its lower end is given as the next float above a.
"""

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass

from tailgate.harness import statistics
from tailgate.harness.errors import MeasurementError
from tailgate.harness.observe.delta import ServerDelta
from tailgate.harness.target.asking.selector import read_selector


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of non-negative values by bucket."""

    edges: tuple[float, ...]  # ascending upper edges, each inside its bucket; the last is +inf
    cumulative: tuple[int, ...]  # values at or below each edge; the last is the total
    # How many of the values are of requests that the harness itself sent, wherever they lie. The others have
    # ranks from 1 to n; a value's place among all is its rank at least, and at most ``own`` places further.
    own: int = 0

    def __post_init__(self) -> None:
        """Refuse buckets that contradict each other."""
        if not self.edges or self.edges[-1] != math.inf:
            raise MeasurementError(f"a histogram needs a +Inf bucket, its edges are {self.edges}")
        if list(self.cumulative) != sorted(self.cumulative):
            raise MeasurementError(f"a histogram's cumulative counts must not fall, got {self.cumulative}")

    @property
    def n(self) -> int:
        """Return the number of values that are not the harness's own, by the +Inf bucket, which is read in one with the others."""
        return self.cumulative[-1] - self.own

    def bucket_around(self, value: float) -> tuple[float, float]:
        """Return the ends of the bucket in which a value lies; both are the value where an edge stands on it."""
        index = bisect.bisect_left(self.edges, value)
        if self.edges[index] == value:
            return value, value
        return (self.edges[index - 1] if index else 0.0), self.edges[index]

    def bucket(self, rank: int) -> statistics.Interval:
        """Return the ends of the buckets that may hold the ``rank``-th smallest value, counted from 1.

        It is one bucket, unless values of the harness are among them. An upper end of None is the +Inf bucket's.
        """
        if not 1 <= rank <= self.n:
            raise MeasurementError(f"a histogram of {self.n} values has no value of rank {rank}")
        first, last = (bisect.bisect_left(self.cumulative, place) for place in (rank, rank + self.own))
        low = 0.0 if first == 0 else math.nextafter(self.edges[first - 1], math.inf)
        high = self.edges[last]
        return statistics.Interval(low, None if high == math.inf else high)

    def quantile_bucket(self, share: float) -> statistics.Interval:
        """Return the bucket that holds the sample quantile; both ends None when the histogram is empty."""
        if self.n == 0:
            return statistics.Interval(None, None)
        return self.bucket(statistics.point_rank(self.n, share))

    def quantile_point(self, share: float) -> float | None:
        """Interpolate the sample quantile linearly within its bucket, as Prometheus does, for display only.

        Values of the harness are taken for the smallest. None when the histogram is empty or the quantile lies above the
        last finite edge.
        """
        if self.n == 0:
            return None
        place = statistics.point_rank(self.n, share) + self.own
        index = bisect.bisect_left(self.cumulative, place)
        low, high = (self.edges[index - 1] if index else 0.0), self.edges[index]
        if high == math.inf:
            return None
        below = self.cumulative[index - 1] if index else 0
        return low + (high - low) * (place - below) / (self.cumulative[index] - below)

    def between(self, low: int | None, high: int | None) -> statistics.Interval:
        """Return an interval that holds the values of these ranks and all between, each end on a bucket's; None is open."""
        return statistics.Interval(
            None if low is None else self.bucket(low).low, None if high is None else self.bucket(high).high
        )


def from_delta(delta: ServerDelta, name: str) -> Histogram:
    """Take one histogram out of two scrapes, summed over the series that its selector means, all with the same edges."""
    selector = read_selector(name)
    counts: dict[tuple[tuple[str, str], ...], dict[float, float]] = {}
    for series, increase in delta.increases(selector.suffixed("_bucket")).items():
        labels = dict(series.labels)
        try:
            edge = float(labels.pop("le"))
            if math.isnan(edge):
                raise ValueError  # noqa: TRY301 - one way to say it
        except (KeyError, ValueError) as error:
            raise MeasurementError(f"{series} is a bucket whose label le is not an edge") from error
        buckets = counts.setdefault(tuple(labels.items()), {})
        if edge in buckets:
            raise MeasurementError(
                f"the metrics give the bucket {series} twice, in two spellings of its edge"
            )
        buckets[edge] = increase
    if not counts:
        kind = delta.after.kinds.get(selector.name)
        told = f"; {selector.name} is a {kind}, which has no buckets" if kind and kind != "histogram" else ""
        raise MeasurementError(f"the metrics hold no histogram {name!r}{told}")
    edges = {tuple(sorted(buckets)) for buckets in counts.values()}
    if len(edges) > 1:
        raise MeasurementError(
            f"the histogram {name!r} has other edges under other labels: they cannot be summed"
        )
    common = edges.pop()
    cumulative = tuple(round(sum(buckets[edge] for buckets in counts.values())) for edge in common)
    return Histogram(common, cumulative)


def merge(histograms: Sequence[Histogram]) -> Histogram:
    """Add histograms of several phases."""
    if len({histogram.edges for histogram in histograms}) != 1:
        raise MeasurementError(
            f"histograms can be added when they have the same edges; got {len(histograms)} of differing ones"
        )
    return Histogram(
        histograms[0].edges,
        tuple(
            sum(column) for column in zip(*(histogram.cumulative for histogram in histograms), strict=True)
        ),
        sum(histogram.own for histogram in histograms),
    )
