"""The rules that people use instead of the gate: one stretch of base, then one of head, and a threshold.

    python -m benchmarks.gate.naive [benchmarks/results/gate-recording.jsonl] [--blocks 6] [--samples SESSION=.perf/RUN]

Rules and gate judge the same recorded blocks with the same planted slowdowns. A sequential run is taken from a
recording: a stretch of base's slots, right after it one of head's. It is taken at every place of the recording, with
the arms named as recorded and the other way round, and only from neighbouring blocks. An alarm on unchanged code is a
false one; no alarm on a planted slowdown is a miss.

=========================  =============================================================================
single run, p95 +10 %      head's p95 is over 1.1 times base's
single run, mean +10 %     head's mean latency is over 1.1 times base's
pytest-benchmark           ``--benchmark-compare-fail=mean:10%``: the same, by its own name
github-action-benchmark    ``alert-threshold: 200%``, its default: head's mean is over 2 times base's
Mann-Whitney, latencies    one-sided p below 0.01 of all latencies of both stretches, where their samples are given
Mann-Whitney, blocks       the same of the blocks' p95: they are few, and each stands for many requests
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
from benchmarks.gate.simulation.replay import RECORDING, Rows, apart, places, recordings, replay
from benchmarks.gate.simulation.tally import CONFIDENCE
from tailgate import UsageError, Verdict, latencies_s
from tailgate.harness.compare.blocks.row import ArmRow, BlockRow, read_rows, swapped
from tailgate.harness.compare.decision.design import plan_design
from tailgate.harness.load.samples import read_samples
from tailgate.harness.results import file as results_file
from tailgate.harness.statistics import share_interval
from tailgate.harness.units import percent

Latencies = NDArray[np.float64]
# Latencies of a block's arms, base first, by the block's session and index.
Samples = Mapping[tuple[str, int], tuple[Latencies, Latencies]]
NO_SAMPLES: Samples = MappingProxyType({})
# From these ranks on a planted effect on a quantile acts on latencies, so that the quantile itself moves by it.
RANKS = (("p50_s", 0.0), ("p95_s", 0.90), ("p99_s", 0.98))


@dataclass(frozen=True, slots=True)
class Stretch:
    """One arm under load for a while: p95 and mean, each block's p95, and all latencies where samples are given."""

    p95_s: float
    mean_s: float
    blocks_p95_s: Latencies
    latencies_s: Latencies


Rule = Callable[[Stretch, Stretch], bool]


def of_arms(arms: Sequence[ArmRow], latencies: Sequence[Latencies] = ()) -> Stretch:
    """Return a stretch of one arm's rows: p95 and mean averaged over blocks, which have about as many requests each.

    Raises:
        UsageError: a row has no mean.
    """
    blocks_p95_s = np.array([math.nan if arm.p95_s is None else arm.p95_s for arm in arms])
    means_s = [arm.mean_s for arm in arms if arm.mean_s is not None]
    if len(means_s) < len(arms):
        raise UsageError("these rows record no mean latency, which some rules need: make a new recording")
    pooled = np.concatenate(latencies) if latencies else np.empty(0)
    return Stretch(float(np.mean(blocks_p95_s)), float(np.mean(means_s)), blocks_p95_s, pooled)


def over(times: float, value: Callable[[Stretch], float]) -> Rule:
    """Return the rule that head's value is over so many times base's."""
    return lambda base, head: value(head) > times * value(base)


def mann_whitney(values: Callable[[Stretch], Latencies]) -> Rule:
    """Return the rule that head's values rank above base's with p < 0.01, as if all were independent."""

    def rule(base: Stretch, head: Stretch) -> bool:
        answer = stats.mannwhitneyu(values(head), values(base), alternative="greater")
        return float(answer.pvalue) < 0.01

    return rule


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "single run, p95 +10 %": over(1.1, lambda stretch: stretch.p95_s),
        "single run, mean +10 % (pytest-benchmark mean:10%)": over(1.1, lambda stretch: stretch.mean_s),
        "github-action-benchmark, 200 %": over(2.0, lambda stretch: stretch.mean_s),
        "Mann-Whitney of blocks' p95, p < 0.01": mann_whitney(lambda stretch: stretch.blocks_p95_s),
    }
)
BY_LATENCIES: Mapping[str, Rule] = MappingProxyType(
    {"Mann-Whitney of latencies, p < 0.01": mann_whitney(lambda stretch: stretch.latencies_s)}
)


def sequential(window: Rows, effect: Effect, samples: Samples, *, renamed: bool) -> tuple[Stretch, Stretch]:
    """Return a window as a sequential run: base of its first half, head of its second, with the effect planted.

    ``renamed`` takes the recorded head for base.
    """
    half = len(window) // 2
    named = [swapped(row) if renamed else row for row in window[: 2 * half]]
    base = [row.base for row in named[:half]]
    head = [plant(row, effect).head for row in named[half:]]
    if not samples:
        return of_arms(base), of_arms(head)
    raw = [samples[row.run, row.index] for row in named]
    of_base = [arms[renamed] for arms in raw[:half]]
    of_head = [slower(arms[not renamed], effect) for arms in raw[half:]]
    return of_arms(base, of_base), of_arms(head, of_head)


def slower(latencies: Latencies, effect: Effect) -> Latencies:
    """Return latencies with an effect on their quantiles: each is multiplied by the factor of its rank."""
    ranks = np.argsort(np.argsort(latencies, kind="stable"), kind="stable") / max(1, len(latencies))
    factors = np.ones(len(latencies))
    for name, least in RANKS:
        if name in effect:
            factors[ranks >= least] = effect[name]
    result: Latencies = latencies * factors
    return result


def alarms(found: Sequence[Rows], effect: Effect, samples: Samples = NO_SAMPLES) -> dict[str, float]:
    """Return by rule the share of sequential runs that alarm, over all windows and with either naming."""
    rules = {**RULES, **BY_LATENCIES} if samples else RULES
    counted = dict.fromkeys(rules, 0)
    for window in found:
        for renamed in (False, True):
            base, head = sequential(window, effect, samples, renamed=renamed)
            for name, rule in rules.items():
                counted[name] += rule(base, head)
    return {name: count / (2 * len(found)) for name, count in counted.items()}


def samples_of(folder: Path, session: str) -> Samples:
    """Return the latencies of a kept run's measured phases, by block.

    Raises:
        MeasurementError: the results or the samples cannot be read.
    """
    result = results_file.read(folder / results_file.RESULTS)
    arms: dict[int, dict[str, Latencies]] = {}
    for slot in result.slots:
        if slot.samples is None:
            continue
        every = read_samples(folder / slot.samples)
        measured = [number for number, phase in enumerate(slot.phases) if phase.measured]
        arms.setdefault(slot.block, {})[slot.arm] = latencies_s(every[np.isin(every["phase"], measured)])
    return {
        (session, block): (by_arm["base"], by_arm["head"])
        for block, by_arm in arms.items()
        if {"base", "head"} <= by_arm.keys()
    }


def beside_the_gate(rows: Sequence[BlockRow], blocks: int, samples: Samples = NO_SAMPLES) -> str:
    """Return a Markdown table: false alarms and misses of each rule with stretches of so many blocks, and of the gate.

    An INCONCLUSIVE of the gate counts as a miss of a planted slowdown, and as no false alarm.
    """
    gate = replay(rows, plan_design(GATES), disturbances={}, runs=1)
    unchanged = next(one for one in gate["unchanged"] if "either" in one.name)
    failed = {"unchanged": unchanged, **{one.name: one for one in gate["planted slowdowns"]}}

    def enough(window: Rows) -> bool:
        return len(window) == 2 * blocks

    recorded = recordings(rows, lambda run: len(run) >= 2 * blocks, f"{2 * blocks} blocks")
    every, alone = places(recorded, 2 * blocks, enough), len(apart(recorded, enough))
    effects = {"unchanged": UNCHANGED, **EFFECTS}
    by_effect = {name: alarms(every, effect, samples) for name, effect in effects.items()}
    of_gate = {name: one.share(Verdict.FAIL)[0] for name, one in failed.items()}
    lines = [
        f"| rule | false alarms, unchanged | {' | '.join(f'missed: {name}' for name in EFFECTS)} |",
        "|---|---" + "|---" * len(EFFECTS) + "|",
        _line("tailgate's gate", of_gate, unchanged.independent or 0),
    ]
    for rule in by_effect["unchanged"]:
        shares = {name: found[rule] for name, found in by_effect.items()}
        lines.append(_line(f"{rule}, {blocks} blocks", shares, alone))
    return "\n".join(lines)


def _line(rule: str, shares: Mapping[str, float], independent: int) -> str:
    """Return a line; the bound is that of as many runs as share no block."""
    hits = math.ceil(shares["unchanged"] * independent - 1e-9)
    high = share_interval(hits, independent, CONFIDENCE).high
    misses = (1 - shares[name] for name in EFFECTS)
    bound = "" if high is None else f" (at most {percent(high)}, of {independent} runs apart)"
    return f"| {' | '.join([rule, percent(shares['unchanged']) + bound, *map(percent, misses)])} |"


def main(
    blocks: Annotated[Path, typer.Argument(help="recorded A/A blocks, JSON lines")] = RECORDING,
    stretch: Annotated[int, typer.Option("--blocks", min=1, help="blocks in each stretch of a rule")] = 6,
    samples: Annotated[
        list[str] | None,
        typer.Option(help="SESSION=FOLDER of the kept run, for all sessions: raw latencies for Mann-Whitney"),
    ] = None,
) -> None:
    """Print false alarms and misses of naive rules beside the gate's, on recorded blocks."""
    with refusing():
        rows = read_rows(blocks)
        print(beside_the_gate(rows, stretch, _samples(samples or (), rows)))


def _samples(given: Sequence[str], rows: Sequence[BlockRow]) -> Samples:
    """Return the latencies of all blocks; none where no folder is given."""
    found: dict[tuple[str, int], tuple[Latencies, Latencies]] = {}
    for one in given:
        session, separator, folder = one.partition("=")
        if not separator:
            raise UsageError(f"--samples: expected SESSION=FOLDER, got {one!r}")
        kept = samples_of(Path(folder), session)
        if not kept:
            raise UsageError(f"--samples: {folder} holds no samples of both arms of any block")
        found.update(kept)
    missing = {row.run for row in rows if (row.run, row.index) not in found}
    if given and missing:
        raise UsageError(f"--samples: none of some blocks of {', '.join(sorted(missing))}")
    return found


if __name__ == "__main__":
    typer.run(main)
