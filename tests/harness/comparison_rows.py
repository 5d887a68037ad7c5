"""Rows of made-up blocks, for the tests of everything that judges them."""

import numpy as np

from tailgate.harness.compare.blocks.row import ArmRow, BlockRow

REQUESTS = 700
BASE = {"cpu_s": 7.0, "p50_s": 0.010, "p95_s": 0.020, "p99_s": 0.040}
SIGMA = {"cpu_s": 0.025, "p50_s": 0.045, "p95_s": 0.08, "p99_s": 0.20}


def arm(worse=1.0, noise=None, failed=0, **changes):
    """One arm, all its times multiplied by ``worse`` and by e to the noise of each lens."""
    noise = noise or dict.fromkeys(BASE, 0.0)
    times = {name: value * worse * float(np.exp(noise[name])) for name, value in BASE.items()}
    return ArmRow(REQUESTS, failed, **{**times, **changes})


def row(index=0, base=None, head=None, **changes):
    return BlockRow(index, base or arm(), head or arm(), load_s=16.0, wall_s=22.0, **changes)


def rows(count, worse=1.0, seed=0, sigma=1.0, **changes):
    """Blocks with independent normal noise of each lens, as a quiet machine gives."""
    random = np.random.default_rng(seed)
    made = []
    for index in range(count):
        noise = {name: sigma * float(random.normal(0, deviation)) for name, deviation in SIGMA.items()}
        made.append(row(index, head=arm(worse, noise), **changes))
    return made
