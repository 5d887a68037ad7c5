"""Whether a server's memory, file descriptors and threads grow while it serves."""

import enum
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tailgate.harness.errors import MeasurementError, UsageError
from tailgate.harness.measures.measure import Estimate
from tailgate.harness.observe.beside.resources import ResourceReading
from tailgate.harness.observe.window import Window
from tailgate.harness.scenario.scenario import Criterion

Series = NDArray[np.float64]

# Neighbouring readings say nearly the same: a slope is taken over the medians of at most so many stretches.
MOST_STRETCHES = 60
LEAST_STRETCHES = 10


class Per(enum.Enum):
    """What a growth is counted in."""

    HOUR = enum.auto()
    REQUESTS = enum.auto()  # a thousand, of any client
    SHARE = enum.auto()  # of the median level, an hour


def growth(window: Window, criterion: Criterion, held: str, per: Per) -> Estimate:
    """Estimate the slope of what the server's processes hold, such as memory, over one phase.

    ``held`` is a field of ResourceReading; n is the number of readings. The Theil-Sen estimate: the median of the slopes between all pairs of points, with Sen's interval (P. K. Sen,
    "Estimates of the regression coefficient based on Kendall's tau", JASA 63, 1968). Up to 29 % of the points may lie
    anywhere. Points are medians over at most 60 stretches of neighbouring readings, which takes most, not all, of the
    correlation between them away: an interval still errs more often than it claims where memory goes up in steps.
    Growth that ends (a cache that fills) is growth here; let a warm-up have it.
    """
    if len(criterion.phases) != 1:
        raise UsageError(f"{criterion.measure} is the slope of one phase, got {criterion.phases}")
    (readings,) = _readings(window, criterion)
    values = np.array([getattr(one, held) for one in readings], np.float64)
    seconds = np.array([one.time_s - readings[0].time_s for one in readings])
    x, y = stretches(seconds, values)
    if len(x) < LEAST_STRETCHES or seconds[-1] <= 0:
        raise MeasurementError(
            f"{criterion.measure}: {len(values)} readings give no slope; measure for longer"
        )
    scale = 3_600.0
    if per is Per.REQUESTS:
        scale = float(seconds[-1]) / len(window.phases[0].every_sample) * 1_000
    elif per is Per.SHARE:
        level = float(np.median(values))
        if not level:
            raise MeasurementError(f"{criterion.measure}: there is nothing to take a share of")
        scale /= level
    from scipy import stats  # noqa: PLC0415 - takes half a second to load, and few runs ask

    # Its confidence is two-sided.
    slope, _, low, high = stats.theilslopes(y, x, alpha=2 * window.confidence - 1)
    note = f"over {seconds[-1]:,.0f} s, from {y[0]:,.0f} to {y[-1]:,.0f}"
    return Estimate(slope * scale, low * scale, high * scale, len(values), window.confidence, note)


def memory_rise(window: Window, criterion: Criterion) -> Estimate:
    """Measure the most resident memory in the later phases over the median in the first, less 1.

    For a phase too short for a slope, such as an overload: whether what waits is bounded. An observation, with no law
    behind it: the interval is the value itself.
    """
    if len(criterion.phases) < 2:
        raise UsageError(f"{criterion.measure} needs a phase to compare with first, got {criterion.phases}")
    first, *later = _readings(window, criterion)
    if not later:
        raise MeasurementError(f"{criterion.measure}: not all of {criterion.phases} were measured")
    peak = max(one.rss_bytes for readings in later for one in readings)
    rise = peak / float(np.median([one.rss_bytes for one in first])) - 1
    n = sum(map(len, (first, *later)))
    return Estimate(rise, rise, rise, n, window.confidence, f"at most {peak / 2**20:,.0f} MiB")


def stretches(seconds: Series, values: Series) -> tuple[Series, Series]:
    """Return the medians of times and values over at most 60 stretches of neighbouring readings, at least one."""
    parts = min(MOST_STRETCHES, len(seconds))
    cut = [np.array_split(column, parts) for column in (seconds, values)]
    x, y = (np.array([np.median(part) for part in column]) for column in cut)
    return x, y


def _readings(window: Window, criterion: Criterion) -> Sequence[Sequence[ResourceReading]]:
    found = [record.resources for record in window.phases]
    if not found or not all(found):
        raise MeasurementError(
            f"{criterion.measure}: the server's processes cannot be seen; is it one that runs elsewhere?"
        )
    return found
