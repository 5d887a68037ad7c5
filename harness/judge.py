"""The judge: one criterion, the records of its phases, one judgement.

Stands between the measures and the reports. It finds the measure, takes its estimate, compares by the one rule of
:mod:`harness.verdict`, and says why. It measures nothing, and looks for no faults: :mod:`harness.faults` does, and
:func:`void` applies what it found.

A reason begins with one word that a program can read, then a colon, then a sentence for people::

    within      the whole interval is on the right side of the limit                    PASS
    beyond      the whole interval is on the wrong side                                 FAIL
    undecided   the limit lies inside the interval, or an end is open                   INCONCLUSIVE
    coarse      the same, and more requests would not tell                              INCONCLUSIVE
    integrity   the record is broken, or holds nothing to judge                         INVALID
    noise       the machine or the generator disturbed the measurement                  INVALID
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence

from harness import named
from harness.errors import MeasurementError, UsageError
from harness.faults import Cause, Fault
from harness.measures import Measure
from harness.quantity import show
from harness.scenario import Criterion, Loop, Phase
from harness.verdict import Better, Estimate, Judgement, Unit, Verdict, decide
from harness.window import Window


def find_measure(name: str, measures: Iterable[Measure]) -> Measure:
    """Return the measure of this name.

    Raises:
        UsageError: there is none; the message names the nearest.
    """
    return named.find("measure", name, measures)


def judge(criterion: Criterion, window: Window, measures: Iterable[Measure]) -> Judgement:
    """Judge one resolved criterion.

    Args:
        criterion: its numbers resolved.
        window: the records of the criterion's phases, in order.
        measures: all that the plugins give.

    Returns:
        INVALID only for want of something to judge: an empty record, or a measurement that the measure refuses.

    Raises:
        UsageError: no such measure, an open or meaningless limit, a measure that cannot answer the criterion, or a
            latency of a closed loop.
    """
    measure = find_measure(criterion.measure, measures)
    limit = _limit(criterion)
    refuse_closed_loop(criterion, [record.phase for record in window.phases], measure)
    try:
        if not len(window.samples):
            raise MeasurementError("no request was recorded: nothing was measured")  # noqa: TRY301 - one way to INVALID
        estimate = measure.estimate(window, criterion)
        if estimate.n == 0:
            raise MeasurementError(f"{criterion.name} has nothing behind it: n = 0")  # noqa: TRY301 - as above
    except MeasurementError as error:
        reason = f"{Cause.INTEGRITY.value}: {error}"
        return Judgement(criterion, measure.unit, measure.better, None, Verdict.INVALID, reason)
    if any(record.phase.loop is Loop.CLOSED for record in window.phases):
        note = "; ".join(filter(None, (estimate.note, Loop.CLOSED.value)))
        estimate = dataclasses.replace(estimate, note=note)
    verdict = decide(estimate, limit, measure.better)
    reason = _reason(criterion, limit, measure, estimate, verdict)
    return Judgement(criterion, measure.unit, measure.better, estimate, verdict, reason)


def void(judgement: Judgement, faults: Sequence[Fault]) -> Judgement:
    """Return the judgement made INVALID by these faults, its estimate kept to be looked at; unchanged without any.

    What is broken is said before what is noisy.
    """
    if not faults:
        return judgement
    found = list(faults)
    if (cause := cause_of(judgement)) is not None:
        found.insert(0, Fault(cause, judgement.reason.partition(": ")[2]))
    worst_first = sorted(found, key=lambda fault: fault.cause is not Cause.INTEGRITY)
    text = "; ".join(fault.text for fault in worst_first)
    reason = f"{worst_first[0].cause.value}: {text}"
    return dataclasses.replace(judgement, verdict=Verdict.INVALID, reason=reason)


def cause_of(judgement: Judgement) -> Cause | None:
    """Return why a judgement is INVALID; None for any other verdict."""
    if judgement.verdict is not Verdict.INVALID:
        return None
    return Cause(judgement.reason.partition(":")[0])


def refuse_closed_loop(criterion: Criterion, phases: Iterable[Phase], measure: Measure) -> None:
    """Refuse to judge a latency by phases in a closed loop.

    There a slow answer delays the requests after it, which are then not seen to be late (coordinated omission).

    Raises:
        UsageError: the measure is in seconds, or counts late requests, and a phase is a closed loop.
    """
    closed = [phase.name for phase in phases if phase.loop is Loop.CLOSED]
    if getattr(measure, "knows_closed_loop", False):
        return
    if closed and (measure.unit is Unit.SECONDS or criterion.objective_s is not None):
        raise UsageError(
            f"{criterion.name} asks for latency in {closed}, a {Loop.CLOSED.value}: it serves to probe capacity "
            "(throughput, errors); judge latency by an open loop"
        )


def judged_latencies_s(criteria: Iterable[Criterion], measures: Iterable[Measure]) -> tuple[float, ...]:
    """Return every latency that these criteria judge by, limits and objectives, for the rule of the send lag.

    Left out are the limits of measures that do not rest on it (:class:`~harness.measures.Measure`).
    """
    known = tuple(measures)
    found = []
    for criterion in criteria:
        measure = find_measure(criterion.measure, known)
        if measure.unit is Unit.SECONDS and getattr(measure, "rests_on_lag", True):
            found.append(_limit(criterion))
        if isinstance(criterion.objective_s, (int, float)):
            found.append(float(criterion.objective_s))
    return tuple(found)


def _limit(criterion: Criterion) -> float:
    limit = criterion.limit
    if not isinstance(limit, (int, float)) or not math.isfinite(limit):
        raise UsageError(
            f"{criterion.name}: its limit must be a finite number before it is judged, got {limit}"
        )
    return float(limit)


def _reason(
    criterion: Criterion, limit: float, measure: Measure, estimate: Estimate, verdict: Verdict
) -> str:
    ends = [None if end is None or math.isinf(end) else end for end in (estimate.low, estimate.high)]
    low, high = (show(end, measure.unit) for end in ends)
    # The end of the interval on the good side, and the one on the bad side.
    most, least = ("at most", "at least") if measure.better is Better.LOWER else ("at least", "at most")
    far, near = (high, low) if measure.better is Better.LOWER else (low, high)
    stated = f"the limit is {show(limit, measure.unit)}"
    behind = f"confidence {estimate.confidence:g}, n = {estimate.n}"
    match verdict:
        case Verdict.PASS:
            text = f"within: {criterion.name} is {most} {far} and {stated} ({behind})"
        case Verdict.FAIL if (measure.better is Better.LOWER) and estimate.low == math.inf:
            return f"beyond: {estimate.note or f'{criterion.name} has no finite value'}"
        case Verdict.FAIL:
            text = f"beyond: {criterion.name} is {least} {near} and {stated} ({behind})"
        case _:
            where = {
                (True, True): f"lies between {low} and {high}",
                (True, False): f"is at least {low}, with no upper end",
                (False, True): f"is at most {high}, with no lower end",
                (False, False): "is not bounded",
            }[ends[0] is not None, ends[1] is not None]
            word, hope = ("undecided", "; more requests may tell") if estimate.narrows else ("coarse", "")
            text = f"{word}: {criterion.name} {where} and {stated} ({behind}){hope}"
    return f"{text}; {estimate.note}" if estimate.note else text
