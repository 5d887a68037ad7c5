"""Blocks of unchanged code against itself, made from known noise, for the tests of calibration."""

import dataclasses
import math

import numpy as np

from tailgate.harness.compare.blocks.row import ArmRow, BlockRow

BASE = ArmRow(
    requests=1040,
    failed=0,
    cpu_s=4.16,
    p50_s=0.005,
    p95_s=0.010,
    p99_s=0.020,
    peak_rss_bytes=5e8,
    start_up_s=3.0,
)
RATIOS = ("cpu_s", "p50_s", "p95_s", "p99_s", "peak_rss_bytes", "start_up_s")


def arm(ln, requests=1040, base=BASE):
    """Return an arm whose values are all so far from the usual; a slot's worth has fewer requests."""
    values = {name: getattr(base, name) * math.exp(ln) for name in RATIOS}
    values["cpu_s"] *= requests / 1040
    if requests < 1000:
        values["p99_s"] = None
    return dataclasses.replace(base, requests=requests, **values)


def quiet_blocks(count, *, start=0.01, pair=0.03, pairs=4, drift=0.0, seed=0, run="r1", change=0.0):
    """Return rows and their pairs: deviations of two starts' difference, of one pair's, and of the level's walk."""
    rng = np.random.default_rng(seed)
    rows, parts = [], []
    level = 0.0
    for index in range(count):
        level += rng.normal(0, drift) if drift else 0.0
        settled = rng.normal(0, start) + change
        lns = settled + rng.normal(0, pair, pairs)
        shared = {"index": index, "run": run}
        parts += [BlockRow(base=arm(level, 260), head=arm(level + ln, 260), **shared) for ln in lns]
        rows.append(
            BlockRow(
                base=arm(level),
                head=arm(level + float(np.mean(lns))),
                load_s=16.0,
                wall_s=22.0,
                steal_share=0.01,
                cpu_pressure_share=0.2,
                order="bhhb hbbh bhbh hbhb",
                **shared,
            )
        )
    return rows, parts
