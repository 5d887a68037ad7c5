"""The highest rate that a service keeps."""

import math
from dataclasses import dataclass

from tailgate.harness import statistics
from tailgate.harness.errors import MeasurementError
from tailgate.harness.measures.latency import Quantile
from tailgate.harness.measures.measure import Estimate, objective_s, refuse_server
from tailgate.harness.observe.window import PhaseRecord, Window, failed, latencies_s, offered_rate_per_s
from tailgate.harness.results.verdict import Better
from tailgate.harness.scenario.arrivals import Constant, Gamma, Poisson
from tailgate.harness.scenario.ref import Ref
from tailgate.harness.scenario.scenario import Criterion
from tailgate.harness.units import Unit

# The tail that decides whether a rate is kept: the knee is asked in terms of p95.
_KNEE_SHARE = 0.95


@dataclass(frozen=True, slots=True)
class Knee:
    """The highest rate that the service keeps: p95 within the criterion's objective, and no request failed.

    Each phase is one step of the ramp. Its rate is that of its law of arrivals, where it has a constant one, since that is
    what a limit names: the rate of the drawn times would miss it by luck. Counting from the slowest step,

    * low is the last rate before the first step whose p95 is not *shown* to be within the objective;
    * value is the last rate before the first step whose sample p95 lies beyond it, or that had a failure;
    * high is the first rate whose p95 is *shown* to be beyond it; None when the ramp never got there.

    Each end is wrong with probability at most alpha. Low errs only if the first step that is truly beyond passes:
    one test. High errs if any of the m steps fails falsely, so each is tested at alpha / m (Bonferroni).
    """

    name: str = "knee"
    unit: Unit = Unit.PER_SECOND
    better: Better = Better.HIGHER

    def estimate(self, window: Window, criterion: Criterion) -> Estimate:
        """Estimate in requests/s; n is the number of requests over all steps."""
        refuse_server(self, criterion)
        late_s = objective_s(self, criterion)
        strict = 1 - (1 - window.confidence) / len(window.phases)
        quantile = Quantile(_KNEE_SHARE)
        shown, seen, beyond = [], [], []
        steps = sorted(
            (_step_rate(record), index, record.samples) for index, record in enumerate(window.phases)
        )
        for rate, _, samples in steps:
            estimate = quantile.of_samples(samples, window.confidence)
            clean = not failed(samples).any()
            shown.append((rate, clean and estimate.high is not None and estimate.high <= late_s))
            # A point for display, so the sample quantile will do where the estimate has no value yet.
            point_s = statistics.quantile(latencies_s(samples), _KNEE_SHARE) if len(samples) else math.inf
            seen.append((rate, clean and point_s <= late_s))
            strict_low = quantile.of_samples(samples, strict).low
            beyond.append((rate, strict_low is None or strict_low <= late_s))
        held = _last_before_first_no(beyond)
        high = next((rate for rate, kept in beyond if not kept), None)
        note = (
            "" if high is not None else f"the ramp ends at {steps[-1][0]:.4g}/s without a step shown beyond"
        )
        if held is None:
            note = "even the slowest step is beyond the objective"
        return Estimate(
            _last_before_first_no(seen),
            _last_before_first_no(shown),
            high,
            sum(len(samples) for _, _, samples in steps),
            window.confidence,
            note,
        )


def _step_rate(record: PhaseRecord) -> float:
    """Return the rate that the step's law of arrivals names; of the intended times where it names none."""
    arrivals = record.phase.arrivals
    if isinstance(arrivals, Constant | Poisson | Gamma) and not isinstance(arrivals.rate_per_s, Ref):
        return float(arrivals.rate_per_s)
    rate = offered_rate_per_s(record.samples)
    if rate is None:
        raise MeasurementError(f"phase {record.phase.name!r}: {len(record.samples)} requests offer no rate")
    return rate


def _last_before_first_no(steps: list[tuple[float, bool]]) -> float | None:
    last = None
    for rate, kept in steps:
        if not kept:
            break
        last = rate
    return last
