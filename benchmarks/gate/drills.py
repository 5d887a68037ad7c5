"""Drills replayed: healthy and sabotaged gates over recorded blocks, and how soon the ledger of drills accuses each.

    python -m benchmarks.gate.drills [--json FILE]

A drill is a window of recorded neighbours, judged by the gate's own code (:mod:`benchmarks.gate.simulation.replay`), with the case
planted by multiplying head's values. Cases come in the order that made-up commits draw. Four gates are sabotaged: both arms run
one tree, a stale compile cache serves base's code as head's, one arm is noisier, and FAIL begins at ten times the tolerance.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import typer

from benchmarks.gate.rows import refusing
from benchmarks.gate.simulation.effects import EFFECTS, FIELDS, GATES, UNCHANGED, Effect, plant
from benchmarks.gate.simulation.replay import RECORDING, Rows, complete, named_anew, places, recordings
from benchmarks.record import RESULTS, Json, Record
from tailgate.harness.compare.blocks.row import BlockRow, read_rows
from tailgate.harness.compare.decision.decision import judge
from tailgate.harness.compare.decision.design import plan_design
from tailgate.harness.drill.case import CASES, next_case
from tailgate.harness.drill.evidence import PROMISES, Seen, standings
from tailgate.harness.results.comparison import Design, Lens, Scale
from tailgate.harness.results.verdict import Verdict

# A proxy stalls one answer in fifty by four times the mean or more: p99 grows to a multiple, and nothing else moves.
PLANTED: Mapping[str, Effect] = MappingProxyType(
    {"unchanged": UNCHANGED, "all-5": EFFECTS["all +5 %"], "stall": MappingProxyType({"p99_s": 3.0})}
)
# Of a block, one arm's own: as large as what is planted, and always slower.
NOISE = 0.10
WITHIN, LONG, PROJECTS = 10, 1_000, 1_000

Change = Callable[[Rows, np.random.Generator], Rows]


@dataclass(frozen=True, slots=True)
class Gate:
    """A gate, as sabotaged: what reaches it of a plant, what else happens to its blocks, and by which lenses it judges."""

    name: str
    reaches: Mapping[str, Effect] = dataclasses.field(default_factory=lambda: PLANTED)
    also: Change = lambda window, _: window
    lenses: tuple[Lens, ...] = GATES


def _noisy(window: Rows, random: np.random.Generator) -> Rows:
    def slower(row: BlockRow) -> BlockRow:
        factor = 1 + abs(random.normal(0, NOISE))
        values = {name: value * factor for name in FIELDS if (value := getattr(row.head, name)) is not None}
        return dataclasses.replace(row, head=dataclasses.replace(row.head, **values))

    return [slower(row) for row in window]


def _lax(lens: Lens) -> Lens:
    """FAIL where PASS ends, ten times too far: a share of base for ratios, whatever it is for the others."""
    tolerance = 10 * lens.tolerance if lens.scale is Scale.RATIO else lens.tolerance
    return dataclasses.replace(lens, tolerance=tolerance * 1.001, margin=tolerance)


HEALTHY = Gate("healthy")
SABOTAGED = (
    Gate("both arms the same tree", reaches=dict.fromkeys(PLANTED, UNCHANGED)),
    # What is compiled is base's, and what stands outside of it, such as a stall in a handler, is head's.
    Gate("stale compile cache", reaches={**PLANTED, "all-5": UNCHANGED}),
    Gate("noise in one arm", also=_noisy),
    Gate("tolerance ten times too large", lenses=tuple(map(_lax, GATES))),
)


def windows(rows: Rows, design: Design) -> list[Rows]:
    """Return every window of the recording, with its arms named both ways."""
    enough = complete(design)
    runs = recordings(rows, enough, f"{design.blocks} good blocks")
    found = places(runs, design.blocks + design.max_void_blocks, enough)
    return [naming for window in found for naming in (window, named_anew(window))]


def pool(gate: Gate, found: Sequence[Rows], design: Design, seed: int = 0) -> dict[str, list[Seen]]:
    """Return what the gate says of every window, by case."""
    random = np.random.default_rng(seed)
    return {case: [_seen(gate, case, window, design, random) for window in found] for case in CASES}


def _seen(gate: Gate, case: str, window: Rows, design: Design, random: np.random.Generator) -> Seen:
    blocks = gate.also([plant(row, gate.reaches[case]) for row in window], random)
    decision = judge(blocks, design, gate.lenses)
    failing = [one.lens.name for one in decision.results if one.lens.gates and one.verdict is Verdict.FAIL]
    return Seen(case, decision.verdict, tuple(failing))


def project(said: Mapping[str, Sequence[Seen]], seed: int) -> Iterator[Seen]:
    """Yield the drills of a project without end, each of a window at a drawn place."""
    random = np.random.default_rng(seed)
    before: list[str] = []
    while True:
        commit = hashlib.sha1(f"{seed} {len(before)}".encode(), usedforsecurity=False).hexdigest()
        case = next_case(commit, before).name
        before.append(case)
        yield said[case][int(random.integers(len(said[case])))]


def first_alarm(drills: Iterator[Seen], most: int) -> int | None:
    """Return after how many drills a promise is broken; None for none of so many."""
    seen: list[Seen] = []
    for number, one in zip(range(1, most + 1), drills, strict=False):
        seen.append(one)
        if any(standing.alarm for standing in standings(seen)):
            return number
    return None


def main(json: Json = RESULTS / "gate-drills.json") -> None:
    """Replay healthy and sabotaged gates."""
    with refusing():
        design, rows = plan_design(GATES), read_rows(RECORDING)
        found = windows(rows, design)
    record = Record("gate-drills", {"within": WITHIN, "long": LONG, "projects": PROJECTS}, json)
    said = pool(HEALTHY, found, design)
    rates = {case: sum(one.right is True for one in every) / len(every) for case, every in said.items()}
    # One look at the end is enough, since a standing keeps the most that its capital ever was.
    drills = [one for one, _ in zip(project(said, 0), range(LONG), strict=False)]
    healthy = {
        "windows": len(found),
        "right": rates,
        "alarms": [one.promise.text for one in standings(drills) if one.alarm],
        "evidence": {one.promise.text: [one.most, one.promise.enough] for one in standings(drills)},
        "projects_accused": sum(
            first_alarm(project(said, seed), WITHIN) is not None for seed in range(PROJECTS)
        ),
    }
    print(f"healthy: right {rates}; alarms in {LONG:,} drills: {healthy['alarms'] or 'none'}")
    sabotaged = {}
    for gate in SABOTAGED:
        broken = pool(gate, found, design)
        at = [first_alarm(project(broken, seed), WITHIN) for seed in range(PROJECTS)]
        known = [number for number in at if number is not None]
        sabotaged[gate.name] = {
            "exposed": len(known),
            "projects": PROJECTS,
            "median": float(np.median(known)) if known else None,
            "latest": max(known, default=None),
            "right": {
                case: sum(one.right is True for one in every) / len(every) for case, every in broken.items()
            },
        }
        print(f"{gate.name}: {sabotaged[gate.name]}", flush=True)
    promises = {one.text: {"most": one.most, "alpha": one.alpha, "bets": one.bets} for one in PROMISES}
    record.write({"promises": promises, "healthy": healthy, "sabotaged": sabotaged})


if __name__ == "__main__":
    typer.run(main)
