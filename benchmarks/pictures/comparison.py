"""Pictures of comparisons: how one goes on, what blocks show, and how often it finds a slowdown."""

import json
import math
from collections.abc import Mapping, Sequence

from benchmarks.pictures.canvas import WIDTH, Picture
from benchmarks.record import RESULTS
from tailgate.harness.compare.blocks.row import BlockRow, ln_ratio, read_rows
from tailgate.harness.compare.blocks.schedule import plan_block
from tailgate.harness.compare.decision.design import LOOKS, plan_design
from tailgate.harness.compare.decision.lens_result import judge_lens
from tailgate.harness.compare.lens import find_lens
from tailgate.harness.results.verdict import Verdict


def timeline() -> Picture:
    """Show what a comparison does: blocks with looks, one block, and one pair of windows by turns."""
    picture = Picture(330, "The timeline of a comparison: blocks, pairs and windows")
    picture.text(16, 26, "One run: blocks, and the looks at which it may end", "bold")
    step = (WIDTH - 32) / LOOKS[-1]
    for block in range(LOOKS[-1]):
        picture.box(16 + block * step, 40, step - 3, 26, "idle")
    for look in LOOKS:
        x = 16 + look * step - 1.5
        picture.line((x, 36, x, 76), "limit")
        picture.text(x, 92, f"look after {look}", "limit-text end")
    picture.text(16, 136, "One block: both sides started afresh", "bold")
    parts = (
        ("start", 208, "idle"),
        ("warm-up", 90, "idle"),
        ("pair 1", 185, "link"),
        ("pair 2", 185, "link"),
        ("stop", 60, "idle"),
    )
    x = 16.0
    for name, width, style in parts:
        picture.box(x, 150, width - 3, 30, style)
        picture.text(x + width / 2, 170, name, "mid")
        x += width
    picture.text(16, 224, "One pair: the sides take turns of about half a second", "bold")
    picture.text(WIDTH - 16, 224, "a coin says who goes first", "soft end")
    order = plan_block(7, 0, 2).order((5, 5)).split(" ")[0]
    step = (WIDTH - 32) / len(order)
    for number, letter in enumerate(order):
        style = "base" if letter == "b" else "head"
        picture.box(16 + number * step, 238, step - 8, 30, style)
        picture.text(16 + (number + 0.5) * step - 4, 290, style, "soft mid")
    picture.text(
        16,
        316,
        "Each side gets the same 260 requests at the same moments of its turns. One block is one observation.",
        "soft",
    )
    return picture


def blocks() -> Picture:
    """Show two real comparisons: a dot for each block, and the interval at the first look."""
    every = [
        row
        for name in ("gate-blocks.jsonl", "gate-blocks-planted.jsonl")
        for row in read_rows(RESULTS / name)
    ]
    lens, look = find_lens("cpu"), plan_design().looks[0]
    picture = Picture(250, "CPU time per request in each block of two real comparisons")
    picture.text(16, 26, "CPU time per request of head, compared with base. Each dot is a block.", "bold")

    def x(change: float) -> float:
        return 190 + 430 * (min(max(change, -0.06), 0.1) + 0.06) / 0.16

    for tick in (-0.05, 0.0, 0.05, 0.1):
        picture.line((x(tick), 44, x(tick), 206), "grid")
        picture.text(x(tick), 226, f"{tick * 100:+.0f} %" if tick else "no change", "soft mid")
    for number, (case, name) in enumerate(
        (("unchanged", "the same code twice"), ("all-5", "+5 % of all work"))
    ):
        # The first run of its case that the first look decided.
        run = next(
            row.run
            for row in every
            if row.run.startswith(f"{case} ") and _length(every, row.run) == look.blocks
        )
        rows = [row for row in every if row.run == run]
        result, y = judge_lens(lens, rows, look), 90 + 80 * number
        changes = [math.expm1(ratio) for row in rows if (ratio := ln_ratio(lens, row)) is not None]
        picture.text(16, y + 5, name)
        for change in changes:
            picture.dot(x(change), y - 18, "base" if number == 0 else "head", 3.5)
        assert result.change is not None
        low, high = (1.0 if end is None else end for end in (result.low, result.high))
        style = result.verdict.value.lower()
        picture.range(x(low - 1), x(high - 1), x(result.change - 1), y + 6, style)
        picture.text(744, y + 11, result.verdict.value, f"bold end {style}")
    return picture


def _length(rows: Sequence[BlockRow], run: str) -> int:
    return sum(row.run == run for row in rows)


def power() -> Picture:
    """Show what simulated runs come to, by the size of the planted slowdown."""
    found = json.loads((RESULTS / "gate-simulation.json").read_text())
    tallies = {
        one["name"]: one for kind in ("unchanged, by blocks", "planted slowdowns") for one in found[kind]
    }
    groups = (
        (
            "a machine as noisy as the recorded one",
            ("quiet", "all +2 %, quiet", "all +5 %, quiet", "all +10 %, quiet"),
        ),
        (
            "two starts of one program differ by 3 %",
            tuple(f"{plant}start effects 3 %" for plant in ("", "all +2 %, ", "all +5 %, ", "all +10 %, ")),
        ),
    )
    picture = Picture(390, "Verdicts of simulated comparisons by the size of the slowdown")
    picture.text(16, 26, "What 100 runs come to, if head is slower by so much", "bold")
    y = 60
    for name, keys in groups:
        picture.text(16, y, name)
        y += 14
        for size, key in zip(("no change", "+2 %", "+5 %", "+10 %"), keys, strict=True):
            picture.text(100, y + 18, size, "soft end")
            _stack(picture, tallies[key], y)
            y += 32
        y += 30
    return picture


def _stack(picture: Picture, tally: Mapping[str, object], y: float) -> None:
    verdicts, runs = tally["verdicts"], tally["runs"]
    assert isinstance(verdicts, dict)
    assert isinstance(runs, int)
    x = 112.0
    for verdict in (Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL):
        share = verdicts.get(verdict.value, 0) / runs
        picture.box(x, y, 630 * share - 1, 26, verdict.value.lower())
        if share > 0.15:
            picture.text(x + 315 * share, y + 18, f"{verdict.value} {share * 100:.3g} %", "mid inside")
        x += 630 * share
