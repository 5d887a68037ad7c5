"""The rules that people use instead of the gate: one stretch of base, then one of head, and a threshold.

    python -m benchmarks.gate.naive [benchmarks/results/gate-recording.jsonl] [--blocks 6] [--json FILE]

Rules and gate judge the same recorded blocks with the same planted slowdowns. A sequential run is taken from a
recording: a stretch of base's slots, right after it one of head's. It is taken at every place of the recording, with
the arms named as recorded and the other way round, and only from neighbouring blocks. An alarm on unchanged code is a
false one; no alarm on a planted slowdown is a miss.

=========================  =============================================================================
single run, p95 +10 %      head's p95 is over 1.1 times base's
single run, mean +10 %     head's mean latency is over 1.1 times base's
pytest-benchmark           ``--benchmark-compare-fail=mean:10%``: the same, by its own name
github-action-benchmark    ``alert-threshold: 200%``, its default: head's mean is over 2 times base's
Mann-Whitney, blocks       one-sided p below 0.01 of the blocks' p95
=========================  =============================================================================
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from scipy import stats

from benchmarks.gate.rows import refusing
from benchmarks.gate.simulation.effects import EFFECTS, GATES, UNCHANGED, Effect, plant
from benchmarks.gate.simulation.replay import (
    RECORDING,
    Rows,
    apart,
    named_anew,
    places,
    recordings,
    replay,
)
from benchmarks.gate.simulation.tally import CONFIDENCE
from benchmarks.record import RESULTS, Json, Record
from tailgate import UsageError, Verdict
from tailgate.harness.compare.blocks.row import ArmRow, read_rows
from tailgate.harness.compare.decision.design import plan_design
from tailgate.harness.statistics import share_interval
from tailgate.harness.units import percent


@dataclass(frozen=True, slots=True)
class Stretch:
    """One arm under load for a while: p95 and mean, and each block's p95."""

    p95_s: float
    mean_s: float
    blocks_p95_s: NDArray[np.float64]


Rule = Callable[[Stretch, Stretch], bool]


def of_arms(arms: Sequence[ArmRow]) -> Stretch:
    """Return a stretch of one arm's rows: p95 and mean averaged over blocks, which have about as many requests each.

    Raises:
        UsageError: a row has no mean.
    """
    blocks_p95_s = np.array([math.nan if arm.p95_s is None else arm.p95_s for arm in arms])
    means_s = [arm.mean_s for arm in arms if arm.mean_s is not None]
    if len(means_s) < len(arms):
        raise UsageError("these rows record no mean latency, which some rules need: make a new recording")
    return Stretch(float(np.mean(blocks_p95_s)), float(np.mean(means_s)), blocks_p95_s)


def over(times: float, value: Callable[[Stretch], float]) -> Rule:
    """Return the rule that head's value is over so many times base's."""
    return lambda base, head: value(head) > times * value(base)


def mann_whitney(base: Stretch, head: Stretch) -> bool:
    """Alarm where head's blocks rank above base's with p < 0.01, as if all were independent."""
    answer = stats.mannwhitneyu(head.blocks_p95_s, base.blocks_p95_s, alternative="greater")
    return float(answer.pvalue) < 0.01


THE_GATE, NO_CHANGE = "tailgate's gate", "unchanged"
RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "single run, p95 +10 %": over(1.1, lambda stretch: stretch.p95_s),
        "single run, mean +10 % (pytest-benchmark mean:10%)": over(1.1, lambda stretch: stretch.mean_s),
        "github-action-benchmark, 200 %": over(2.0, lambda stretch: stretch.mean_s),
        "Mann-Whitney of blocks' p95, p < 0.01": mann_whitney,
    }
)


def sequential(window: Rows, effect: Effect) -> tuple[Stretch, Stretch]:
    """Return a window as a sequential run: base of its first half, head of its second, with the effect planted."""
    half = len(window) // 2
    base = [row.base for row in window[:half]]
    head = [plant(row, effect).head for row in window[half : 2 * half]]
    return of_arms(base), of_arms(head)


def alarms(found: Sequence[Rows], effect: Effect) -> dict[str, float]:
    """Return by rule the share of sequential runs that alarm, over all windows and with either naming."""
    counted = dict.fromkeys(RULES, 0)
    for window in found:
        for named in (window, named_anew(window)):
            base, head = sequential(named, effect)
            for name, rule in RULES.items():
                counted[name] += rule(base, head)
    return {name: count / (2 * len(found)) for name, count in counted.items()}


@dataclass(frozen=True, slots=True)
class Standing:
    """What one rule, or the gate, came to: the shares of false alarms and, by effect, of misses."""

    rule: str
    false_alarms: float
    at_most: float | None  # the bound of that share, from as many runs as share no block
    apart: int  # how many runs that is
    misses: Mapping[str, float]

    @classmethod
    def of(cls, rule: str, alarmed: Mapping[str, float], apart: int) -> "Standing":
        """Return what shares of alarms come to, by effect, of which the first is an unchanged head."""
        unchanged = alarmed[NO_CHANGE]
        high = share_interval(math.ceil(unchanged * apart - 1e-9), apart, CONFIDENCE).high
        misses = {name: 1 - share for name, share in alarmed.items() if name != NO_CHANGE}
        return cls(rule, unchanged, high, apart, misses)


def beside_the_gate(rows: Rows, blocks: int) -> list[Standing]:
    """Return how the gate stands, and each rule with stretches of so many blocks.

    An INCONCLUSIVE of the gate counts as a miss of a planted slowdown, and as no false alarm.
    """
    gate = replay(rows, plan_design(GATES), disturbances={}, runs=1)
    unchanged = next(one for one in gate["unchanged"] if "either" in one.name)
    failed = {NO_CHANGE: unchanged, **{one.name: one for one in gate["planted slowdowns"]}}

    def enough(window: Rows) -> bool:
        return len(window) == 2 * blocks

    recorded = recordings(rows, lambda run: len(run) >= 2 * blocks, f"{2 * blocks} blocks")
    every, alone = places(recorded, 2 * blocks, enough), len(apart(recorded, enough))
    effects = {NO_CHANGE: UNCHANGED, **EFFECTS}
    by_effect = {name: alarms(every, effect) for name, effect in effects.items()}
    of_gate = {name: failed[name].share(Verdict.FAIL)[0] for name in effects}
    return [
        Standing.of(THE_GATE, of_gate, unchanged.independent or 0),
        *(
            Standing.of(rule, {name: found[rule] for name, found in by_effect.items()}, alone)
            for rule in RULES
        ),
    ]


def table(found: Sequence[Standing], effects: Sequence[str] = tuple(EFFECTS)) -> str:
    """Return a Markdown table of false alarms, and of the misses of these effects."""
    lines = [
        f"| rule | false alarms, unchanged | {' | '.join(f'missed: {name}' for name in effects)} |",
        "|---|---" + "|---" * len(effects) + "|",
    ]
    for one in found:
        bound = "" if one.at_most is None else f" (at most {percent(one.at_most)}, of {one.apart} runs apart)"
        shares = (percent(one.misses[name]) for name in effects)
        lines.append(f"| {' | '.join([one.rule, percent(one.false_alarms) + bound, *shares])} |")
    return "\n".join(lines)


def main(
    blocks: Annotated[Path, typer.Argument(help="recorded A/A blocks, JSON lines")] = RECORDING,
    stretch: Annotated[int, typer.Option("--blocks", min=1, help="blocks in each stretch of a rule")] = 6,
    json: Json = RESULTS / "gate-naive.json",
) -> None:
    """Count false alarms and misses of naive rules beside the gate's, on recorded blocks."""
    record = Record("gate-naive", {"recording": blocks.name, "blocks": stretch}, json)
    with refusing():
        found = beside_the_gate(read_rows(blocks), stretch)
    record.write({"rules": found})
    print(table(found))


if __name__ == "__main__":
    typer.run(main)
