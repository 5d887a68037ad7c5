"""One workload on every server: measured in interleaved rounds, compared round by round, held against the targets."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from benchmarks.processors import client_processor, server_processor
from benchmarks.serving.client import ClientError, Effort, Figures
from benchmarks.serving.compiling import executor_of
from benchmarks.serving.fleet import Fleet, Slot
from benchmarks.serving.roster import Entry
from benchmarks.spread import Spread, ratio, spread
from benchmarks.targets import Sense, Target
from benchmarks.workloads import WORKLOADS

TAILGATE = "tailgate"
CONNECTIONS = (1, 8, 64)

# workload, connections, peers, times. With the same executor on both sides the model is nearly all the cost, and no
# ratio can be far above 1. So each target for MobileNet is set for every server at its best, and again for the same
# executor; that for photographs, whose decoder would be the same as well, only for every server at its best.
WANTED: tuple[tuple[str, tuple[int, ...], tuple[str, ...], float], ...] = (
    ("noop", (1,), ("mosec",), 4),
    ("noop", (8,), ("mosec",), 3),
    ("noop", (64,), ("mosec",), 1.2),
    ("mobilenet-best", (64,), ("mosec",), 1.5),
    ("mobilenet", (64,), ("mosec",), 1.2),
    ("noop", CONNECTIONS, ("triton",), 1.3),
    ("mobilenet-best", CONNECTIONS, ("triton",), 1.3),
    ("mobilenet", CONNECTIONS, ("triton",), 1.3),
    ("noop", CONNECTIONS, ("litserve", "bentoml"), 4),
    ("mobilenet-best", (64,), ("litserve", "bentoml"), 4),
    ("mobilenet", (64,), ("litserve", "bentoml"), 4),
    ("mobilenet-best", (1,), ("litserve", "bentoml"), 2),
    ("mobilenet", (1,), ("litserve", "bentoml"), 2),
    ("photo-best", (64,), ("mosec", "triton"), 1.1),
)


@dataclass(frozen=True, slots=True)
class Cell:
    """One server under one load, over the rounds."""

    workload: str
    connections: int
    server: str
    rounds: tuple[Figures, ...]

    @property
    def rates(self) -> tuple[float, ...]:
        """Requests per second of each round."""
        return tuple(one.requests_per_s for one in self.rounds)


Cells = dict[tuple[str, int, str], Cell]


def measure_workload(
    name: str, entries: Sequence[Entry], connections: Sequence[int], effort: Effort
) -> tuple[Cells, dict[str, str]]:
    """Return the cells of one workload, and the reason for each absent server."""
    order, workload, cells = random.Random(0), WORKLOADS[name](), Cells()
    effort = effort.stretched(workload.stretch)
    if workload.compile_ahead:
        executor_of(workload)
    slots = [Slot(entry.name, entry, workload, str(server_processor())) for entry in entries]
    with Fleet(slots) as fleet:
        fleet.check_answers()
        absent = dict(fleet.absent)
        for count in connections:
            measured: dict[str, list[Figures]] = {server: [] for server in fleet.running}
            for number in range(effort.rounds):
                for server in order.sample(sorted(measured), len(measured)):
                    try:
                        figures = fleet.load(server, count, effort.seconds, effort.client, client_processor())
                    except ClientError as error:  # without this round its ratios would not be paired
                        absent[f"{server} at {count}"] = f"round {number + 1}: {error}"
                        del measured[server]
                        continue
                    measured[server].append(figures)
            for server, rounds in measured.items():
                cells[name, count, server] = Cell(name, count, server, tuple(rounds))
            print(f"{name}: {count} connections done", flush=True)
        return cells, absent


def advantage(cells: Cells, workload: str, connections: int, peer: str) -> Spread | None:
    """Return tailgate's throughput over a peer's, round by round; None where either is missing."""
    own, other = cells.get((workload, connections, TAILGATE)), cells.get((workload, connections, peer))
    return None if own is None or other is None else ratio(own.rates, other.rates)


def judge(cells: Cells) -> list[Target]:
    """Return the targets against the peers."""
    return [
        Target(
            f"{workload}, {count} connections, over {peer}",
            Sense.AT_LEAST,
            times,
            advantage(cells, workload, count, peer),
        )
        for workload, counts, peers, times in WANTED
        for peer in peers
        for count in counts
    ]


def rows(cells: Cells) -> list[dict[str, Any]]:
    """Return the cells for JSON."""
    return [
        {
            "workload": cell.workload,
            "connections": cell.connections,
            "server": cell.server,
            "requests_per_s": spread(cell.rates),
            "tailgate_over_it": advantage(cells, cell.workload, cell.connections, cell.server),
            "p50_s": spread([one.p50_s for one in cell.rounds]),
            "p99_s": spread([one.p99_s for one in cell.rounds]),
            "failed": sum(one.failed for one in cell.rounds),
        }
        for cell in cells.values()
    ]


def table(workload: str, cells: Cells, absent: Mapping[str, str]) -> Table:
    """Return one workload's cells for a terminal."""
    of_it = [cell for cell in cells.values() if cell.workload == workload]
    counts = list(dict.fromkeys(cell.connections for cell in of_it))
    shown = Table(title=f"{workload}: requests/s (tailgate over it), medians over the rounds")
    for heading in ("", *(f"{count} connections" for count in counts)):
        shown.add_column(heading, justify="right" if heading else "left")
    for server in dict.fromkeys(cell.server for cell in of_it):
        shown.add_row(server, *(_shown(cells, workload, count, server) for count in counts))
    for server, reason in absent.items():
        shown.add_row(f"absent: {server}", reason)
    return shown


def _shown(cells: Cells, workload: str, connections: int, server: str) -> str:
    cell = cells.get((workload, connections, server))
    if cell is None:
        return "–"
    text = f"{spread(cell.rates).median:,.0f}"
    over = advantage(cells, workload, connections, server)
    if over is not None and server != TAILGATE:
        text += f" ({over})"
    failed = sum(one.failed for one in cell.rounds)
    return f"{text} {failed} FAILED" if failed else text
