"""Made-up machines: blocks with the noise that ``tailgate calibrate`` measured on a real one, and with disturbances.

Through each lens an arm shows its usual value times e to its own independent noise, which the lenses have in part in
common, plus the disturbances. A block's value is the geometric mean over its pairs, in place of pooling them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import orjson

from benchmarks.gate.simulation.disturbances import (
    DISTURBANCES,
    NOTHING,
    Array,
    Disturbance,
    drawn_order,
    pair_levels,
)
from benchmarks.gate.simulation.effects import FIELDS
from tailgate import UsageError
from tailgate.harness.compare.blocks.row import ArmRow, BlockRow

USUAL = np.array([3.0, 0.009, 0.016, 0.020])
COMMON = 0.5  # share of the noise's variance that all lenses have in common


@dataclass(frozen=True, slots=True)
class Machine:
    """How noisy a machine is, and how long its blocks are."""

    noise: tuple[float, ...]  # deviation of ln(head/base) of one block, for each of :data:`FIELDS`
    origin: str  # of these figures
    pairs: int  # per block
    windows: int  # per arm and pair
    requests: int  # per arm and block
    load_s: float  # of a block
    wall_s: float  # of a block
    disturbance: Disturbance = NOTHING  # beyond the noise


def calibrated(path: Path) -> Machine:
    """Return the machine of a ``calibration.json`` of ``tailgate calibrate``.

    Raises:
        UsageError: the file cannot be read, is no calibration, or lacks a lens.
    """
    try:
        found = orjson.loads(path.read_bytes())["calibration"]
        sigmas = {sight["noise"]["lens"]["name"]: sight["noise"]["sigma"] for sight in found["sights"]}
        return Machine(
            noise=tuple(float(sigmas[name.removesuffix("_s")]) for name in FIELDS),
            origin=f"{path.name}, {found['blocks']} good blocks of unchanged code",
            pairs=found["pairs"],
            windows=found["windows"],
            requests=round(found["slot_requests"] * found["pairs"]),
            load_s=found["block_load_s"],
            wall_s=found["block_wall_s"],
        )
    except OSError as error:
        raise UsageError(f"cannot read the calibration {path}: {error.strerror}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path} is no calibration.json of tailgate calibrate: {error!r}") from error


def disturbed(machine: Machine) -> Mapping[str, Machine]:
    """Return the machine as it is, and with each disturbance."""
    others = {name: replace(machine, disturbance=what) for name, what in DISTURBANCES.items()}
    return MappingProxyType({"quiet": machine, **others})


def shown_by_pairs(machine: Machine, random: np.random.Generator, blocks: int) -> Array:
    """Return logarithms of the arms' values over their usual ones, shape (blocks, pairs, 2 arms, lenses)."""
    shape = (blocks, machine.pairs, 2)
    common = random.normal(0, np.sqrt(COMMON), (*shape, 1))
    own = random.normal(0, np.sqrt(1 - COMMON), (*shape, len(FIELDS)))
    # A block's ratio is that of two arms, each the mean of its pairs.
    shown: Array = (common + own) * np.array(machine.noise) * np.sqrt(machine.pairs / 2)
    orders = [drawn_order(machine.pairs, machine.windows, random) for _ in range(blocks)]
    shown += pair_levels(machine.disturbance, orders, random).reshape(*shape, len(FIELDS))
    return shown


def block_rows(shown: Array, machine: Machine) -> list[BlockRow]:
    """Return one row per block, of pairs as :func:`shown_by_pairs` gives them."""
    return [_row(index, levels, machine, 1.0) for index, levels in enumerate(shown.mean(axis=1))]


def pair_rows(shown: Array, machine: Machine) -> list[BlockRow]:
    """Return one row per pair, as if pairs were independent observations."""
    pairs = shown.reshape(-1, 2, len(FIELDS))
    return [_row(index, levels, machine, 1 / machine.pairs) for index, levels in enumerate(pairs)]


def _row(index: int, levels: Array, machine: Machine, part: float) -> BlockRow:
    base, head = (_arm(USUAL * np.exp(level), machine.requests) for level in levels)
    return BlockRow(index, base, head, load_s=machine.load_s * part, wall_s=machine.wall_s * part)


def _arm(shown: Array, requests: int) -> ArmRow:
    cpu_s, p50_s, p95_s, p99_s = map(float, shown)
    return ArmRow(requests, 0, cpu_s=cpu_s, p50_s=p50_s, p95_s=p95_s, p99_s=p99_s)
