"""When to wait for a larger batch: tailgate's rule beside its own fixed windows and Mosec's, by concurrency.

    python -m benchmarks.serving.waiting [--rounds 8] [--seconds 2] [--connections 8 …] [--json FILE]

All run MobileNetV3-small at 64 pixels on the same eager executor, each server on one processor and the client on another,
in rounds of random order. The limit stands beside them: n clients in one batch after the other, n / (t(n) + n·h), from the
bare model's t and the service's cost h of a request, both measured in the same round.
"""

import random
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks import record, targets, workloads
from benchmarks.limits.bare import bare_model
from benchmarks.processors import client_processor, server_processor
from benchmarks.serving.client import ClientOption, Effort, Rounds, Seconds, default_client
from benchmarks.serving.fleet import Fleet, Slot
from benchmarks.serving.roster import MOSEC, TAILGATE
from benchmarks.spread import Spread, ratio, spread
from benchmarks.targets import Sense, Target
from benchmarks.workloads import mobilenet, noop

CONNECTIONS = (1, 4, 8, 16, 32, 64)
RULE, NOOP = "rule", "noop"
WINDOWS = {f"window {ms} ms": {"TAILGATE_MAX_WAIT_MS": str(ms)} for ms in (0, 1, 2, 4)}
PEERS = {f"mosec {ms} ms": {"BENCH_WINDOW_MS": str(ms)} for ms in (1, 2, 5)}

Round = dict[str, float]


def slots() -> list[Slot]:
    """Return the servers."""
    processor = str(server_processor())
    return [
        Slot(RULE, TAILGATE, mobilenet(), processor),
        *(Slot(name, TAILGATE, mobilenet(), processor, further) for name, further in WINDOWS.items()),
        *(Slot(name, MOSEC, mobilenet(), processor, further) for name, further in PEERS.items()),
        Slot(NOOP, TAILGATE, noop(), processor),
    ]


def measure(effort: Effort, counts: Sequence[int]) -> dict[int, list[Round]]:
    """Return, by the number of connections, the requests per second of each server and the limit, round by round."""
    order, found = random.Random(0), {count: list[Round]() for count in counts}
    workload = mobilenet()
    with (
        Fleet(slots()) as fleet,
        bare_model(workload.environment, workload.body, server_processor()) as bare,
    ):
        for number in range(effort.rounds):
            for count in counts:
                batch = min(count, workloads.CAP)
                batch_s = bare((batch,), effort.seconds / 4)[batch]
                measured = {
                    name: fleet.load(
                        name, count, effort.seconds, effort.client, client_processor()
                    ).requests_per_s
                    for name in order.sample(sorted(fleet.running), len(fleet.running))
                }
                measured["limit"] = batch / (batch_s + batch / measured[NOOP])
                found[count].append(measured)
            print(f"waiting: round {number + 1} of {effort.rounds} done", flush=True)
    return found


def best(rounds: Sequence[Round], names: Sequence[str]) -> str | None:
    """Return the fastest of these by its median; None where none ran."""
    ran = [name for name in names if name in rounds[0]]
    return max(ran, key=lambda name: spread([one[name] for one in rounds]).median, default=None)


def over(rounds: Sequence[Round], name: str) -> Spread:
    """Return the rule's throughput over another's, round by round."""
    return ratio([one[RULE] for one in rounds], [one[name] for one in rounds])


def lowest(rounds: Sequence[Round], name: str) -> float:
    """Return the lower end of the 95 % interval of the median ratio, by the bootstrap."""
    ratios = np.asarray(over(rounds, name).values)
    drawn = np.random.default_rng(0).choice(ratios, (10_000, len(ratios)))
    return float(np.quantile(np.median(drawn, axis=1), 0.025))


def judge(found: dict[int, list[Round]]) -> list[Target]:
    """Return the targets."""
    rows = list[Target]()
    for count, rounds in found.items():
        window, peer = best(rounds, list(WINDOWS)), best(rounds, list(PEERS))
        if window is not None:
            low = lowest(rounds, window)
            note = f"lower end of the interval {low:.3f}"
            what = f"{count} connections, over {window}, the best"
            rows.append(Target(what, Sense.AT_LEAST, 0.95, over(rounds, window), note=note))
        if peer is not None:
            limit = spread([one["limit"] / one[peer] for one in rounds]).median
            what = f"{count} connections, over {peer}, its best"
            rows.append(Target(what, Sense.AT_LEAST, min(1.1, 0.95 * limit), over(rounds, peer)))
    return rows


def table(found: dict[int, list[Round]]) -> Table:
    """Return all rates for a terminal."""
    shown = Table(title="requests/s, medians over the rounds")
    for heading in ("", *map(str, found)):
        shown.add_column(heading, justify="right")
    for name in (RULE, *WINDOWS, *PEERS, NOOP, "limit"):
        cells = (
            f"{spread([one[name] for one in rounds]).median:,.0f}" if name in rounds[0] else "–"
            for rounds in found.values()
        )
        shown.add_row(name, *cells)
    return shown


def main(
    rounds: Rounds = 8,
    seconds: Seconds = 2.0,
    connections: Annotated[
        list[int] | None, typer.Option(help="clients; default 1, 4, 8, 16, 32, 64")
    ] = None,
    client: ClientOption = None,
    json: record.Json = record.RESULTS / "waiting.json",
) -> None:
    """Measure the rule of waiting beside fixed windows and Mosec."""
    effort = Effort(rounds, seconds, client or default_client())
    counts = connections or CONNECTIONS
    document = record.Record("waiting", {"effort": effort, "connections": counts}, json)
    found = measure(effort, counts)
    judged = judge(found)
    figures: dict[str, Any] = {
        str(count): {name: spread([one[name] for one in rounds]) for name in rounds[0]}
        for count, rounds in found.items()
    }
    document.write({"targets": targets.rows(judged), "requests_per_s": figures})
    console = Console(width=120)
    console.print(table(found))
    console.print(targets.table(judged))
    print(f"written: {json}")


if __name__ == "__main__":
    typer.run(main)
