"""Estimators of a block's quantiles, on simulated requests: which one shows a slowdown best?

    python -m benchmarks.gate.estimators [--blocks 600]

Each block is simulated request by request: one server, Poisson arrivals at 100 per second, slots on a machine whose
speed wanders, and stalls. For each estimator of ln(head/base) the table shows its spread without a change, and by how
many spreads it moves when all work is 10 % slower, and when one request in fifty takes 50 ms more. The number of blocks
needed falls with the square of that.

pooled         the quantile of all requests of the block
slots          the mean over the slots of the logarithm of each slot's quantile
slots' HL      the Hodges-Lehmann estimate instead of the mean
pairs' HL      the Hodges-Lehmann estimate over pairs of slots of the log ratio of their quantiles
HD             Harrell and Davis's weighted quantile (Biometrika 69, 1982) of the pooled requests
paired         the median over requests of the log ratio of the same request's two latencies (for p50)
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, NamedTuple

import numpy as np
import typer
from scipy import stats

from benchmarks.gate.queue import Array, in_system
from tailgate import quantile_name

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
        "pooled": np.log(_quantile(pooled, share)) @ ARMS,
        "slots": by_slot.mean(axis=-1) @ ARMS,
        "slots' HL": _hodges_lehmann(by_slot) @ ARMS,
        "pairs' HL": _hodges_lehmann(by_slot[:, 1] - by_slot[:, 0]),
        "HD": np.log(_harrell_davis(pooled, share)) @ ARMS,
    }
    if share == 0.5:
        found["paired"] = np.median(np.log(shown[:, 1] / shown[:, 0]).reshape(len(shown), -1), axis=-1)
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


def table(blocks: int, slots: int, requests: int, *, common: bool = True, seed: int = 0) -> str:
    """Return a Markdown table of all machines, quantiles and estimators for one way of cutting a block."""
    headings = ("machine", "quantile", "estimator", "spread", "all +10 %, in spreads", "tail, in spreads")
    lines = [f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]
    shape = (blocks, slots, requests)
    for machine, noise in MACHINES.items():
        random = np.random.default_rng(seed)
        same, slower = (latencies(noise, random, shape, work=work, common=common) for work in (1.0, 1.1))
        tailed = with_tail(same, random)
        for share in (0.5, 0.95, 0.99):
            usual, moved, late = (estimates(each, share) for each in (same, slower, tailed))
            for name, values in usual.items():
                spread = float(np.std(values))
                gains = ((np.mean(other[name]) - np.mean(values)) / spread for other in (moved, late))
                cells = [machine, quantile_name(share), name, f"{spread * 100:.1f} %"]
                lines.append(f"| {' | '.join([*cells, *(f'{gain:.2f}' for gain in gains)])} |")
    return "\n".join(lines)


def main(blocks: Annotated[int, typer.Option(min=10, help="simulated blocks for each line")] = 600) -> None:
    """Print the tables for three ways of cutting a block."""
    for title, slots, requests, common in (
        ("4 slots of 260 requests, common requests", 4, 260, True),
        ("8 slots of 130 requests, common requests", 8, 130, True),
        ("4 slots of 260 requests, each arm its own requests", 4, 260, False),
    ):
        print(f"\n{title}\n\n{table(blocks, slots, requests, common=common)}", flush=True)


if __name__ == "__main__":
    typer.run(main)
