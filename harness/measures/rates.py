"""Shares of requests by how they ended, and answers per second."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special

from tailgate.harness import statistics
from tailgate.harness.errors import MeasurementError, UsageError
from tailgate.harness.load.records.samples import Outcome, Samples
from tailgate.harness.measures.dependence import share_interval
from tailgate.harness.measures.measure import Estimate, objective_s
from tailgate.harness.observe.checked import ANSWERED
from tailgate.harness.observe.window import PhaseRecord, Window, duration_s, failed, in_order, latencies_s
from tailgate.harness.results.slot import Loop
from tailgate.harness.scenario.behaviour import DUE, Behaviour, Due
from tailgate.harness.scenario.scenario import Criterion
from tailgate.harness.units import percent

# A rate's spread is taken from so many slices of its time; fewer say little, and more hold too few batches each.
SLICES = 10


def error_rate(window: Window, criterion: Criterion) -> Estimate:
    """Estimate the share of requests that ended without a good answer.

    With no failure at all the high end is 1 - alpha^(1/n), never 0: a limit of exactly 0 cannot be shown to hold, so
    that limit is read as "none was seen".
    """
    return _share_of([failed(part) for part in in_order(window.samples)], window, criterion)


def lost_rate(window: Window, criterion: Criterion) -> Estimate:
    """Estimate the share of requests that ended neither in a good answer nor in an honest refusal (429, 503).

    For overload, where refusing is right: what is left are errors, broken connections, and waits without an end.
    """
    lost = [failed(part) & (part["outcome"] != Outcome.SHED) for part in in_order(window.samples)]
    return _share_of(lost, window, criterion)


def late_rate(window: Window, criterion: Criterion) -> Estimate:
    """Estimate the share of requests that were not refused (429, 503) and had no good answer within the objective."""
    within_s = objective_s(criterion)
    accepted = [part[part["outcome"] != Outcome.SHED] for part in in_order(window.samples)]
    return _share_of([latencies_s(part) > within_s for part in accepted], window, criterion)


def misanswered(window: Window, criterion: Criterion) -> Estimate:
    """Estimate the share of disturbers' requests that did not get the right answer.

    For a corrupt body that is a 4xx, for a slow one a good answer; those who leave get none, and do not count
    (:data:`tailgate.harness.scenario.behaviour.DUE`).
    """
    wrong = []
    for record in window.phases:
        for behaviour, due in DUE.items():
            if behaviour is not Behaviour.WAITS:
                theirs = record.disturbers[record.disturbers["behaviour"] == behaviour]
                right = (Outcome.OK,) if due is Due.ANSWER else (Outcome.CLIENT_ERROR, Outcome.SHED)
                wrong += [~np.isin(part["outcome"], right) for part in in_order(theirs)]
    return _share_of(wrong, window, criterion)


def wrong_answers(window: Window, criterion: Criterion) -> Estimate:
    """Estimate the share of answers that are not what their payloads expect, unexpected errors among them.

    Refusals (429, 503) and requests without a whole answer do not count, nor do answers that were not kept for lack of room.
    """
    wrong, unkept = [], 0
    for record in window.phases:
        samples = record.samples
        asked = np.isin(samples["payload"], list(record.checked.payloads))
        whole = asked & np.isin(samples["outcome"], (*ANSWERED, Outcome.ERROR_EVENT))
        seen = whole & ((samples["answer"] > 0) | failed(samples))
        unkept += int(whole.sum() - seen.sum())
        wrong += [failed(part) for part in in_order(samples[seen])]
    found = _share_of(wrong, window, criterion)
    if not found.n:
        said = "no answer was kept of which something is expected"
    elif found.value == 0:
        said = f"none of {found.n:,} is wrong, so that at most {percent(statistics.most_unseen(found.n))} are (one-sided 95 %)"
    else:
        said = f"{sum(int(part.sum()) for part in wrong):,} of {found.n:,} are wrong"
    if unkept:
        said += f"; {unkept:,} more were not kept for lack of room, and not examined"
    return dataclasses.replace(found, note=said)


def unhinted_refusals(window: Window, criterion: Criterion) -> Estimate:
    """Estimate the share of refusals without a Retry-After that can be read (RFC 9110, section 10.2.3)."""
    unhinted = [np.isnan(part["retry_after_s"]) for part in in_order(refused(window, criterion))]
    return _share_of(unhinted, window, criterion)


def refused(window: Window, criterion: Criterion) -> Samples:
    """Return the records of refused requests, of which there must be some."""
    samples = window.samples
    found: Samples = samples[samples["outcome"] == Outcome.SHED]
    if not len(found):
        raise MeasurementError(
            f"{criterion.measure}: none of {len(samples)} requests was refused: this load was no overload"
        )
    return found


def _share_of(hits: Sequence[NDArray[np.bool_]], window: Window, criterion: Criterion) -> Estimate:
    """Estimate the share of hits; for a limit of 0 the share itself, without inference."""
    n, count = sum(map(len, hits)), sum(int(part.sum()) for part in hits)
    share = count / n if n else None
    if criterion.limit == 0:
        note = "none is allowed among the requests that were sent; this says nothing about rarer ones"
        return Estimate(share, share, share, n, window.confidence, note)
    low, high, worth = share_interval(hits, window.confidence)
    return Estimate(share, low, high, n, window.confidence, worth=worth)


def throughput(window: Window, criterion: Criterion) -> Estimate:
    """Estimate good answers per second, from the first intended send to the last byte of each phase.

    The interval takes the count as Poisson (Garwood), which is conservative for a server that is kept busy: its
    completions are more even. Below capacity this is the offered rate and says nothing of the server.
    """
    seconds = sum(duration_s(record.samples) for record in window.phases)
    answered = sum(int(np.sum(~failed(record.samples))) for record in window.phases)
    if seconds <= 0:
        raise MeasurementError(f"{criterion.measure}: {answered} answers in {seconds} s give no rate")
    low, high = statistics.count_interval(answered, window.confidence)
    return Estimate(answered / seconds, low / seconds, high / seconds, answered, window.confidence)


def goodput(window: Window, criterion: Criterion) -> Estimate:
    """Estimate good answers within the objective, per second, while the load lasts; n counts them.

    Counted from the first good answer, or from when the first one was due if that is earlier, to the last intended
    time: neither the way in nor the work that is left over is in it. The interval is that of batch means (Law,
    "Simulation Modeling and Analysis", section 9.5.3): the time is cut into 10 slices, and the mean of their rates has
    Student's t with 9 degrees of freedom. It takes slices as independent and about normal, which wants each to be
    longer than a few batches.
    """
    rates, answered = _slices(window.phases, objective_s(criterion))
    mean = float(rates.mean())
    half = _student(window.confidence, len(rates) - 1) * float(rates.std(ddof=1)) / math.sqrt(len(rates))
    return Estimate(mean, max(0.0, mean - half), mean + half, answered, window.confidence)


def goodput_share(window: Window, criterion: Criterion) -> Estimate:
    """Estimate goodput under an overload, as a share of the saturated throughput.

    The criterion's first phase is the closed loop that measured capacity, the others the overload. Both rates are those
    of :func:`goodput` (in the closed loop every good answer counts); the interval is that of the difference of their
    logarithms by Welch's t, with the standard errors of batch means. A service that thrashes, computes what nobody waits
    for, or spends its time on refusing has a small share. It says nothing of the capacity itself: judge that beside it.
    """
    late_s = objective_s(criterion)
    if len(criterion.phases) < 2 or window.phases[0].phase.loop is not Loop.CLOSED:
        raise UsageError(
            f"{criterion.measure} needs a closed loop first and an overload after it, got {criterion.phases}"
        )
    if len(window.phases) != len(criterion.phases):
        raise MeasurementError(f"{criterion.measure}: not all of {criterion.phases} were measured")
    capacity, _ = _slices(window.phases[:1], math.inf)
    useful, answered = _slices(window.phases[1:], late_s)
    if not capacity.mean() > 0:
        raise MeasurementError(f"{criterion.measure}: the closed loop had no good answer")
    if not answered:
        return Estimate(0.0, 0.0, 0.0, len(window.samples), window.confidence, "no answer was in time")
    share = float(useful.mean() / capacity.mean())
    low, high = _ratio_interval(useful, capacity, window.confidence)
    return Estimate(share, low, high, answered, window.confidence)


def _slices(phases: tuple[PhaseRecord, ...], late_s: float) -> tuple[NDArray[np.float64], int]:
    """Return the rate of good answers in each slice of each phase, and how many there were."""
    every = [_slice_counts(record.samples, late_s) for record in phases]
    rates = [np.zeros(0), *(counts / slice_s for counts, slice_s in every)]
    return np.concatenate(rates), sum(int(counts.sum()) for counts, _ in every)


def _slice_counts(samples: Samples, late_s: float) -> tuple[NDArray[np.int64], float]:
    """Return the good answers in each of 10 equal slices of a phase's time, and the seconds of a slice."""
    if not len(samples):
        raise MeasurementError("a phase without requests has no rate")
    good = latencies_s(samples) <= min(late_s, float(np.finfo(float).max))
    done_ns = np.sort(samples["done_ns"][good])
    first_ns, last_ns = int(samples["intended_ns"].min()), int(samples["intended_ns"].max())
    due_ns = first_ns + (int(late_s * 1e9) if math.isfinite(late_s) else last_ns)
    begin_ns = min(due_ns, int(done_ns[0])) if len(done_ns) else first_ns
    if last_ns <= begin_ns:
        raise MeasurementError(
            f"the load lasted {(last_ns - first_ns) / 1e9:.3g} s, which is too short to give a rate: send more"
        )
    counts, _ = np.histogram(done_ns, bins=SLICES, range=(begin_ns, last_ns))
    return counts, (last_ns - begin_ns) / 1e9 / SLICES


def _ratio_interval(
    upper: NDArray[np.float64], lower: NDArray[np.float64], confidence: float
) -> tuple[float, float]:
    """Return the interval of the ratio of two means, by Welch's t of the logarithms (delta method)."""
    parts = [(one.std(ddof=1) / one.mean()) ** 2 / len(one) for one in (upper, lower)]
    variance = float(sum(parts))
    middle = float(upper.mean() / lower.mean())
    if not variance:
        return middle, middle
    freedom = variance**2 / sum(
        part**2 / (len(one) - 1) for part, one in zip(parts, (upper, lower), strict=True)
    )
    half = _student(confidence, float(freedom)) * math.sqrt(variance)
    return middle * math.exp(-half), middle * math.exp(half)


def _student(confidence: float, freedom: float) -> float:
    """Return Student's t for a one-sided confidence."""
    return float(special.stdtrit(freedom, confidence))
