"""Latency quantiles, and whether they grow."""

import math
from dataclasses import dataclass

import numpy as np

from tailgate.harness import statistics
from tailgate.harness.errors import MeasurementError, UsageError
from tailgate.harness.load.samples import Outcome, Samples, kinds
from tailgate.harness.measures.dependence import Ranks, quantile_interval, quantile_ranks, requests_needed
from tailgate.harness.measures.measure import Estimate, refuse_server
from tailgate.harness.observe.histogram import Histogram
from tailgate.harness.observe.window import Seconds, Window, failed, in_order, latencies_s
from tailgate.harness.results.criterion import Witness
from tailgate.harness.results.verdict import Better
from tailgate.harness.scenario.scenario import Criterion, quantile_name
from tailgate.harness.units import Unit, show


@dataclass(frozen=True, slots=True)
class Quantile:
    """A latency quantile, by either witness. The theory is in :mod:`tailgate.harness.statistics`.

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
        if criterion.witness is Witness.CLIENT:
            return self.of_samples(window.samples, window.confidence)
        assert isinstance(criterion.limit, (int, float))  # the judge has seen to it
        buckets, n = window.request_histogram(), max(1, len(window.samples))
        # A histogram does not tell in which order its values came: the client saw the same requests come.
        low, high, worth = quantile_ranks(_stretches(window.samples), self.share, window.confidence)
        ranks = Ranks(
            None if low is None else low * buckets.n // n or None,
            None if high is None else -(-high * buckets.n // n) or None,
            worth * buckets.n / n,
        )
        return self._of_histogram(buckets, ranks, window.confidence, criterion.limit)

    def of_samples(self, samples: Samples, confidence: float) -> Estimate:
        """Estimate from raw records; the value is None below n(1 - share) = 10."""
        seconds = latencies_s(samples)
        n = len(seconds)
        (low, high), worth = quantile_interval(_stretches(samples), self.share, confidence)
        among = n > 0 and statistics.quantile(seconds, self.share) == math.inf
        notes = [self._among_failures(samples, low, maybe=among or high == math.inf) or self._too_few(n)]
        if high is None and not among:
            notes.append(self._needed(confidence, n, worth))
        value = None if self._too_few(n) else statistics.quantile(seconds, self.share)
        return Estimate(value, low, high, n, confidence, "; ".join(filter(None, notes)), worth=worth)

    def _among_failures(self, samples: Samples, low: float | None, *, maybe: bool) -> str:
        """Say whether the quantile lies among the requests that failed, or may do so; nothing for neither."""
        bad = samples[failed(samples)]
        if low == math.inf and len(bad) == len(samples):
            return f"all {len(bad):,} requests failed ({kinds(bad)}), so there is no latency to judge"
        told = f"{len(bad):,} of {len(samples):,} requests failed ({kinds(bad)})"
        if low == math.inf:
            return f"{told}, and {self.name} lies among them"
        return f"{told}, and {self.name} may lie among them" if maybe else ""

    def _of_histogram(self, buckets: Histogram, ranks: Ranks, confidence: float, limit: float) -> Estimate:
        low, high = buckets.between(ranks.low, ranks.high)
        spoken = buckets.n >= statistics.least_samples(self.share)
        value = buckets.quantile_point(self.share) if spoken else None
        below, above = buckets.bucket_around(limit)
        # However many more there are, they fall into the same bucket; or there is no other for them to fall into.
        inside = low is not None and low >= below and (math.inf if high is None else high) <= above
        alone = (below, above) == (0.0, math.inf)
        if below < limit < above and (alone or (inside and not self._too_few(buckets.n))):
            return Estimate(
                value, low, high, buckets.n, confidence, _no_edge(below, above, limit), narrows=False
            )
        note = self._too_few(buckets.n) or "value interpolated within its bucket; the ends are buckets' edges"
        if ranks.high is None and buckets.n:
            note = self._needed(confidence, buckets.n, ranks.worth)
        return Estimate(value, low, high, buckets.n, confidence, note, worth=ranks.worth)

    def _needed(self, confidence: float, n: int, worth: float) -> str:
        needed = requests_needed(self.share, confidence, n, worth)
        return f"{needed:,} requests that come in such runs would bound it, with none beyond"

    def _too_few(self, n: int) -> str:
        least = statistics.least_samples(self.share)
        return "" if n >= least else f"{self.name} is spoken of from {least} requests on, these are {n}"


def _no_edge(below: float, above: float, limit: float) -> str:
    """Say where a histogram lacks an edge, and what to do."""
    ends = [show(end, Unit.SECONDS) for end in (below, above)]
    if below and above < math.inf:
        where = f"between {ends[0]} and {ends[1]}"
    elif below:
        where = f"above {ends[0]}"
    else:
        where = f"below {ends[1]}" if above < math.inf else "at all"
    return (
        f"the server's histogram has no edge {where}, so that no number of requests can tell: give it one at "
        f"{show(limit, Unit.SECONDS)}, or leave the server's criterion out with --perf-metric=request_seconds="
    )


@dataclass(frozen=True, slots=True)
class Accepted:
    """A latency quantile of the requests that were not refused with 429 or 503.

    For overload, where some refusals are right: those who get in must not wait for ever. Leaving the refused ones out is
    not the same as dropping slow requests, but only in company. By itself a service could keep this limit by refusing
    whatever would be slow; so :class:`~tailgate.harness.measures.rates.GoodputShare` is to be judged by the same phases, and
    falls with each request that is refused for no need. A request that was taken in and then timed out, broke off or
    ended in another error counts as infinitely late, as everywhere.
    """

    share: float
    unit: Unit = Unit.SECONDS
    better: Better = Better.LOWER

    @property
    def name(self) -> str:
        """Such as ``accepted_p99``."""
        return f"accepted_{quantile_name(self.share)}"

    def estimate(self, window: Window, criterion: Criterion) -> Estimate:
        """Estimate in seconds; n is the number of requests that were not refused.

        Raises:
            MeasurementError: every request was refused.
        """
        refuse_server(self, criterion)
        samples = window.samples
        accepted = samples[samples["outcome"] != Outcome.SHED]
        if not len(accepted):
            raise MeasurementError(f"{self.name}: all {len(samples)} requests were refused")
        return Quantile(self.share).of_samples(accepted, window.confidence)


@dataclass(frozen=True, slots=True)
class Drift:
    """How much a latency quantile grew from the first third of a window's requests to the last, as a share.

    last / first - 1, thirds by intended time. The interval divides the order-statistic intervals of both thirds, each
    end at half the error probability (Bonferroni): low = low(last) / high(first) - 1, high = high(last) / low(first) - 1.
    It says nothing of the middle, and takes a machine that became slower for the service: the yardstick speaks of that.
    """

    share: float
    unit: Unit = Unit.SHARE
    better: Better = Better.LOWER

    @property
    def name(self) -> str:
        """Such as ``drift_p50``."""
        return f"drift_{quantile_name(self.share)}"

    def estimate(self, window: Window, criterion: Criterion) -> Estimate:
        """Estimate the share; n is the number of requests in both thirds.

        Raises:
            MeasurementError: fewer than three requests, or a latency of 0 to divide by.
        """
        refuse_server(self, criterion)
        samples = window.samples
        third = len(samples) // 3
        if not third:
            raise MeasurementError(f"{self.name}: {len(samples)} requests have no thirds")
        ordered = samples[np.argsort(samples["intended_ns"], kind="stable")]
        first, last = ordered[:third], ordered[-third:]
        return _growth(self.name, "the first third", first, last, self.share, window.confidence)


@dataclass(frozen=True, slots=True)
class LatencyRise:
    """How much a latency quantile grew from the first of some phases to the last, as a share.

    For a light load before a heavy one, and the same light load after it: has the service become slower for good? Under
    the heavy load itself the queue multiplies whatever the machine's own speed does (docs/gate.md, "Soak"), under a light one
    it does not. Value and interval are those of :class:`Drift`, with phases in place of thirds; a machine that
    became slower is taken for the service here, too.
    """

    share: float
    unit: Unit = Unit.SHARE
    better: Better = Better.LOWER

    @property
    def name(self) -> str:
        """Such as ``p50_rise``."""
        return f"{quantile_name(self.share)}_rise"

    def estimate(self, window: Window, criterion: Criterion) -> Estimate:
        """Estimate the share; n is the number of requests in both phases.

        Raises:
            UsageError: the criterion names no phase to compare with.
            MeasurementError: a phase was not measured or is empty, or so many of the first one's requests failed.
        """
        refuse_server(self, criterion)
        if len(criterion.phases) < 2:
            raise UsageError(f"{self.name} needs a phase to compare with first, and one that came later")
        if len(window.phases) < len(criterion.phases):
            raise MeasurementError(f"{self.name}: not all of {', '.join(criterion.phases)} were measured")
        first, last = (window.phases[place] for place in (0, -1))
        for record in (first, last):
            if not len(record.samples):
                raise MeasurementError(f"{self.name}: there are no requests of {record.phase.name!r}")
        which = f"{first.phase.name!r}"
        return _growth(self.name, which, first.samples, last.samples, self.share, window.confidence)


def _growth(
    measure: str, which: str, first: Samples, last: Samples, share: float, confidence: float
) -> Estimate:
    """Return by what share a quantile grew from some requests, of which ``which`` speaks, to later ones.

    Raises:
        MeasurementError: there is nothing to divide by.
    """
    before, after = (statistics.quantile(latencies_s(part), share) for part in (first, last))
    if not 0 < before < np.inf:
        told = "is 0 s" if before == 0 else "is not finite, since so many of its requests failed"
        raise MeasurementError(f"{measure}: {quantile_name(share)} of {which} {told}")
    strict = 1 - (1 - confidence) / 2
    (was, worth), (has_become, later_worth) = (
        quantile_interval(_stretches(part), share, strict) for part in (first, last)
    )
    low = None
    if has_become.low is not None and was.high:
        # Of infinity by infinity nothing is known but that neither is below 0.
        low = -1.0 if np.isinf(was.high) else has_become.low / was.high - 1
    high = has_become.high / was.low - 1 if has_become.high is not None and was.low else None
    n = len(first) + len(last)
    return Estimate(after / before - 1, low, high, n, confidence, worth=worth + later_worth)


def _stretches(samples: Samples) -> list[Seconds]:
    """Return the latencies of each phase, in order of time."""
    return [latencies_s(part) for part in in_order(samples)]
