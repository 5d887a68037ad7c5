"""Estimators of a block's quantiles, on simulated requests: which one shows a slowdown best?

    python -m benchmarks.gate.estimators [--blocks 600] [--json FILE]

Each block is simulated request by request: one server, Poisson arrivals at 100 per second, slots on a machine whose
speed wanders, and stalls. For each estimator of ln(head/base) the table shows its spread without a change, and by how
many spreads it moves when all work is 10 % slower, and when one request in fifty takes 50 ms more. The number of blocks
needed falls with the square of that.

pooled quantile                      the quantile of all requests of the block
mean of the slots' quantiles         the mean over the slots of the logarithm of each slot's quantile
Hodges-Lehmann over slots            the Hodges-Lehmann estimate instead of the mean
Hodges-Lehmann over pairs of slots   the same over pairs of slots of the log ratio of their quantiles
Harrell-Davis, pooled                their weighted quantile (Biometrika 69, 1982) of the pooled requests
median of request-wise ratios        the median over requests of the log ratio of one request's two latencies (for p50)
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, NamedTuple

import numpy as np
import typer
from scipy import stats

from benchmarks.gate.queue import Array, in_system
from benchmarks.record import RESULTS, Json, Record
from tailgate import quantile_name
from tailgate.harness.units import percent

RATE_PER_S, WORK_S, NETWORK_S = 100.0, 0.004, 0.001
TAIL_SHARE, TAIL_S = 0.02, 0.050
ARMS = np.array([-1.0, 1.0])


class Noise(NamedTuple):
    """Deviation of the logarithm of a slot's speed, stalls per second, and their mean length (exponential)."""

    speed: float
    stalls_per_s: float
    stall_s: float


MACHINES: Mapping[str, Noise] = MappingProxyType(
    {
        "no stalls": Noise(0.03, 0.0, 0.0),
        "rare long stalls": Noise(0.03, 0.1, 0.020),
        "some short stalls": Noise(0.05, 0.5, 0.010),
        "many stalls": Noise(0.05, 2.0, 0.020),
    }
)


class Cut(NamedTuple):
    """How a block is cut: slots per arm, requests per slot, and whether both arms get the same requests."""

    slots: int
    requests: int
    common: bool


CUTS: Mapping[str, Cut] = MappingProxyType(
    {
        "4 slots of 260 requests, common requests": Cut(4, 260, common=True),
        "8 slots of 130 requests, common requests": Cut(8, 130, common=True),
        "4 slots of 260 requests, each arm its own requests": Cut(4, 260, common=False),
    }
)


def latencies(
    noise: Noise,
    random: np.random.Generator,
    shape: tuple[int, int, int],
    *,
    work: float = 1.0,
    common: bool = True,
) -> Array:
    """Return latencies of blocks in seconds, shape (blocks, 2 arms, slots, requests).

    Args:
        noise: of the machine.
        random: source of the draws.
        shape: blocks, slots per arm, requests per slot.
        work: head's work over base's.
        common: both arms get the same requests at the same times.
    """
    arms = []
    shared = _requests(random, shape)
    for factor in (1.0, work):
        gaps_s, cost = shared if common else _requests(random, shape)
        service_s = WORK_S * factor * cost * np.exp(random.normal(0, noise.speed, (*shape[:2], 1)))
        service_s *= random.lognormal(0, 0.10, shape)
        stalled = random.random(shape) < noise.stalls_per_s / RATE_PER_S
        service_s += stalled * random.exponential(1.0, shape) * noise.stall_s
        arms.append(in_system(gaps_s, service_s) + NETWORK_S * random.lognormal(0, 0.3, shape))
    return np.stack(arms, axis=1)


def _requests(random: np.random.Generator, shape: tuple[int, int, int]) -> tuple[Array, Array]:
    return random.exponential(1 / RATE_PER_S, shape), random.lognormal(0, 0.15, shape)


def with_tail(shown: Array, random: np.random.Generator) -> Array:
    """Return the latencies with one request in fifty of head 50 ms later."""
    later = shown.copy()
    later[:, 1] += (random.random(later[:, 1].shape) < TAIL_SHARE) * TAIL_S
    return later


def estimates(shown: Array, share: float) -> dict[str, Array]:
    """Return ln(head/base) of each block by each estimator."""
    pooled = np.sort(shown.reshape(*shown.shape[:2], -1), axis=-1)
    by_slot = np.log(_quantile(np.sort(shown, axis=-1), share))
    found = {
        "pooled quantile": np.log(_quantile(pooled, share)) @ ARMS,
        "mean of the slots' quantiles": by_slot.mean(axis=-1) @ ARMS,
        "Hodges-Lehmann over slots": _hodges_lehmann(by_slot) @ ARMS,
        "Hodges-Lehmann over pairs of slots": _hodges_lehmann(by_slot[:, 1] - by_slot[:, 0]),
        "Harrell-Davis, pooled": np.log(_harrell_davis(pooled, share)) @ ARMS,
    }
    if share == 0.5:
        found["median of request-wise ratios"] = np.median(
            np.log(shown[:, 1] / shown[:, 0]).reshape(len(shown), -1), axis=-1
        )
    return found


def _quantile(ordered: Array, share: float) -> Array:
    result: Array = ordered[..., int(np.ceil(share * ordered.shape[-1] - 1e-9)) - 1]
    return result


def _hodges_lehmann(values: Array) -> Array:
    first, second = np.triu_indices(values.shape[-1])
    result: Array = np.median((values[..., first] + values[..., second]) / 2, axis=-1)
    return result


def _harrell_davis(ordered: Array, share: float) -> Array:
    n = ordered.shape[-1]
    law = stats.beta.cdf(np.arange(n + 1) / n, share * (n + 1), (1 - share) * (n + 1))
    result: Array = ordered @ np.diff(law)
    return result


@dataclass(frozen=True, slots=True)
class Line:
    """What one estimator shows of one quantile on one machine."""

    machine: str
    quantile: str
    estimator: str
    spread: float  # of ln(head/base) without a change
    slower: float  # by how many spreads it moves where all work is 10 % slower
    late: float  # and where one request in fifty is late


def measured(cut: Cut, blocks: int, seed: int = 0) -> list[Line]:
    """Return a line for each machine, quantile and estimator, for one way of cutting a block."""
    lines, shape = [], (blocks, cut.slots, cut.requests)
    for machine, noise in MACHINES.items():
        random = np.random.default_rng(seed)
        same, slower = (latencies(noise, random, shape, work=work, common=cut.common) for work in (1.0, 1.1))
        tailed = with_tail(same, random)
        for share in (0.5, 0.95, 0.99):
            usual, moved, late = (estimates(each, share) for each in (same, slower, tailed))
            for name, values in usual.items():
                spread, middle = float(np.std(values)), np.mean(values)
                gains = (float(np.mean(other[name]) - middle) / spread for other in (moved, late))
                lines.append(Line(machine, quantile_name(share), name, spread, *gains))
    return lines


def table(lines: Iterable[Line]) -> str:
    """Return a Markdown table of all that was measured."""
    headings = ("machine", "quantile", "estimator", "spread", "all +10 %, in spreads", "tail, in spreads")
    rows = [f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]
    for one in lines:
        known = [one.machine, one.quantile, one.estimator, percent(one.spread)]
        rows.append(f"| {' | '.join([*known, f'{one.slower:.2f}', f'{one.late:.2f}'])} |")
    return "\n".join(rows)


def spreads(lines: Sequence[Line], asked: Sequence[tuple[str, str]]) -> str:
    """Return a Markdown table of the spreads alone: a row for each estimator, a column for each quantile and machine."""
    found = {(one.estimator, one.quantile, one.machine): percent(one.spread) for one in lines}
    rows = [f"| | {' | '.join(', '.join(pair) for pair in asked)} |", "| ---" * (1 + len(asked)) + " |"]
    for name in dict.fromkeys(one.estimator for one in lines):
        cells = (found.get((name, *pair), "–") for pair in asked)
        rows.append(f"| {' | '.join([name, *cells])} |")
    return "\n".join(rows)


def main(
    blocks: Annotated[int, typer.Option(min=10, help="simulated blocks for each line")] = 600,
    json: Json = RESULTS / "gate-estimators.json",
) -> None:
    """Simulate three ways of cutting a block."""
    record = Record("gate-estimators", {"blocks": blocks}, json)
    found = {title: measured(cut, blocks) for title, cut in CUTS.items()}
    record.write({"cuts": found})
    for title, lines in found.items():
        print(f"\n{title}\n\n{table(lines)}")


if __name__ == "__main__":
    typer.run(main)
