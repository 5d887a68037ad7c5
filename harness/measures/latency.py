"""Latency quantiles of requests, refusals and probes, and whether they grow."""

import math
from collections.abc import Sequence

import numpy as np

from tailgate.harness import statistics
from tailgate.harness.errors import MeasurementError, UsageError
from tailgate.harness.load.records.samples import Outcome, Samples, kinds
from tailgate.harness.measures.dependence import Bounds, quantile_interval, quantile_ranks, requests_needed
from tailgate.harness.measures.measure import Estimate
from tailgate.harness.measures.rates import refused
from tailgate.harness.observe.beside.probes import Asked
from tailgate.harness.observe.histogram import Histogram
from tailgate.harness.observe.window import Seconds, Window, failed, in_order, latencies_s
from tailgate.harness.results.criterion import Witness
from tailgate.harness.scenario.scenario import Criterion, quantile_name
from tailgate.harness.units import Unit, show


def latency(window: Window, criterion: Criterion, share: float) -> Estimate:
    """Estimate a latency quantile, by either witness. The theory is in :mod:`tailgate.harness.statistics`.

    The client's is exact. The server's is a bucket of its histogram: the interval ends on the buckets' edges, and the
    value is interpolated, for display only. The server's histogram knows nothing of requests that never reached it,
    and its answers to refused ones are quick: ask for ``error_rate`` beside it.
    """
    if criterion.witness is Witness.CLIENT:
        return of_samples(window.samples, share, window.confidence)
    assert isinstance(criterion.limit, (int, float))  # the judge has seen to it
    buckets, n = window.request_histogram(), max(1, len(window.samples))
    # A histogram does not tell in which order its values came: the client saw the same requests come.
    low, high, worth = quantile_ranks(_stretches(window.samples), share, window.confidence)
    ranks = Bounds(
        None if low is None else low * buckets.n // n or None,
        None if high is None else -(-high * buckets.n // n) or None,
        worth * buckets.n / n,
    )
    return of_histogram(buckets, share, ranks, window.confidence, criterion.limit)


def first_byte(window: Window, criterion: Criterion, share: float) -> Estimate:  # noqa: ARG001 - every measure's signature
    """Estimate a quantile of the time from the intended time to the first byte of the answer."""
    samples = window.samples
    return of_stretches(_stretches(samples, "first_byte_ns"), samples, share, window.confidence)


def of_samples(samples: Samples, share: float, confidence: float) -> Estimate:
    """Estimate a latency quantile from raw records; the value is None below n(1 - share) = 10."""
    return of_stretches(_stretches(samples), samples, share, confidence)


def of_stretches(
    stretches: Sequence[Seconds], samples: Samples, share: float, confidence: float, of: str = "requests"
) -> Estimate:
    """Estimate a quantile of times, given in order by stretch of one load; the value is None below n(1 - share) = 10.

    ``samples`` are the requests that they are of, and ``of`` is what each time is one of.
    """
    seconds = np.concatenate(stretches)
    n, too_few = len(seconds), _too_few(len(seconds), share, of)
    low, high, worth = quantile_interval(stretches, share, confidence)
    among = n > 0 and statistics.quantile(seconds, share) == math.inf
    notes = [_among_failures(samples, share, low, maybe=among or high == math.inf) or too_few]
    if high is None and not among:
        notes.append(_needed(share, confidence, n, worth, of))
    value = None if too_few else statistics.quantile(seconds, share)
    return Estimate(value, low, high, n, confidence, "; ".join(filter(None, notes)), worth=worth)


def _among_failures(samples: Samples, share: float, low: float | None, *, maybe: bool) -> str:
    """Say whether the quantile lies among the requests that failed, or may do so; nothing for neither."""
    bad = samples[failed(samples)]
    if low == math.inf and len(bad) == len(samples):
        return f"all {len(bad):,} requests failed ({kinds(bad)}), so there is no latency to judge"
    told = f"{len(bad):,} of {len(samples):,} requests failed ({kinds(bad)})"
    if low == math.inf:
        return f"{told}, and {quantile_name(share)} lies among them"
    return f"{told}, and {quantile_name(share)} may lie among them" if maybe else ""


def of_histogram(
    buckets: Histogram, share: float, ranks: Bounds[int], confidence: float, limit: float
) -> Estimate:
    """Estimate a latency quantile from the server's buckets, and say where they cannot decide a limit."""
    low, high = buckets.between(ranks.low, ranks.high)
    n, too_few = buckets.n, _too_few(buckets.n, share)
    value = None if too_few else buckets.quantile_point(share)
    below, above = buckets.bucket_around(limit)
    # However many more there are, they fall into the same bucket; or there is no other for them to fall into.
    inside = low is not None and low >= below and (math.inf if high is None else high) <= above
    alone = (below, above) == (0.0, math.inf)
    if below < limit < above and (alone or (inside and not too_few)):
        return Estimate(value, low, high, n, confidence, _no_edge(below, above, limit), narrows=False)
    note = too_few or "value interpolated within its bucket; the ends are buckets' edges"
    if ranks.high is None and n:
        note = _needed(share, confidence, n, ranks.worth)
    return Estimate(value, low, high, n, confidence, note, worth=ranks.worth)


def _needed(share: float, confidence: float, n: int, worth: float, of: str = "requests") -> str:
    needed = requests_needed(share, confidence, n, worth)
    return f"{needed:,} {of} that come in such runs would bound it, with none beyond"


def _too_few(n: int, share: float, of: str = "requests") -> str:
    least = statistics.least_samples(share)
    return "" if n >= least else f"the value of {quantile_name(share)} needs at least {least} {of}, got {n}"


def _no_edge(below: float, above: float, limit: float) -> str:
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


def accepted(window: Window, criterion: Criterion, share: float) -> Estimate:
    """Estimate a latency quantile of the requests that were not refused with 429 or 503.

    For overload, where some refusals are right. By itself a service could keep this limit by refusing all that would be
    slow, so judge :func:`~tailgate.harness.measures.rates.goodput_share` by the same phases: it falls with each request
    that is refused for no need. A request that was taken in and then failed counts as infinitely late.
    """
    samples = window.samples
    taken_in = samples[samples["outcome"] != Outcome.SHED]
    if not len(taken_in):
        raise MeasurementError(f"{criterion.measure}: all {len(samples)} requests were refused")
    return of_samples(taken_in, share, window.confidence)


def refusal_latency(window: Window, criterion: Criterion, share: float) -> Estimate:
    """Estimate a quantile of the time to a refusal (429 or 503): a refused client should know at once.

    From the moment at which the generator took the request up, so that a wait for a connection counts and the
    generator's own lag does not; to the last byte. n is the number of refusals.
    """
    stretches = [
        (part["done_ns"] - part["dispatched_ns"]) / 1e9 for part in in_order(refused(window, criterion))
    ]
    low, high, worth = quantile_interval(stretches, share, window.confidence)
    seconds = np.concatenate(stretches)
    return Estimate(
        statistics.quantile(seconds, share), low, high, len(seconds), window.confidence, worth=worth
    )


def probe_latency(window: Window, criterion: Criterion, asked: Asked, share: float) -> Estimate:
    """Estimate a quantile of the time to a whole answer from the readiness path, or from the metrics.

    Without an answer, or with one that is not 2xx, a probe is infinitely late: a service that says under load that it is
    not ready takes itself out of service. 44 probes without a miss bound p90 at confidence 0.99, and 7 bound p50.
    """
    probes = [probe for record in window.phases for probe in record.probes if probe.asked is asked]
    if not probes:
        raise MeasurementError(
            f"{criterion.measure}: no probe was sent; does the phase ask for probes, and has the target such a path?"
        )
    seconds = np.array([probe.seconds for probe in probes])
    low, high = statistics.quantile_interval(seconds, share, window.confidence)
    unanswered = int(np.isinf(seconds).sum())
    note = f"{unanswered} of {len(probes)} probes had no good answer" if unanswered else ""
    value = statistics.quantile(seconds, share)
    return Estimate(value, low, high, len(probes), window.confidence, note)


def drift(window: Window, criterion: Criterion, share: float) -> Estimate:
    """Estimate how much a latency quantile grew from the first third of a window's requests to the last, as a share.

    last / first - 1, thirds by intended time. The interval divides the order-statistic intervals of both thirds, each
    end at half the error probability (Bonferroni): low = low(last) / high(first) - 1, high = high(last) / low(first) - 1.
    It says nothing of the middle, and takes a machine that became slower for the service: the yardstick speaks of that.
    """
    samples = window.samples
    third = len(samples) // 3
    if not third:
        raise MeasurementError(f"{criterion.measure}: {len(samples)} requests have no thirds")
    ordered = samples[np.argsort(samples["intended_ns"], kind="stable")]
    first, last = ordered[:third], ordered[-third:]
    return _growth(criterion, "the first third", first, last, share, window.confidence)


def latency_rise(window: Window, criterion: Criterion, share: float) -> Estimate:
    """Estimate how much a latency quantile grew from the first of some phases to the last, as a share.

    For a light load before a heavy one, and the same light load after it: has the service become slower for good? Under
    the heavy load itself the queue multiplies each change of the machine's speed (docs/reference/gate.md, "Soak"), under a
    light one it does not. Value and interval are those of :func:`drift`, with phases in place of thirds.
    """
    if len(criterion.phases) < 2:
        raise UsageError(f"{criterion.measure} needs a phase to compare with first, and one that came later")
    if len(window.phases) < len(criterion.phases):
        raise MeasurementError(f"{criterion.measure}: not all of {', '.join(criterion.phases)} were measured")
    first, last = (window.phases[place] for place in (0, -1))
    for record in (first, last):
        if not len(record.samples):
            raise MeasurementError(f"{criterion.measure}: there are no requests of {record.phase.name!r}")
    which = f"{first.phase.name!r}"
    return _growth(criterion, which, first.samples, last.samples, share, window.confidence)


def _growth(
    criterion: Criterion, which: str, first: Samples, last: Samples, share: float, confidence: float
) -> Estimate:
    before, after = (statistics.quantile(latencies_s(part), share) for part in (first, last))
    if not 0 < before < np.inf:
        told = "is 0 s" if before == 0 else "is not finite, since so many of its requests failed"
        raise MeasurementError(f"{criterion.measure}: {quantile_name(share)} of {which} {told}")
    strict = 1 - (1 - confidence) / 2
    was, has_become = (quantile_interval(_stretches(part), share, strict) for part in (first, last))
    low = None
    if has_become.low is not None and was.high:
        # Of infinity by infinity nothing is known but that neither is below 0.
        low = -1.0 if np.isinf(was.high) else has_become.low / was.high - 1
    high = has_become.high / was.low - 1 if has_become.high is not None and was.low else None
    n = len(first) + len(last)
    return Estimate(after / before - 1, low, high, n, confidence, worth=was.worth + has_become.worth)


def _stretches(samples: Samples, until: str = "done_ns") -> list[Seconds]:
    """Return the latencies of each phase, in order of time."""
    return [latencies_s(part, until) for part in in_order(samples)]
