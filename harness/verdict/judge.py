"""The judge: one criterion, the records of its phases, one judgement.

Stands between the measures and the reports. It finds the measure, takes its estimate, compares by the one rule of
:mod:`tailgate.harness.verdict.rule`, and says why. It measures nothing, and looks for no faults: :mod:`tailgate.harness.verdict.faults` does, and
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

from tailgate.harness import named
from tailgate.harness.errors import MeasurementError, UsageError
from tailgate.harness.measures import Measure
from tailgate.harness.measures.measure import Estimate
from tailgate.harness.observe.window import Window
from tailgate.harness.results.fault import Cause, Fault
from tailgate.harness.results.slot import Loop
from tailgate.harness.results.verdict import Better, Verdict
from tailgate.harness.scenario.scenario import Criterion, Phase
from tailgate.harness.units import Unit, show
from tailgate.harness.verdict.rule import Judgement, decide

# Of the requests: a sample that is worth less than this share of them is said to be.
WORTH_SAYING = 0.5


def find_measure(name: str, measures: Iterable[Measure]) -> Measure:
    """Return the measure of this name.

    Raises:
        UsageError: there is none; the message names the nearest.
    """
    return named.find("measure", name, measures)


def judge(
    criterion: Criterion,
    window: Window,
    measures: Iterable[Measure],
    *,
    also: Criterion | None = None,
    fail_confidence: float | None = None,
) -> Judgement:
    """Judge one resolved criterion.

    Args:
        criterion: its numbers resolved.
        window: the records of the criterion's phases, in order; its confidence is that of the end that PASS goes by.
        measures: all that the plugins give.
        also: the same question with its numbers at another reading of the yardstick. PASS must hold of both, and so must
            FAIL.
        fail_confidence: of the end that FAIL goes by; None: that of the window.

    Returns:
        INVALID only for want of something to judge: an empty record, or a measurement that the measure refuses.

    Raises:
        UsageError: no such measure, an open or meaningless limit, a measure that cannot answer the criterion, or a
            latency of a closed loop.
    """
    measure = find_measure(criterion.measure, measures)
    asked = (criterion,) if also is None or also == criterion else (criterion, also)
    strictest = min if measure.better is Better.LOWER else max
    limit = strictest(map(_limit, asked))
    fail_limit = -strictest(-_limit(one) for one in asked)
    judged = dataclasses.replace(criterion, limit=limit)
    surely = window.confidence if fail_confidence is None else fail_confidence
    refuse_closed_loop(criterion, [record.phase for record in window.phases], measure)
    try:
        if not len(window.samples):
            raise MeasurementError("no request was recorded: nothing was measured")  # noqa: TRY301 - one way to INVALID
        estimate = _estimate(measure, asked, window, surely)
        if estimate.n == 0:
            raise MeasurementError(f"{criterion.name} has nothing behind it: n = 0")  # noqa: TRY301 - as above
    except MeasurementError as error:
        reason = f"{Cause.INTEGRITY.value}: {error}"
        found = (None, Verdict.INVALID, reason)
        return Judgement(judged, measure.unit, measure.better, *found, fail_limit, surely)
    verdict = decide(estimate, limit, measure.better, fail_limit)
    reason = _reason(judged, measure, estimate, verdict, fail_limit, surely)
    return Judgement(judged, measure.unit, measure.better, estimate, verdict, reason, fail_limit, surely)


def _estimate(
    measure: Measure, asked: Sequence[Criterion], window: Window, fail_confidence: float
) -> Estimate:
    """Return the estimate of the first question, its ends so far out that they hold for all, each at its confidence.

    Raises:
        MeasurementError: the measure refuses the records.
    """
    passing = failing = [measure.estimate(window, one) for one in asked]
    if fail_confidence != window.confidence:
        sure = dataclasses.replace(window, confidence=fail_confidence)
        failing = [measure.estimate(sure, one) for one in asked]
    of_low, of_high = (failing, passing) if measure.better is Better.LOWER else (passing, failing)
    lows, highs = [one.low for one in of_low], [one.high for one in of_high]
    notes = [passing[0].note]
    if any(record.phase.loop is Loop.CLOSED for record in window.phases):
        notes.append(Loop.CLOSED.value)
    return dataclasses.replace(
        passing[0],
        low=None if None in lows else min(low for low in lows if low is not None),
        high=None if None in highs else max(high for high in highs if high is not None),
        note="; ".join(filter(None, notes)),
        narrows=all(one.narrows for one in passing),
    )


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

    Left out are the limits of measures that do not rest on it (:class:`~tailgate.harness.measures.Measure`).
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
    criterion: Criterion,
    measure: Measure,
    estimate: Estimate,
    verdict: Verdict,
    fail_limit: float,
    fail_confidence: float,
) -> str:
    ends = [None if end is None or math.isinf(end) else end for end in (estimate.low, estimate.high)]
    low, high = (show(end, measure.unit) for end in ends)
    # The end of the interval on the good side, and the one on the bad side.
    most, least = ("at most", "at least") if measure.better is Better.LOWER else ("at least", "at most")
    far, near = (high, low) if measure.better is Better.LOWER else (low, high)
    limit = _limit(criterion)
    moved = limit != fail_limit
    stated, laxer = (f"the limit is {show(end, measure.unit)}" for end in (limit, fail_limit))
    of = " by the stricter reading of the yardstick" if moved else ""
    size = f"n = {estimate.n}"
    if estimate.worth is not None and estimate.worth < WORTH_SAYING * estimate.n:
        size += f", worth {estimate.worth:.0f} independent ones"
    match verdict:
        case Verdict.PASS:
            text = f"within: {criterion.name} is {most} {far} and {stated}{of} (confidence {estimate.confidence:g}, {size})"
        case Verdict.FAIL if (measure.better is Better.LOWER) and estimate.low == math.inf:
            return f"beyond: {estimate.note or f'{criterion.name} has no finite value'}"
        case Verdict.FAIL:
            of = " by the laxer reading of the yardstick" if moved else ""
            text = f"beyond: {criterion.name} is {least} {near} and {laxer}{of} (confidence {fail_confidence:g}, {size})"
        case _:
            where = {
                (True, True): f"lies between {low} and {high}",
                (True, False): f"is at least {low}, with no upper end",
                (False, True): f"is at most {high}, with no lower end",
                (False, False): "is not bounded",
            }[ends[0] is not None, ends[1] is not None]
            if moved:
                stated += f" or {show(fail_limit, measure.unit)}, by the yardstick before and after"
            confidences = f"{estimate.confidence:g}"
            if fail_confidence != estimate.confidence:
                confidences += f" to pass, {fail_confidence:g} to fail"
            word, hope = ("undecided", "; more requests may tell") if estimate.narrows else ("coarse", "")
            text = f"{word}: {criterion.name} {where} and {stated} (confidence {confidences}, {size}){hope}"
    return f"{text}; {estimate.note}" if estimate.note else text
