"""How long a service takes to be itself again: after a burst, and after an overload."""

import math

import numpy as np

from tailgate.harness import statistics
from tailgate.harness.errors import MeasurementError, UsageError
from tailgate.harness.measures.measure import Estimate, objective_s
from tailgate.harness.observe.window import PhaseRecord, Seconds, Window, latencies_s
from tailgate.harness.scenario.arrivals import Bursts
from tailgate.harness.scenario.scenario import Criterion


def recover(window: Window, criterion: Criterion) -> Estimate:
    """Estimate how many seconds after a burst the service is back within the objective: the median over all bursts.

    Of the requests meant between one burst and the next, those later than the objective count, failed ones among
    them; a burst's time to recover is from the burst to the last moment at which one of these ended, and 0 if there is
    none. The interval of the median comes from the bursts' order statistics: 7 bursts bound it at confidence 0.99.
    A service that fails every request of a burst at once recovers at once: ask for ``error_rate`` beside it.
    """
    late_s = objective_s(criterion)
    recoveries = np.concatenate([_recoveries_s(record, late_s) for record in window.phases])
    low, high = statistics.quantile_interval(recoveries, 0.5, window.confidence)
    value = statistics.quantile(recoveries, 0.5)
    note = f"median of {len(recoveries)} bursts"
    return Estimate(value, low, high, len(recoveries), window.confidence, note)


def settle(window: Window, criterion: Criterion) -> Estimate:
    """Measure how many seconds after an overload the service is back within the objective.

    Of two phases, the overload and what follows it: from the last intended time of the first to the end of the last
    request of the second that was later than the objective, failed ones among them; where none was, to the first
    intended time of the second. Between two phases the harness waits until nothing is in flight, so that the work that
    the overload left behind is in the time. It is one event, not a sample of many: the interval is the value itself,
    and asks of this overload, not of those to come.
    """
    late_s = objective_s(criterion)
    if len(criterion.phases) != 2:
        raise UsageError(
            f"{criterion.measure} needs two phases, the overload and what follows, got {criterion.phases}"
        )
    if len(window.phases) != 2 or not all(len(record.samples) for record in window.phases):
        raise MeasurementError(f"{criterion.measure}: {criterion.phases} were not both measured")
    overload, after = (record.samples for record in window.phases)
    ended_ns = int(overload["intended_ns"].max())
    late = latencies_s(after) > late_s
    if (after["done_ns"][late] == 0).any():
        value = math.inf
    else:
        settled_ns = after["done_ns"][late].max() if late.any() else after["intended_ns"].min()
        value = (int(settled_ns) - ended_ns) / 1e9
    note = f"{int(late.sum())} of {len(after)} requests afterwards were late"
    return Estimate(value, value, value, len(after), window.confidence, note)


def _recoveries_s(record: PhaseRecord, objective_s: float) -> Seconds:
    arrivals = record.phase.arrivals
    if not isinstance(arrivals, Bursts) or arrivals.size < 2:
        raise MeasurementError(f"phase {record.phase.name!r} has no bursts of 2 or more, but {arrivals}")
    intended = record.samples["intended_ns"]
    # A burst is the only thing that puts so many requests on one instant; the last may be cut short by the extent.
    instants, together = np.unique(intended, return_counts=True)
    bursts = instants[together >= arrivals.size]
    if not len(bursts):
        raise MeasurementError(
            f"phase {record.phase.name!r}: no {arrivals.size} requests share an intended time"
        )
    # Intended times are whole nanoseconds: a microsecond keeps the next burst's rounding out.
    every_ns = int(float(arrivals.every_s) * 1e9) - 1_000  # type: ignore[arg-type]
    late = latencies_s(record.samples) > objective_s
    ended = np.where(record.samples["done_ns"] == 0, np.inf, record.samples["done_ns"])
    recoveries = np.zeros(len(bursts))
    for index, burst in enumerate(bursts):
        still_late = ended[late & (intended >= burst) & (intended < burst + every_ns)]
        recoveries[index] = (still_late.max() - burst) / 1e9 if len(still_late) else 0.0
    return recoveries
