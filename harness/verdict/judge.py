"""The judge: one criterion, the records of its phases, one result.

Stands between the measures and the reports; measures nothing, and looks for no faults (:mod:`tailgate.harness.verdict.faults`).
A reason begins with one word that a program can read, then a colon, then a sentence for people::

    within      the whole interval is on the right side of the limit                    PASS
    beyond      the whole interval is on the wrong side                                 FAIL
    undecided   the limit lies inside the interval, or an end is open                   INCONCLUSIVE
    coarse      the same, and more requests would not tell                              INCONCLUSIVE
    integrity   the record is broken, or holds nothing to judge                         INVALID
    unbudgeted  no budget says what is allowed; what was measured is reported          INCONCLUSIVE
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
from tailgate.harness.results.criterion import CriterionResult, margin
from tailgate.harness.results.fault import VOID, Cause, Fault
from tailgate.harness.results.slot import Loop
from tailgate.harness.results.verdict import Better, Verdict
from tailgate.harness.scenario.scenario import Criterion, Phase
from tailgate.harness.scenario.unbudgeted import unlimited
from tailgate.harness.units import Unit, known, show

# Of the requests: a sample that is worth less than this share of them is said to be.
WORTH_SAYING = 0.5


def find_measure(name: str, measures: Iterable[Measure]) -> Measure:
    """Return the measure of this name; the UsageError where there is none names the nearest."""
    return named.find("measure", name, {measure.name: measure for measure in measures})


def judge(
    criterion: Criterion,
    window: Window,
    measures: Iterable[Measure],
    *,
    also: Criterion | None = None,
    fail_confidence: float | None = None,
) -> CriterionResult:
    """Judge one resolved criterion; INVALID only where there is nothing to judge.

    Args:
        criterion: its numbers resolved.
        window: the criterion's phases, in order; its confidence is that of the end that PASS goes by.
        measures: all that the plugins give.
        also: the same question with its numbers at another reading of the yardstick. PASS must hold of both, and so must
            FAIL.
        fail_confidence: of the end that FAIL goes by; None: that of the window.

    Raises:
        UsageError: no such measure, an open or meaningless limit, or a measure that cannot answer the criterion.
    """
    measure = find_measure(criterion.measure, measures)
    asked = (criterion,) if also is None or also == criterion else (criterion, also)
    limits = [_limit(one) for one in asked]
    limit, fail_limit = min(limits), max(limits)
    if measure.better is Better.HIGHER:
        limit, fail_limit = fail_limit, limit
    surely = window.confidence if fail_confidence is None else fail_confidence
    try:
        if not len(window.samples):
            raise MeasurementError("no request was recorded: nothing was measured")  # noqa: TRY301 - one way to INVALID
        estimate = _estimate(measure, asked, window, surely)
        if estimate.n == 0:
            raise MeasurementError(f"{criterion.name} has nothing behind it: n = 0")  # noqa: TRY301 - as above
    except MeasurementError as error:
        reason = f"{Cause.INTEGRITY.value}: {error}"
        return result_of(criterion, measure, None, Verdict.INVALID, reason, (limit, fail_limit), surely)
    verdict = decide(estimate, limit, measure.better, fail_limit)
    reason = _reason(criterion.name, measure, estimate, verdict, (limit, fail_limit), surely)
    return result_of(criterion, measure, estimate, verdict, reason, (limit, fail_limit), surely)


def report(criterion: Criterion, window: Window, measures: Iterable[Measure]) -> CriterionResult:
    """Measure a criterion whose budgets are not written; it is INCONCLUSIVE, or INVALID."""
    measure, asked = find_measure(criterion.measure, measures), unlimited(criterion)
    verdict = Verdict.INCONCLUSIVE
    reason = "unbudgeted: no budget says what is allowed"
    estimate = None
    try:
        if asked is not None:
            estimate = _estimate(measure, (asked,), window, window.confidence)
    except MeasurementError as error:
        verdict, reason = Verdict.INVALID, f"{Cause.INTEGRITY.value}: {error}"
    return result_of(criterion, measure, estimate, verdict, reason, (None, None), window.confidence)


def decide(estimate: Estimate, limit: float, better: Better, fail_limit: float | None = None) -> Verdict:
    """Compare an interval with a limit; an open end never passes and never fails.

    PASS when the whole interval is on the right side of the limit, FAIL when all of it is on the wrong side of
    ``fail_limit``, which is no stricter; None: of the limit. With the exact order-statistic interval of a quantile
    (:mod:`tailgate.harness.statistics`), "the upper end is within the limit" and "the binomial test over the samples
    beyond the limit rejects" are the same statement.
    """
    low, high = estimate.low, estimate.high
    fail_limit = limit if fail_limit is None else fail_limit
    if better is Better.HIGHER:
        # The same rule in the mirror: negate and swap the ends.
        low, high = (None if high is None else -high), (None if low is None else -low)
        limit, fail_limit = -limit, -fail_limit
    if high is not None and high <= limit:
        return Verdict.PASS
    if low is not None and low > fail_limit:
        return Verdict.FAIL
    return Verdict.INCONCLUSIVE


def _estimate(
    measure: Measure, asked: Sequence[Criterion], window: Window, fail_confidence: float
) -> Estimate:
    """Return the estimate of the first question, its ends so far out that they hold for all, each at its confidence."""
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


def result_of(
    criterion: Criterion,
    measure: Measure,
    estimate: Estimate | None,
    verdict: Verdict,
    reason: str,
    limits: tuple[float | None, float | None],
    fail_confidence: float,
) -> CriterionResult:
    """Return a judgement as the results hold it, with open and infinite numbers as None and a note of them."""
    limit, fail_limit = limits
    value = None if estimate is None else known(estimate.value)
    note = "" if estimate is None else estimate.note
    if estimate is not None and estimate.value == math.inf:
        note = note or "the value is infinite"
    return CriterionResult(
        name=criterion.name,
        measure=criterion.measure,
        witness=criterion.witness,
        phases=criterion.phases,
        limit=limit,
        unit=measure.unit,
        better=measure.better,
        value=value,
        low=None if estimate is None else known(estimate.low),
        high=None if estimate is None else known(estimate.high),
        n=None if estimate is None else estimate.n,
        worth=None if estimate is None else estimate.worth,
        fail_limit=fail_limit,
        fail_confidence=fail_confidence,
        confidence=None if estimate is None else estimate.confidence,
        margin=None if value is None else margin(value, limit, measure.better),
        verdict=verdict,
        reason=reason,
        note=note,
    )


def void(result: CriterionResult, faults: Sequence[Fault]) -> CriterionResult:
    """Make a result INVALID if there are faults, which the scenario tells in full."""
    if not faults:
        return result
    found = [Fault(min((fault.cause for fault in faults), key=list(Cause).index), VOID)]
    if result.verdict is Verdict.INVALID:
        cause, _, text = result.reason.partition(": ")
        found.insert(0, Fault(Cause(cause), text))
    found.sort(key=lambda fault: list(Cause).index(fault.cause))
    reason = f"{found[0].cause.value}: {'; '.join(fault.text for fault in found)}"
    return dataclasses.replace(result, verdict=Verdict.INVALID, reason=reason)


def refuse_unanswerable(
    criteria: Iterable[Criterion], phases: Sequence[Phase], measures: tuple[Measure, ...]
) -> None:
    """Refuse measures that nobody brings, and latencies or late requests of phases in a closed loop.

    There a slow answer delays the requests after it, which are then not seen to be late (coordinated omission).
    """
    for criterion in criteria:
        measure = find_measure(criterion.measure, measures)
        closed = [one.name for one in phases if one.name in criterion.phases and one.loop is Loop.CLOSED]
        of_lateness = measure.unit is Unit.SECONDS or criterion.objective_s is not None
        if closed and of_lateness and not getattr(measure, "knows_closed_loop", False):
            raise UsageError(
                f"{criterion.name} asks for latency in {closed}, a {Loop.CLOSED.value}: it serves to probe capacity "
                "(throughput, errors); judge latency by an open loop"
            )


def judged_times_s(
    criteria: Iterable[Criterion], measures: tuple[Measure, ...]
) -> tuple[list[float], list[float]]:
    """Return every limit and objective in seconds that rests on the send lag, and every limit that rests on the reading lag."""
    sent, read = [], []
    for criterion in criteria:
        measure = find_measure(criterion.measure, measures)
        if measure.unit is Unit.SECONDS and getattr(measure, "rests_on_lag", True):
            sent.append(_limit(criterion))
        if isinstance(criterion.objective_s, (int, float)):
            sent.append(float(criterion.objective_s))
        if getattr(measure, "rests_on_reading", False):
            read.append(_limit(criterion))
    return sent, read


def _limit(criterion: Criterion) -> float:
    limit = criterion.limit
    if not isinstance(limit, (int, float)) or not math.isfinite(limit):
        raise UsageError(
            f"{criterion.name}: its limit must be a finite number before it is judged, got {limit}"
        )
    return float(limit)


def _reason(
    name: str,
    measure: Measure,
    estimate: Estimate,
    verdict: Verdict,
    limits: tuple[float, float],
    fail_confidence: float,
) -> str:
    ends = [*map(known, (estimate.low, estimate.high))]
    low, high = (show(end, measure.unit) for end in ends)
    # The end of the interval on the good side, and the one on the bad side.
    most, least = ("at most", "at least") if measure.better is Better.LOWER else ("at least", "at most")
    far, near = (high, low) if measure.better is Better.LOWER else (low, high)
    moved = limits[0] != limits[1]
    stated, laxer = (f"the limit is {show(end, measure.unit)}" for end in limits)
    of = " by the stricter reading of the yardstick" if moved else ""
    size = f"n = {estimate.n}"
    if estimate.worth is not None and estimate.worth < WORTH_SAYING * estimate.n:
        size += f", worth {estimate.worth:.0f} independent ones"
    match verdict:
        case Verdict.PASS:
            text = f"within: {name} is {most} {far} and {stated}{of} (confidence {estimate.confidence:g}, {size})"
        case Verdict.FAIL if (measure.better is Better.LOWER) and estimate.low == math.inf:
            return f"beyond: {estimate.note or f'{name} has no finite value'}"
        case Verdict.FAIL:
            of = " by the laxer reading of the yardstick" if moved else ""
            text = (
                f"beyond: {name} is {least} {near} and {laxer}{of} (confidence {fail_confidence:g}, {size})"
            )
        case _:
            where = {
                (True, True): f"lies between {low} and {high}",
                (True, False): f"is at least {low}, with no upper end",
                (False, True): f"is at most {high}, with no lower end",
                (False, False): "is not bounded",
            }[ends[0] is not None, ends[1] is not None]
            if moved:
                stated += f" or {show(limits[1], measure.unit)}, by the yardstick before and after"
            confidences = f"{estimate.confidence:g}"
            if fail_confidence != estimate.confidence:
                confidences += f" to pass, {fail_confidence:g} to fail"
            word, hope = ("undecided", "; more requests may tell") if estimate.narrows else ("coarse", "")
            text = f"{word}: {name} {where} and {stated} (confidence {confidences}, {size}){hope}"
    return f"{text}; {estimate.note}" if estimate.note else text
