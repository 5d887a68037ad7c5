"""Recorded A/A blocks replayed through the gate, in the order in which they happened.

The input is a recording that no verdict could end early (:mod:`benchmarks.gate.recording`). Blocks of comparisons are no
such recording: each comparison ended at its own verdict. A *window* is a stretch of neighbours of one recording, as
many as one run may take, judged as if it were a comparison. Blocks are never drawn at random, and the arms are never
named anew block by block: either would make the blocks independent by construction. So serial correlation and an arm
that is favoured stay in the data, and these two could break the gate's level.

**Naming.** The arms keep their recorded names, or one coin names them for a *whole* window. With the coin, an arm that is
favoured throughout counts as often against head as for it.

**Bounds.** Comparisons *one after another*, each begun where the one before came to its verdict, share no block. As far as
they are independent, an exact bound on them speaks of the machine. All other windows overlap. Their bounds speak of the
draws (place, coin, disturbance) *given these recorded blocks*, and not of other nights and machines.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby

import numpy as np

from benchmarks.gate.rows import swapped
from benchmarks.gate.simulation.disturbances import (
    DISTURBANCES,
    Array,
    Disturbance,
    block_levels,
    drawn_order,
)
from benchmarks.gate.simulation.effects import EFFECTS, FIELDS, GATES, Effect, plant
from benchmarks.gate.simulation.tally import Tally
from benchmarks.record import RESULTS
from tailgate import UsageError, Verdict
from tailgate.harness.compare.blocks.row import ArmRow, BlockRow
from tailgate.harness.compare.decision.decision import judge
from tailgate.harness.results.comparison import Design, Lens

RECORDING = RESULTS / "gate-recording.jsonl"
# Of blocks whose rows note no turns.
USUAL_PAIRS, USUAL_WINDOWS = 2, 5

Rows = Sequence[BlockRow]
Enough = Callable[[Rows], bool]


def recordings(rows: Rows, enough: Enough, least: str) -> list[Rows]:
    """Return the rows by recording: neighbours with the same ``run``.

    ``enough`` tells whether a recording holds a whole window, and ``least`` says in words how much that is.

    Raises:
        UsageError: one is too short. To leave out the short ones would be to choose by what ended them.
    """
    runs = [tuple(group) for _, group in groupby(rows, key=lambda row: row.run)]
    short = [run for run in runs if not enough(run)]
    if short or not runs:
        named = f"{short[0][0].run!r} has {len(short[0])} blocks" if short else "there are no blocks"
        raise UsageError(
            f"{len(short)} of {len(runs)} recordings are shorter than one run ({least}): {named}. Comparisons end at "
            "their own verdicts and cannot be replayed; keep a calibration with python -m benchmarks.gate.recording"
        )
    return list(runs)


def complete(design: Design) -> Enough:
    """Return whether rows can end any run: good blocks for its last look, or more void ones than it allows."""

    def enough(rows: Rows) -> bool:
        voided = sum(row.void is not None for row in rows)
        return len(rows) - voided >= design.blocks or voided > design.max_void_blocks

    return enough


def places(runs: Sequence[Rows], length: int, enough: Enough) -> list[Rows]:
    """Return every window of neighbours that is enough, of at most so many blocks; they overlap."""
    found = (run[start : start + length] for run in runs for start in range(len(run)))
    return [window for window in found if enough(window)]


def beginning(run: Rows, enough: Enough) -> Rows:
    """Return the first rows of a recording, as few as are enough; none where all are not."""
    return next((run[:end] for end in range(1, len(run) + 1) if enough(run[:end])), ())


def apart(runs: Sequence[Rows], enough: Enough) -> list[Rows]:
    """Return windows that share no block, each as short as is enough, from the beginning of each recording."""
    found: list[Rows] = []
    for run in runs:
        rest = run
        while window := beginning(rest, enough):
            found.append(window)
            rest = rest[len(window) :]
    return found


def in_turn(
    runs: Sequence[Rows],
    design: Design,
    lenses: Sequence[Lens],
    named: Callable[[Rows], Rows] = lambda window: window,
) -> list[Rows]:
    """Return the windows of comparisons begun one after another, each with its arms ``named``; they share no block.

    Each begins where the one before came to its verdict, and only where a whole run is left: so none is missing because
    it became long.
    """
    enough, found = complete(design), []
    for run in runs:
        rest = run
        while window := named(beginning(rest, enough)):
            decision = judge(window, design, lenses)
            if decision.verdict is not Verdict.INVALID:
                window = window[: decision.blocks + decision.voided]
            found.append(window)
            rest = rest[len(window) :]
    return found


def drawn(found: Sequence[Rows], count: int, random: np.random.Generator) -> Iterator[Rows]:
    """Yield so many windows at drawn places; one coin names the arms of each whole window."""
    for _ in range(count):
        window = found[int(random.integers(len(found)))]
        yield named_anew(window) if random.random() < 0.5 else window


def named_anew(window: Rows) -> Rows:
    """Return the window with the names of its arms exchanged in every block."""
    return [swapped(row) for row in window]


def disturb(window: Rows, what: Disturbance, random: np.random.Generator) -> Rows:
    """Return the window with a disturbance added to the arms' values, by the turns that they had.

    Raises:
        UsageError: a block that had turns of one arm only.
    """
    orders = [row.order or drawn_order(USUAL_PAIRS, USUAL_WINDOWS, random) for row in window]
    factors = np.exp(block_levels(what, orders, random))
    return [
        replace(row, base=_times(row.base, of_base), head=_times(row.head, of_head))
        for row, (of_base, of_head) in zip(window, factors, strict=True)
    ]


def _times(arm: ArmRow, factors: Array) -> ArmRow:
    values = {name: getattr(arm, name) for name in FIELDS}
    pairs = zip(values.items(), factors, strict=True)
    return replace(
        arm, **{name: value * float(factor) for (name, value), factor in pairs if value is not None}
    )


def judge_all(
    name: str,
    found: Iterable[Rows],
    *,
    design: Design,
    lenses: Sequence[Lens],
    independent: int | None = None,
) -> Tally:
    """Return the verdicts of windows under one condition, of which so many share no block."""
    tally = Tally(name, independent)
    for window in found:
        tally.add(judge(window, design, lenses))
    return tally


def replay(
    rows: Rows,
    design: Design,
    lenses: Sequence[Lens] = GATES,
    *,
    runs: int = 20_000,
    disturbances: Mapping[str, Disturbance] = DISTURBANCES,
    effects: Mapping[str, Effect] = EFFECTS,
    seed: int = 0,
) -> dict[str, list[Tally]]:
    """Judge windows of recorded blocks: as they are, disturbed, and with planted effects.

    Args:
        rows: recorded.
        design: of a run.
        lenses: of a run.
        runs: draws of place, coin and disturbance, for each disturbance.
        disturbances: added to the unchanged blocks.
        effects: planted, at every place and with either naming.
        seed: of the draws.

    Raises:
        UsageError: a recording is shorter than one run.
    """
    enough = complete(design)
    recorded = recordings(rows, enough, f"{design.blocks} good blocks")
    every = places(recorded, design.blocks + design.max_void_blocks, enough)
    either = [naming for window in every for naming in (window, named_anew(window))]
    coins = np.random.default_rng(seed)
    turns = partial(in_turn, design=design, lenses=lenses)
    judged = partial(judge_all, design=design, lenses=lenses)
    alone = turns(recorded)

    def by_coin(window: Rows) -> Rows:
        return named_anew(window) if coins.random() < 0.5 else window

    def disturbed(name: str, what: Disturbance) -> Tally:
        random = np.random.default_rng(seed)
        return judged(name, (disturb(window, what, random) for window in drawn(every, runs, random)))

    def everywhere(name: str, effect: Effect) -> Tally:
        planted = [[plant(row, effect) for row in run] for run in recorded]
        windows = ([plant(row, effect) for row in window] for window in either)
        return judged(name, windows, independent=len(turns(planted)))

    return {
        "unchanged": [
            judged("one after another, as recorded", alone),
            judged("one after another, one coin each", turns(recorded, named=by_coin)),
            judged("every place, as recorded", every, independent=len(alone)),
            judged("every place, either naming", either, independent=len(alone)),
        ],
        "unchanged, with what disturbs": [disturbed(name, what) for name, what in disturbances.items()],
        "planted slowdowns": [everywhere(name, effect) for name, effect in effects.items()],
    }
