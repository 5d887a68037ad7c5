"""Whether a server's memory, file descriptors and threads grow while it serves."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tailgate.harness.errors import MeasurementError, UsageError
from tailgate.harness.measures.measure import Estimate, refuse_server
from tailgate.harness.observe.resources import ResourceSeries
from tailgate.harness.observe.window import Window
from tailgate.harness.results.verdict import Better
from tailgate.harness.scenario.scenario import Criterion
from tailgate.harness.units import Unit

Series = NDArray[np.float64]

# Neighbouring readings say nearly the same: a slope is taken over the medians of at most so many stretches.
MOST_STRETCHES = 60
LEAST_STRETCHES = 10


class Resource(enum.Enum):
    """What can grow."""

    RSS = "rss"
    FDS = "fd"
    THREADS = "thread"


class Per(enum.Enum):
    """What a growth is counted in."""

    HOUR = "per_hour"
    REQUESTS = "per_1000"  # a thousand requests of any client
    SHARE = "share_per_hour"  # of the median level, an hour


@dataclass(frozen=True, slots=True)
class Growth:
    """The slope of a resource over the time, or over the requests, of one phase.

    The Theil-Sen estimate: the median of the slopes between all pairs of points, with Sen's interval (P. K. Sen,
    "Estimates of the regression coefficient based on Kendall's tau", JASA 63, 1968). Up to 29 % of the points may lie
    anywhere. Points are medians over at most 60 stretches of neighbouring readings, which takes most, not all, of the
    correlation between them away: an interval still errs more often than it claims where memory goes up in steps.
    Growth that ends (a cache that fills) is growth here; let a warm-up have it.
    """

    resource: Resource
    per: Per = Per.HOUR
    better: Better = Better.LOWER

    @property
    def name(self) -> str:
        """Such as ``rss_growth_per_hour``."""
        return f"{self.resource.value}_growth_{self.per.value}"

    @property
    def unit(self) -> Unit:
        """Bytes of memory, counts of the others; shares of either."""
        if self.per is Per.SHARE:
            return Unit.SHARE
        return Unit.BYTES if self.resource is Resource.RSS else Unit.COUNT

    def estimate(self, window: Window, criterion: Criterion) -> Estimate:
        """Estimate the slope; n is the number of readings.

        Raises:
            MeasurementError: the server's processes cannot be seen, or too few readings were taken.
            UsageError: the criterion has more than one phase.
        """
        refuse_server(self, criterion)
        if len(criterion.phases) != 1:
            raise UsageError(f"{self.name} is the slope of one phase, got {criterion.phases}")
        (series,) = _series(self.name, window)
        values = _values(series, self.resource)
        seconds = series.times_s - series.times_s[0]
        x, y = stretches(seconds, values)
        if len(x) < LEAST_STRETCHES or seconds[-1] <= 0:
            raise MeasurementError(f"{self.name}: {len(values)} readings give no slope; measure for longer")
        scale = self._scale(window, float(seconds[-1]), float(np.median(values)))
        from scipy import stats  # noqa: PLC0415 - takes half a second to load, and few runs ask

        # Its confidence is two-sided.
        slope, _, low, high = stats.theilslopes(y, x, alpha=2 * window.confidence - 1)
        note = f"over {seconds[-1]:,.0f} s, from {y[0]:,.0f} to {y[-1]:,.0f}"
        return Estimate(slope * scale, low * scale, high * scale, len(values), window.confidence, note)

    def _scale(self, window: Window, seconds: float, level: float) -> float:
        match self.per:
            case Per.HOUR:
                return 3_600.0
            case Per.SHARE:
                if not level:
                    raise MeasurementError(f"{self.name}: there is nothing to take a share of")
                return 3_600.0 / level
            case Per.REQUESTS:
                return seconds / len(window.phases[0].every_sample) * 1_000


@dataclass(frozen=True, slots=True)
class MemoryRise:
    """The most resident memory in the later phases over the median in the first, less 1.

    For a phase too short for a slope, such as an overload: whether what waits is bounded. An observation, with no law
    behind it: the interval is the value itself.
    """

    name: str = "rss_rise"
    unit: Unit = Unit.SHARE
    better: Better = Better.LOWER
    knows_closed_loop: bool = True

    def estimate(self, window: Window, criterion: Criterion) -> Estimate:
        """Estimate the share; n is the number of readings.

        Raises:
            MeasurementError: the server's processes cannot be seen.
            UsageError: the criterion has one phase only.
        """
        refuse_server(self, criterion)
        if len(criterion.phases) < 2:
            raise UsageError(f"{self.name} needs a phase to compare with first, got {criterion.phases}")
        first, *later = _series(self.name, window)
        if not later:
            raise MeasurementError(f"{self.name}: not all of {criterion.phases} were measured")
        peak = max(series.peak_rss_bytes for series in later)
        rise = peak / float(np.median(first.rss_bytes)) - 1
        n = sum(len(series.times_s) for series in (first, *later))
        return Estimate(rise, rise, rise, n, window.confidence, f"at most {peak / 2**20:,.0f} MiB")


def stretches(seconds: Series, values: Series) -> tuple[Series, Series]:
    """Return the medians of times and values over at most 60 stretches of neighbouring readings."""
    parts = min(MOST_STRETCHES, len(seconds))
    if not parts:
        return seconds, values
    cut = [np.array_split(column, parts) for column in (seconds, values)]
    x, y = (np.array([np.median(part) for part in column]) for column in cut)
    return x, y


def _values(series: ResourceSeries, resource: Resource) -> Series:
    levels = {Resource.RSS: series.rss_bytes, Resource.FDS: series.fds, Resource.THREADS: series.threads}
    return levels[resource].astype(np.float64)


def _series(name: str, window: Window) -> Sequence[ResourceSeries]:
    found = [record.resources for record in window.phases]
    if not found or None in found:
        raise MeasurementError(
            f"{name}: the server's processes cannot be seen; is it one that runs elsewhere?"
        )
    return [series for series in found if series is not None]
