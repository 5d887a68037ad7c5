"""The rules that people use, as pure functions: one stretch of base, then one of head, and a threshold.

    python -m benchmarks.naive benchmarks/results/gate-blocks.jsonl [--blocks 6]

Beside the gate, on the same recorded blocks and the same planted slowdowns, in one Markdown table. A sequential run
is taken from a recording as people make it: first a stretch in which only base's slots are looked at, right after it
one in which only head's are. Each rule is as its tool documents it; what it calls an alarm on unchanged code is a
false one, and what it lets pass with a slowdown planted is a miss.

=========================  =============================================================================
single run, p95 +10 %      head's p95 is over 1.1 times base's
single run, mean +10 %     head's mean latency is over 1.1 times base's
pytest-benchmark           ``--benchmark-compare-fail=mean:10%``: the same, by its own name
github-action-benchmark    ``alert-threshold: 200%``, its default: head's mean is over 2 times base's
Mann-Whitney               one-sided p below 0.01: of latencies where there are samples, else of blocks' p95
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

from benchmarks.gate_effects import EFFECTS, GATES, UNCHANGED, Effect, plant
from benchmarks.gate_replay import recordings, replay, windows
from benchmarks.gate_tally import CONFIDENCE, percent
from harness.comparison.design import plan_design
from harness.comparison.observation import ArmRow, BlockRow, read_rows
from harness.statistics import quantile, share_interval
from harness.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Stretch:
    """One arm under load for a while.

    Attributes:
        p95_s: of its latencies.
        mean_s: of them.
        compared: what Mann-Whitney ranks: latencies, or one value a block.
    """

    p95_s: float
    mean_s: float
    compared: NDArray[np.float64]


Rule = Callable[[Stretch, Stretch], bool]


def of_latencies(latencies_s: NDArray[np.float64]) -> Stretch:
    """Return a stretch of raw latencies, shape (n,)."""
    return Stretch(quantile(latencies_s, 0.95), float(np.mean(latencies_s)), latencies_s)


def of_arms(arms: Sequence[ArmRow]) -> Stretch:
    """Return a stretch of one arm's rows: p95 and mean averaged over blocks, which have about as many requests each."""
    p95_s = np.array([math.nan if arm.p95_s is None else arm.p95_s for arm in arms])
    mean_s = [_mean_s(arm) for arm in arms]
    return Stretch(float(np.mean(p95_s)), float(np.mean(mean_s)), p95_s)


def _mean_s(arm: ArmRow) -> float:
    """Return the mean latency: the stages of a request sum to it; the median stands in where none were told."""
    stages_s = arm.stages_s.get("mean")
    if stages_s:
        return math.fsum(stages_s.values())
    return math.nan if arm.p50_s is None else arm.p50_s


def over(times: float, value: Callable[[Stretch], float]) -> Rule:
    """Return the rule that head's value is over so many times base's."""
    return lambda base, head: value(head) > times * value(base)


def mann_whitney(base: Stretch, head: Stretch) -> bool:
    """Tell whether head's values rank above base's with p < 0.01, as if all were independent."""
    answer = stats.mannwhitneyu(head.compared, base.compared, alternative="greater")
    return float(answer.pvalue) < 0.01


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "single run, p95 +10 %": over(1.1, lambda stretch: stretch.p95_s),
        "single run, mean +10 % (pytest-benchmark mean:10%)": over(1.1, lambda stretch: stretch.mean_s),
        "github-action-benchmark, 200 %": over(2.0, lambda stretch: stretch.mean_s),
        "Mann-Whitney, p < 0.01": mann_whitney,
    }
)


def sequential(window: Sequence[BlockRow]) -> tuple[Stretch, Stretch]:
    """Return a window as a sequential run: base of its first half, head of its second."""
    half = len(window) // 2
    return of_arms([row.base for row in window[:half]]), of_arms(
        [row.head for row in window[half : 2 * half]]
    )


def alarms(
    rows: Sequence[BlockRow], blocks: int, effect: Effect, *, runs: int = 1000, seed: int = 0
) -> dict[str, int]:
    """Count by rule how many of so many sequential runs alarm.

    Args:
        rows: recorded A/A blocks.
        blocks: in each stretch.
        effect: planted into head.
        runs: places in the recordings, drawn with the arms' names.
        seed: of that.
    """
    found = dict.fromkeys(RULES, 0)
    for window in windows(recordings(rows, 2 * blocks), 2 * blocks, runs, np.random.default_rng(seed)):
        base, head = sequential([plant(row, effect) for row in window])
        for name, rule in RULES.items():
            found[name] += rule(base, head)
    return found


def beside_the_gate(rows: Sequence[BlockRow], blocks: int, *, runs: int = 1000) -> str:
    """Return a Markdown table: false alarms and misses of each rule, and of the gate on the same recorded blocks.

    An INCONCLUSIVE of the gate counts as a miss under a planted slowdown and as no false alarm without one: it is never
    silent, but it names no slowdown.
    """
    tallies = replay(rows, plan_design(GATES), unchanged_runs=runs, planted_runs=max(1, runs // 5))
    counted = {tally.name: (tally.verdicts[Verdict.FAIL], sum(tally.verdicts.values())) for tally in tallies}
    by_rule = {
        name: alarms(rows, blocks, effect, runs=runs)
        for name, effect in {"unchanged": UNCHANGED, **EFFECTS}.items()
    }
    lines = [
        f"| rule | false alarms, unchanged | {' | '.join(f'missed: {name}' for name in EFFECTS)} |",
        "|---|---" + "|---" * len(EFFECTS) + "|",
        _line("tailgate's gate", counted),
    ]
    lines += [
        _line(f"{rule}, {blocks} blocks", {name: (found[rule], runs) for name, found in by_rule.items()})
        for rule in RULES
    ]
    return "\n".join(lines)


def _line(rule: str, counted: Mapping[str, tuple[int, int]]) -> str:
    hits, runs = counted["unchanged"]
    high = share_interval(hits, runs, CONFIDENCE).high
    misses = (1 - counted[name][0] / counted[name][1] for name in EFFECTS)
    bound = "" if high is None else f" (at most {percent(high)})"
    return f"| {' | '.join([rule, percent(hits / runs) + bound, *map(percent, misses)])} |"


def main(
    blocks: Annotated[Path, typer.Argument(help="recorded A/A blocks, JSON lines")],
    stretch: Annotated[int, typer.Option("--blocks", min=1, help="blocks in each stretch of a rule")] = 6,
    runs: Annotated[int, typer.Option(min=1, help="sequential runs for each condition")] = 1000,
) -> None:
    """Print false alarms and misses of naive rules beside the gate's, on recorded blocks."""
    print(beside_the_gate(read_rows(blocks), stretch, runs=runs))


if __name__ == "__main__":
    typer.run(main)
