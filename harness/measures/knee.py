"""The highest rate that a service keeps."""

import math
from collections.abc import Sequence

from tailgate.harness import statistics
from tailgate.harness.errors import MeasurementError
from tailgate.harness.measures.latency import of_samples
from tailgate.harness.measures.measure import Estimate, objective_s
from tailgate.harness.observe.window import PhaseRecord, Window, failed, latencies_s, offered_rate_per_s
from tailgate.harness.scenario.arrivals import Constant, Gamma, Poisson
from tailgate.harness.scenario.ref import Ref
from tailgate.harness.scenario.scenario import Criterion

# The tail that decides whether a rate is kept: the knee is asked in terms of p95.
_SHARE = 0.95


def knee(window: Window, criterion: Criterion) -> Estimate:
    """Estimate the highest rate with p95 within the objective and no failed request, in requests/s.

    Each phase is one step of the ramp. Its rate is that of its law of arrivals, where it has a constant one, since that is
    what a limit names: the rate of the drawn times would miss it by luck. Counting from the slowest step,

    * low is the last rate before the first step whose p95 is not *shown* to be within the objective;
    * value is the last rate before the first step whose sample p95 lies beyond it, or that had a failure;
    * high is the first rate whose p95 is *shown* to be beyond it; None when the ramp never got there.

    Each end is wrong with probability at most alpha. Low errs only if the first step that is truly beyond passes:
    one test. High errs if any of the m steps fails falsely, so each is tested at alpha / m (Bonferroni).
    """
    late_s = objective_s(criterion)
    strict = 1 - (1 - window.confidence) / len(window.phases)
    steps = sorted(window.phases, key=_step_rate)
    rates = [_step_rate(record) for record in steps]
    shown, seen, possible = [], [], []
    for record in steps:
        samples = record.samples
        clean = not failed(samples).any()
        high = of_samples(samples, _SHARE, window.confidence).high
        shown.append(clean and high is not None and high <= late_s)
        # A point for display, so the sample quantile will do where the estimate has no value yet.
        point_s = statistics.quantile(latencies_s(samples), _SHARE) if len(samples) else math.inf
        seen.append(clean and point_s <= late_s)
        low = of_samples(samples, _SHARE, strict).low
        possible.append(low is None or low <= late_s)
    beyond = next((rate for rate, kept in zip(rates, possible, strict=True) if not kept), None)
    note = "" if beyond is not None else f"the ramp ends at {rates[-1]:.4g}/s without a step shown beyond"
    if not possible[0]:
        note = "even the slowest step is beyond the objective"
    n = sum(len(record.samples) for record in steps)
    return Estimate(_last_kept(rates, seen), _last_kept(rates, shown), beyond, n, window.confidence, note)


def _step_rate(record: PhaseRecord) -> float:
    arrivals = record.phase.arrivals
    if isinstance(arrivals, Constant | Poisson | Gamma) and not isinstance(arrivals.rate_per_s, Ref):
        return float(arrivals.rate_per_s)
    rate = offered_rate_per_s(record.samples)
    if rate is None:
        raise MeasurementError(f"phase {record.phase.name!r}: {len(record.samples)} requests offer no rate")
    return rate


def _last_kept(rates: Sequence[float], kept: Sequence[bool]) -> float | None:
    """Return the last rate before the first step that is not kept."""
    count = [*kept, False].index(False)
    return rates[count - 1] if count else None
