"""How often the ends of a budget's interval err where requests queue: the gate's interval, and one for independent requests.

    python -m benchmarks.gate.coverage [--runs 1000] [--json FILE]

Each run is simulated request by request: one server, first come first served, Poisson arrivals, service times that are
all equal or exponential. The limit is exactly the true quantile, so that a PASS is false, and so is a FAIL. Each end
claims to err in at most 1 % of runs.

false PASS     the upper end lies at or below the limit
false FAIL     the lower end lies above it
can pass       there is an upper end, so that a limit far enough away is passed
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import typer

from benchmarks.gate.queue import Array, in_system
from benchmarks.record import RESULTS, Json, Record
from tailgate import quantile_name
from tailgate.harness import statistics
from tailgate.harness.measures import dependence
from tailgate.harness.statistics import Interval

CONFIDENCE = 0.99
UTILISATIONS = (0.3, 0.5, 0.7, 0.9)
SHARES = (0.95, 0.99)
SIZES = (2_000, 5_000)
LAWS = ("equal", "exponential")
# Requests before those that are judged, so that the queue is as long as it usually is.
BURN_IN = 5_000
# For the true quantile: stretches, each of so many requests.
STRETCHES, STRETCH = 8, 1_000_000
HEADINGS = (
    *("service times", "busy", "quantile", "requests", "worth", "can pass"),
    *("false PASS, taken as independent", "in runs", "false FAIL, taken as independent", "in runs"),
)


@dataclass(frozen=True, slots=True)
class Cell:
    """One line of the table; the pairs are shares of false PASS and false FAIL."""

    law: str
    utilisation: float
    share: float
    n: int
    alone: tuple[float, float]
    in_runs: tuple[float, float]
    can_pass: float
    worth: float


def latencies(law: str, utilisation: float, n: int, random: np.random.Generator) -> Array:
    """Return the times in the system of n requests, in units of the mean service time."""
    total = n + BURN_IN
    gaps = random.standard_exponential(total) / utilisation
    services = np.ones(total) if law == "equal" else random.standard_exponential(total)
    return in_system(gaps, services)[BURN_IN:]


def cells(runs: int, seed: int = 0) -> Iterator[Cell]:
    """Simulate every line of the table."""
    for law in LAWS:
        for utilisation in UTILISATIONS:
            random = np.random.default_rng(seed)
            long = np.concatenate([latencies(law, utilisation, STRETCH, random) for _ in range(STRETCHES)])
            limits = {share: float(np.quantile(long, share)) for share in SHARES}
            for n in SIZES:
                samples = [latencies(law, utilisation, n, random) for _ in range(runs)]
                for share in SHARES:
                    yield _cell(law, utilisation, share, samples, limits[share])


def _cell(law: str, utilisation: float, share: float, samples: list[Array], limit: float) -> Cell:
    found = [dependence.quantile_interval([seconds], share, CONFIDENCE) for seconds in samples]
    in_runs = [Interval(one.low, one.high) for one in found]
    alone = [statistics.quantile_interval(seconds, share, CONFIDENCE) for seconds in samples]
    can_pass = float(np.mean([high is not None for _, high in in_runs]))
    worth = float(np.median([one.worth for one in found]))
    n = len(samples[0])
    return Cell(law, utilisation, share, n, _errors(alone, limit), _errors(in_runs, limit), can_pass, worth)


def _errors(ends: list[Interval], limit: float) -> tuple[float, float]:
    """Return the shares of runs with a false PASS and with a false FAIL."""
    passed = np.mean([high is not None and high <= limit for _, high in ends])
    failed = np.mean([low is not None and low > limit for low, _ in ends])
    return float(passed), float(failed)


def table(found: Iterable[Cell]) -> str:
    """Return a Markdown table."""
    lines = [f"| {' | '.join(HEADINGS)} |", "|---" * len(HEADINGS) + "|"]
    for cell in found:
        shares = (cell.alone[0], cell.in_runs[0], cell.alone[1], cell.in_runs[1])
        where = [cell.law, f"{cell.utilisation:.0%}", quantile_name(cell.share), f"{cell.n:,}"]
        parts = [*where, f"{cell.worth:,.0f}", f"{cell.can_pass:.0%}", *(f"{one:.1%}" for one in shares)]
        lines.append(f"| {' | '.join(parts)} |".replace("%", " %"))
    return "\n".join(lines)


def main(
    runs: Annotated[int, typer.Option(min=10, help="simulated runs for each line")] = 1_000,
    json: Json = RESULTS / "gate-coverage.json",
) -> None:
    """Simulate every line; the file is written again after each."""
    record = Record("gate-coverage", {"runs": runs, "confidence": CONFIDENCE}, json)
    found: list[Cell] = []
    for cell in cells(runs):
        found.append(cell)
        record.write({"cells": found})
    print(table(found))


if __name__ == "__main__":
    typer.run(main)
