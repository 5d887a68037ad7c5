"""Measures: from the records of some phases to one estimate with its interval.

Stands between the saved samples and scrapes and the judge. A measure is an object with a name, a unit, a direction and
``estimate(window, criterion)``; those of plugins come in through the hook ``tailgate_measures`` and look like these.
Nothing here compares with a limit.

A request that failed was never answered: it counts as infinitely late and is never dropped (:mod:`harness.window`), so
that an estimate can be infinite, and a budget cannot be met by refusing the slow requests.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from harness import statistics
from harness.arrivals import Bursts, Constant, Gamma, Poisson
from harness.errors import MeasurementError, UsageError
from harness.histogram import Histogram
from harness.samples import Samples
from harness.scenario import Criterion, Ref, Witness, quantile_name
from harness.verdict import Better, Estimate, Unit
from harness.window import PhaseRecord, Seconds, Window, failed, latencies_s, offered_rate_per_s

# The tail that decides whether a rate is kept: the knee is asked in terms of p95.
_KNEE_SHARE = 0.95


class Measure(Protocol):
    """What a plugin adds to be able to judge something new."""

    @property
    def name(self) -> str:
        """Name by which criteria ask for it, unique among all plugins."""
        ...

    @property
    def unit(self) -> Unit:
        """What its numbers count."""
        ...

    @property
    def better(self) -> Better:
        """Which direction is an improvement."""
        ...

    def estimate(self, window: Window, criterion: Criterion) -> Estimate:
        """Estimate from the records of the criterion's phases.

        Raises:
            MeasurementError: the records do not allow it: the criterion is INVALID.
            UsageError: the criterion makes no sense for this measure.
        """
        ...


@dataclass(frozen=True, slots=True)
class Quantile:
    """A latency quantile, by either witness. The theory is in :mod:`harness.statistics`.

    The client's is exact. The server's is a bucket of its histogram: the interval ends on the buckets' edges, and the
    value is interpolated, for display only. The server's histogram knows nothing of requests that never reached it,
    and its answers to refused ones are quick: ask for ``error_rate`` beside it.
    """

    share: float
    unit: Unit = Unit.SECONDS
    better: Better = Better.LOWER

    @property
    def name(self) -> str:
        """Such as ``p95``."""
        return quantile_name(self.share)

    def estimate(self, window: Window, criterion: Criterion) -> Estimate:
        """Estimate in seconds, from the witness that the criterion names."""
        if criterion.witness is Witness.SERVER:
            return self._of_histogram(window.request_histogram(), window.confidence)
        return self.of_samples(window.samples, window.confidence)

    def of_samples(self, samples: Samples, confidence: float) -> Estimate:
        """Estimate from raw records; the value is None below n(1 - share) = 10."""
        seconds = latencies_s(samples)
        n, failures = len(seconds), int(failed(samples).sum())
        low, high = statistics.quantile_interval(seconds, self.share, confidence)
        notes = [f"{failures} of {n} requests failed and count as infinitely late"] if failures else []
        if n < statistics.least_samples(self.share):
            return Estimate(None, low, high, n, confidence, "; ".join([*notes, self._too_few(n)]))
        value = statistics.quantile(seconds, self.share)
        in_time = seconds[np.argsort(samples["intended_ns"], kind="stable")]
        worth = statistics.effective_samples(in_time > value)
        if worth < n / 2:
            notes.append(
                f"slow requests come in runs: these say as much as about {worth:.0f} independent ones"
            )
        return Estimate(value, low, high, n, confidence, "; ".join(notes))

    def _of_histogram(self, buckets: Histogram, confidence: float) -> Estimate:
        low, high = buckets.quantile_interval(self.share, confidence)
        spoken = buckets.n >= statistics.least_samples(self.share)
        value = buckets.quantile_point(self.share) if spoken else None
        note = self._too_few(buckets.n) or "value interpolated within its bucket; the ends are buckets' edges"
        return Estimate(value, low, high, buckets.n, confidence, note)

    def _too_few(self, n: int) -> str:
        least = statistics.least_samples(self.share)
        return "" if n >= least else f"{self.name} is spoken of from {least} requests on, these are {n}"


@dataclass(frozen=True, slots=True)
class ErrorRate:
    """The share of requests that ended without a good answer, with the interval of Clopper and Pearson.

    With no failure at all the high end is 1 - alpha^(1/n), never 0: a limit of exactly 0 cannot be shown to hold, so
    that limit is read as "none was seen" (see :meth:`estimate`).
    """

    name: str = "error_rate"
    unit: Unit = Unit.SHARE
    better: Better = Better.LOWER

    def estimate(self, window: Window, criterion: Criterion) -> Estimate:
        """Estimate the share; for a limit of 0 the interval is the share itself, without inference."""
        _refuse_server(self, criterion)
        samples = window.samples
        n, failures = len(samples), int(failed(samples).sum())
        share = failures / n if n else None
        if criterion.limit == 0:
            note = "a limit of 0 asks of the requests that were sent, not of those to come"
            return Estimate(share, share, share, n, window.confidence, note)
        low, high = statistics.share_interval(failures, n, window.confidence)
        return Estimate(share, low, high, n, window.confidence)


@dataclass(frozen=True, slots=True)
class Throughput:
    """Good answers a second, from the first intended send to the last byte of each phase.

    The interval takes the count as Poisson (Garwood), which is conservative for a server that is kept busy: its
    completions are more even. Below capacity this is the offered rate and says nothing of the server.
    """

    name: str = "throughput"
    unit: Unit = Unit.PER_SECOND
    better: Better = Better.HIGHER

    def estimate(self, window: Window, criterion: Criterion) -> Estimate:
        """Estimate in requests/s."""
        _refuse_server(self, criterion)
        answered, seconds = 0, 0.0
        for record in window.phases:
            good = record.samples[~failed(record.samples)]
            if len(record.samples):
                end_ns = max(int(record.samples["done_ns"].max()), int(record.samples["intended_ns"].max()))
                seconds += (end_ns - int(record.samples["intended_ns"].min())) / 1e9
            answered += len(good)
        if seconds <= 0:
            raise MeasurementError(f"{self.name}: {answered} answers in {seconds} s give no rate")
        low, high = statistics.count_interval(answered, window.confidence)
        assert low is not None
        assert high is not None
        return Estimate(answered / seconds, low / seconds, high / seconds, answered, window.confidence)


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
        _refuse_server(self, criterion)
        objective_s = _objective_s(self, criterion)
        strict = 1 - (1 - window.confidence) / len(window.phases)
        quantile = Quantile(_KNEE_SHARE)
        shown, seen, beyond = [], [], []
        steps = sorted(
            (_step_rate(record), index, record.samples) for index, record in enumerate(window.phases)
        )
        for rate, _, samples in steps:
            estimate = quantile.of_samples(samples, window.confidence)
            clean = not failed(samples).any()
            shown.append((rate, clean and estimate.high is not None and estimate.high <= objective_s))
            # A point for display, so the sample quantile will do where the estimate has no value yet.
            point_s = statistics.quantile(latencies_s(samples), _KNEE_SHARE) if len(samples) else math.inf
            seen.append((rate, clean and point_s <= objective_s))
            strict_low = quantile.of_samples(samples, strict).low
            beyond.append((rate, strict_low is None or strict_low <= objective_s))
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


@dataclass(frozen=True, slots=True)
class Recover:
    """How long after a burst the service is back within the objective: the median over all bursts.

    Of the requests meant between one burst and the next, those later than the objective count, failed ones among
    them; a burst's time to recover is from the burst to the last moment at which one of these ended, and 0 if there is
    none. The interval of the median comes from the bursts' order statistics: 7 bursts bound it at confidence 0.99.
    A service that fails every request of a burst at once recovers at once: ask for ``error_rate`` beside it.
    """

    name: str = "recover"
    unit: Unit = Unit.SECONDS
    better: Better = Better.LOWER

    def estimate(self, window: Window, criterion: Criterion) -> Estimate:
        """Estimate in seconds; n is the number of bursts."""
        _refuse_server(self, criterion)
        objective_s = _objective_s(self, criterion)
        recoveries = np.concatenate([_recoveries_s(record, objective_s) for record in window.phases])
        low, high = statistics.quantile_interval(recoveries, 0.5, window.confidence)
        value = statistics.quantile(recoveries, 0.5)
        note = f"median of {len(recoveries)} bursts"
        return Estimate(value, low, high, len(recoveries), window.confidence, note)


def built_in_measures() -> tuple[Measure, ...]:
    """Return the measures that come with the harness."""
    quantiles = tuple(Quantile(share) for share in (0.5, 0.9, 0.95, 0.99, 0.999))
    return (*quantiles, ErrorRate(), Throughput(), Knee(), Recover())


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


def _objective_s(measure: Measure, criterion: Criterion) -> float:
    if not isinstance(criterion.objective_s, (int, float)) or not 0 < criterion.objective_s < math.inf:
        raise UsageError(
            f"{measure.name} needs the criterion's objective_s in seconds, got {criterion.objective_s}"
        )
    return float(criterion.objective_s)


def _refuse_server(measure: Measure, criterion: Criterion) -> None:
    if criterion.witness is not Witness.CLIENT:
        raise UsageError(
            f"{measure.name} is measured from the client's record only, not by {criterion.witness}"
        )
