"""What reports say of a comparison, in words and rows."""

import itertools
import math
import shlex
from collections.abc import Iterator

from tailgate.harness.compare.decision import wording
from tailgate.harness.named import listed
from tailgate.harness.results.answers import AnswersResult
from tailgate.harness.results.comparison import (
    CUT_SHORT,
    Attribution,
    ComparisonResult,
    Lens,
    LensResult,
    Scale,
    StageChange,
)
from tailgate.harness.results.run import ScenarioResult
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.units import MISSING, Unit, known, percent, quantity, significant

COLUMNS = ("lens", "base", "head", "change", "interval", "FAIL above", "PASS below", "verdict")
REPORTED = "reported"
STAGES_SHOWN = 3
PLACES_SHOWN = 6


def row(result: LensResult) -> tuple[str, ...]:
    """Return a lens's cells, one for each of :data:`COLUMNS`."""
    lens = result.lens
    return (
        lens.name,
        quantity(result.base, lens.unit),
        quantity(result.head, lens.unit),
        change(lens, result.change),
        interval(lens, result.low, result.high),
        f"{lens.margin * 100:.3g} %",
        f"{lens.tolerance * 100:.3g} %",
        result.verdict.value if lens.gates else REPORTED,
    )


def change(lens: Lens, value: float | None) -> str:
    """Return a ratio or a difference as a signed percentage of base, or of all requests."""
    return MISSING if value is None or math.isinf(value) else f"{_signed(lens, value)} %"


def change_with_interval(result: LensResult) -> str:
    """Return ``+4.2 % [+1.2, +7.4]``, without the interval where either end is open."""
    lens, told = result.lens, change(result.lens, result.change)
    if None in map(lens.as_share, (result.low, result.high)):
        return told
    return f"{told} {interval(lens, result.low, result.high).removesuffix(' %')}"


def interval(lens: Lens, low: float | None, high: float | None) -> str:
    """Return ``[+1.2, +3.4] %``, or one bound where the other is open."""
    low, high = map(known, (low, high))
    if low is None and high is None:
        return MISSING
    if low is None or high is None:
        return f"≥ {change(lens, low)}" if high is None else f"≤ {change(lens, high)}"
    return f"[{_signed(lens, low)}, {_signed(lens, high)}] %"


def title(scenario: ScenarioResult) -> str:
    """Return the seed, and what was spent."""
    assert scenario.comparison is not None
    look = f"look {scenario.comparison.decision.look} of {len(scenario.comparison.design.looks)}"
    return f"seed {scenario.seed}, {look}, {spent(scenario.comparison)}"


def spent(comparison: ComparisonResult) -> str:
    """Return how many blocks and how much time a comparison took."""
    decision = comparison.decision
    voided = f", {decision.voided} of them void" if decision.voided else ""
    return f"{_count(len(comparison.order))}{voided}, {decision.load_s:,.0f} s of load in {decision.wall_s:,.0f} s"


def essentials(comparison: ComparisonResult) -> Iterator[str]:
    """Yield what a reader needs beside the verdict and the table: where a change went, and what is still open."""
    told = comparison.answers
    if told is not None and told.verdict is not Verdict.PASS and not told.fails:
        yield from itertools.islice(answers(told), 1)
    moved = (one for one in comparison.attributions if one.lens.gates)
    yield from (stages(one, comparison) for one in itertools.islice(moved, 1))
    if comparison.verdict is Verdict.INCONCLUSIVE:
        yield from _detectable(comparison)
    yield from _ended(comparison)
    yield from comparison.notes


def remarks(comparison: ComparisonResult) -> Iterator[str]:
    """Yield the sentences after the table."""
    if comparison.answers is not None:
        yield from answers(comparison.answers)
    yield "FAIL: the whole interval is worse than the margin; PASS: all of it is better than the tolerance"
    for result in comparison.decision.results:
        # Before the first look the headline says it all.
        if result.lens.gates and result.verdict is not Verdict.PASS and result.look is not None:
            yield f"{result.lens.name}: {result.reason}"
    for attribution in comparison.attributions:
        yield stages(attribution, comparison)
    yield from _levels(comparison)
    yield from _detectable(comparison)
    machine = (("steal", comparison.steal_share), ("CPU pressure", comparison.cpu_pressure_share))
    if told := [f"{name} {percent(share)}" for name, share in machine if share is not None]:
        yield f"median over the blocks: {', '.join(told)}"
    yield from _ended(comparison)
    for void in comparison.voids:
        yield f"void: {void}"
    yield from comparison.notes


def _detectable(comparison: ComparisonResult) -> Iterator[str]:
    gates = [result for result in comparison.decision.results if result.lens.gates]
    if seen := [f"{gate.lens.name} {percent(gate.mde)}" for gate in gates if gate.mde is not None]:
        yield f"the smallest change that 95 runs of 100 would have called FAIL: {', '.join(seen)}"


def _ended(comparison: ComparisonResult) -> Iterator[str]:
    # A decision that is finished needs no word on why it ended, unless it was made of what an interruption
    # left.
    if comparison.stopped and (not comparison.decision.finished or comparison.stopped.startswith(CUT_SHORT)):
        yield f"stopped: {comparison.stopped}"


def answers(result: AnswersResult) -> Iterator[str]:
    """Yield what the answers came to: the verdict, further examples, and what was not compared."""
    verdict = result.verdict.value if result.gates else f"{result.verdict.value}, {REPORTED}"
    yield f"answers: {verdict}: {result.reason}"
    for one in result.examples[1:]:
        yield f"answers: {one.requests:,} differ at another place: {one}"
    if result.not_compared:
        yield f"answers, not compared, since base's own vary or are too few to tell: {listed(result.not_compared, PLACES_SHOWN)}"
    if result.tolerances:
        allowed = [f"{place} {percent(share)}" for place, share in result.tolerances.items()]
        yield f"answers, numbers that may differ, as base's own do: {listed(allowed, PLACES_SHOWN)}"
    if result.unanswered:
        yield f"answers, not compared: {result.unanswered:,} of head, to whose payloads base has none"
    if unkept := result.unkept_base + result.unkept_head:
        yield f"answers, not compared: {unkept:,} that were not kept for lack of room"


def _levels(comparison: ComparisonResult) -> Iterator[str]:
    """Yield how often the ends of the intervals err; nothing before the first look."""
    numbers = {result.look for result in comparison.decision.results if result.look is not None}
    looks = [comparison.design.looks[number - 1] for number in numbers]
    if looks:
        yield (
            "intervals: the end towards no change, which FAIL goes by, is wrong in at most "
            f"{percent(max(look.fail_level for look in looks))} of all runs; the end towards worse, which PASS goes by, "
            f"in {percent(max(look.pass_level for look in looks))}"
        )


def stages(attribution: Attribution, comparison: ComparisonResult) -> str:
    """Return where a lens's change went, the largest part first."""
    result = next(one for one in comparison.decision.results if one.lens.name == attribution.lens.name)
    ordered = sorted(attribution.stages, key=lambda stage: -abs(stage.change_s))[:STAGES_SHOWN]
    base_s = result.base if attribution.lens.quantile is not None else None
    parts = ", ".join(_stage(stage, base_s) for stage in ordered)
    moved = attribution.moved or "no stage surely"
    return f"{attribution.lens.name} {change(attribution.lens, result.change)}, {moved} moved: {parts}"


def _stage(stage: StageChange, base_s: float | None) -> str:
    text = f"{stage.stage} {'+' if stage.change_s > 0 else ''}{quantity(stage.change_s, Unit.SECONDS)}"
    if base_s:
        text += f" ({percent(stage.change_s / base_s, signed=True)})"
    if stage.low_s is not None and stage.high_s is not None:
        text += f" [{stage.low_s * 1e3:+.2f}, {stage.high_s * 1e3:+.2f}] ms"
    return text


def advice(scenario: ScenarioResult) -> Iterator[str]:
    """Yield what to do next."""
    comparison = scenario.comparison
    assert comparison is not None
    if comparison.answers is not None and comparison.answers.fails:
        place = comparison.answers.examples[0].place
        option = f"--perf-answer-ignore={shlex.quote(place)}" if place[0] == "$" else "--perf-answers=report"
        yield f"{scenario.name}: if answers are meant to differ at {place}: {option}."
    if scenario.verdict is Verdict.INCONCLUSIVE:
        yield _more_time(comparison)
    moved = next((one.moved for one in comparison.attributions if one.lens.gates), None)
    if moved is not None:
        cause = "makes batches start later or take longer" if moved == "queue" else f"changed in {moved}"
        yield f"{scenario.name}: look first at what {cause}."


def _more_time(comparison: ComparisonResult) -> str:
    """Return how much longer an INCONCLUSIVE comparison would probably have to be."""
    decision, measured = comparison.decision, len(comparison.order)
    undecided = [one for one in decision.results if one.lens.gates and one.verdict is Verdict.INCONCLUSIVE]
    blocks = [one.further_blocks for one in undecided]
    each_s = decision.wall_s / measured if measured else None
    if 2 * decision.voided > measured:
        return "INCONCLUSIVE: most blocks are void: end other work on this machine, or use a quieter one."
    if any(one.reason.startswith(wording.SPILLED) for one in undecided):
        return (
            "INCONCLUSIVE: more time would not help, since too many answers end in the other arm's window: "
            f"{wording.LESS_SPILL}."
        )
    if decision.next_look_blocks is not None and None in blocks:
        missing = max(1, decision.next_look_blocks - (measured - decision.voided))
        return f"INCONCLUSIVE: the next look is {_time(missing, each_s)} away: raise --perf-time-limit or --perf-blocks."
    counts = [count for count in blocks if count is not None]
    more = "more would hardly help"
    if counts:
        more = f"about {_time(max(counts), each_s)} more would probably be enough"
    if decision.next_look_blocks is not None:
        return f"INCONCLUSIVE: {more}: raise --perf-time-limit or --perf-blocks."
    return (
        f"INCONCLUSIVE at the last look: {more}, which this design does not have. Use a calmer machine, or tolerate more "
        "with --perf-lens; tailgate calibrate says what can be seen here."
    )


def _time(blocks: int, each_s: float | None) -> str:
    minutes = "" if each_s is None else f" (about {significant(max(1.0, blocks * each_s / 60))} minutes)"
    return f"{_count(blocks)}{minutes}"


def _count(blocks: int) -> str:
    return "1 block" if blocks == 1 else f"{blocks} blocks"


def _signed(lens: Lens, value: float) -> str:
    return f"{(value - 1.0) * 100:+.1f}" if lens.scale is Scale.RATIO else f"{value * 100:+.2f}"
