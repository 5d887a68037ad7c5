"""Do the service every wrong there is, and write down what it answered, what it counted, and what it cost in memory.

    python -m benchmarks.fault_table [--disconnects 1000] [--json FILE]

Each row is a fault against a running service, seen from outside only: bytes on sockets, signals, and ``/metrics``. After each, a
good request must be answered, nothing may be in flight, and every request must have been counted once: accepted = answered +
failed + expired + cancelled + refused. A row that breaks this is marked, and the exit status is 1.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import fault_disconnects, record
from benchmarks.fault_clients import Reply, all_at_once, leave, post, send, told
from benchmarks.fault_inputs import bad_inputs
from benchmarks.fault_models import HANG, NAN, POISON, item
from benchmarks.fault_service import Counts, FaultService, difference, ended

GOOD = post(item(1))
BURST, SLOW, MATES = 400, 100, 7
DEADLINE_S = 2.0  # of heads and bodies here, so that slow clients are slow soon
SETTINGS = {
    "queue_capacity": 64,
    "max_batch_size": 8,
    "header_timeout_s": DEADLINE_S,
    "body_timeout_s": DEADLINE_S,
    "watchdog_s": 3.0,
    "drain_timeout_s": 20,
}


@dataclass(frozen=True, slots=True)
class Row:
    """One fault.

    Attributes:
        fault: its kind.
        answered: what the clients were told.
        seconds: that it took.
        counted: what the counters of requests and of cut connections rose by.
        requests: that were sent in full or begun, None where bytes never became a request that is counted.
        before_mb, peak_mb, after_mb: resident memory.
        served: whether a good request was answered afterwards.
    """

    fault: str
    answered: str
    seconds: float
    counted: Counts
    requests: int | None
    before_mb: float
    peak_mb: float
    after_mb: float
    served: bool

    @property
    def adds_up(self) -> bool:
        """Whether every request has been counted once, and the service goes on."""
        return self.served and (self.requests is None or ended(self.counted) == self.requests)


Act = Callable[[FaultService], list[Reply]]


def observe(service: FaultService, fault: str, act: Act, requests: int | None) -> Row:
    """Have a fault happen, and look at the service before, after, and at its largest."""
    before, before_mb = service.settled(), service.rss_mb()
    service.forget_peak()
    start_s = time.monotonic()
    replies = act(service)
    seconds = time.monotonic() - start_s
    counted = {name: value for name, value in difference(before, service.settled()).items() if ":" in name}
    peak_mb, after_mb = service.peak_mb(), service.rss_mb()
    served = asyncio.run(send(service.address, GOOD)).status == 200
    return Row(fault, told(replies), seconds, counted, requests, before_mb, peak_mb, after_mb, served)


def bytes_of(*pieces: bytes, pause_s: float = 0.0) -> Act:
    """Return what sends bytes on one connection."""
    return lambda service: [asyncio.run(send(service.address, *pieces, pause_s=pause_s))]


def marked_among_mates(mark: int) -> Act:
    """Return what sends a marked item that goes as one batch with others."""

    def act(service: FaultService) -> list[Reply]:
        with_mates = [post(item(number, mark if number == 1 else 0)) for number in range(1, MATES + 2)]
        return in_one_batch(service, with_mates)

    return act


def in_one_batch(service: FaultService, requests: list[bytes]) -> list[Reply]:
    """Hold the model with one item, let the others queue, and let it go."""

    async def run() -> list[Reply]:
        service.hold()
        first = asyncio.create_task(send(service.address, GOOD))
        await asyncio.to_thread(service.until, lambda: service.counts()["in_flight"] == 1)
        await asyncio.to_thread(service.until, lambda: service.counts()["queue_depth"] == 0)
        others = asyncio.create_task(all_at_once(service.address, requests))
        await asyncio.to_thread(service.until, lambda: service.counts()["queue_depth"] == len(requests))
        service.let_go()
        return [await first, *await others]

    return asyncio.run(run())


def burst(service: FaultService) -> list[Reply]:
    """Send many times what the queue holds while the model is held."""
    service.hold()
    threading.Timer(0.5, service.let_go).start()
    return asyncio.run(all_at_once(service.address, [GOOD] * BURST))


def late(service: FaultService) -> list[Reply]:
    """Send requests whose deadline passes while the model is held."""
    request = GOOD.replace(b"Host: x\r\n", b"Host: x\r\nX-Request-Timeout-Ms: 500\r\n")

    async def run() -> list[Reply]:
        service.hold()
        first = asyncio.create_task(send(service.address, GOOD))
        await asyncio.to_thread(service.until, lambda: service.counts()["in_flight"] == 1)
        late_ones = await all_at_once(service.address, [request] * 20)
        service.let_go()
        return [await first, *late_ones]

    return asyncio.run(run())


def slow(first: bytes, drip: bytes) -> Act:
    """Return what has many clients drip bytes, and one send a good request meanwhile."""

    async def run(service: FaultService) -> list[Reply]:
        drips = [send(service.address, first, *[drip] * 100, pause_s=0.25) for _ in range(SLOW)]
        slow_ones = asyncio.gather(*drips)
        await asyncio.sleep(DEADLINE_S / 2)
        good = await send(service.address, GOOD)
        return [good, *await slow_ones]

    return lambda service: asyncio.run(run(service))


def gone_in_body(service: FaultService) -> list[Reply]:
    """Have clients announce a body and leave in the middle of it."""

    async def run() -> None:
        await asyncio.gather(*(leave(service.address, GOOD[:-5]) for _ in range(SLOW)))

    before = service.counts()["requests:cancelled"]
    asyncio.run(run())
    service.until(lambda: service.counts()["requests:cancelled"] == before + SLOW)
    return []


def hung(service: FaultService) -> list[Reply]:
    """Have a batch not end; the watchdog says so, and takes it back when the batch ends after all."""

    async def run() -> list[Reply]:
        service.hang(on=True)
        stuck = asyncio.create_task(send(service.address, post(item(1, HANG))))
        await asyncio.to_thread(service.until, lambda: service.status("/health/live") == 503)
        refused = await send(service.address, GOOD)
        service.hang(on=False)
        answered = await stuck
        await asyncio.to_thread(service.until, lambda: service.status("/health/live") == 200)
        return [refused, answered]

    return asyncio.run(run())


def faults() -> list[tuple[str, Act, int | None]]:
    """Return each fault of a running service: its name, what does it, and how many requests that is."""
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\n"
    return [
        *((name, bytes_of(request), 1) for name, request in bad_inputs().items()),
        (f"{SLOW} clients that drip a head", slow(head, b"A: b\r\n"), SLOW + 1),
        (f"{SLOW} clients that drip a body", slow(GOOD[:-150], b"\0"), SLOW + 1),
        (f"{SLOW} clients that leave in their body", gone_in_body, SLOW),
        (f"{BURST} requests at once, 64 may wait", burst, BURST),
        ("20 requests that are late when their turn comes", late, 21),
        (f"an item that makes the model raise, {MATES} mates", marked_among_mates(POISON), MATES + 2),
        (f"an item whose output is NaN, {MATES} mates", marked_among_mates(NAN), MATES + 2),
        ("an item that makes the model hang", hung, 2),
    ]


def stopped(service: FaultService) -> dict[str, Any]:
    """Send SIGTERM while requests wait and others keep coming; return what each was answered and the exit status."""

    async def run() -> tuple[list[Reply], list[Reply]]:
        service.hold()
        accepted = asyncio.create_task(all_at_once(service.address, [GOOD] * 40))
        await asyncio.to_thread(service.until, lambda: service.counts()["in_flight"] == 40)
        service.terminate()
        await asyncio.to_thread(service.until, lambda: service.status("/health/ready") != 200)
        refused = await all_at_once(service.address, [GOOD] * 10)
        service.let_go()
        return await accepted, refused

    accepted, refused = asyncio.run(run())
    statuses = [reply.status for reply in accepted]
    return {
        "fault": "SIGTERM with 40 accepted, and 10 more",
        "answered": f"the accepted: {told(accepted)}. The others: {told(refused)}",
        "exit_status": service.exit_status(),
        "adds_up": statuses == [200] * 40 and {reply.status for reply in refused} <= {503, None},
    }


def killed(service: FaultService) -> dict[str, Any]:
    """Send SIGKILL while requests wait, and start again."""

    async def run() -> list[Reply]:
        service.hold()
        waiting = asyncio.create_task(all_at_once(service.address, [GOOD] * 40))
        await asyncio.to_thread(service.until, lambda: service.counts()["in_flight"] == 40)
        await asyncio.to_thread(service.kill)
        return await waiting

    replies = asyncio.run(run())
    start_s = time.monotonic()
    service.start()
    ready_s = time.monotonic() - start_s
    again = asyncio.run(send(service.address, GOOD))
    return {
        "fault": "SIGKILL with 40 accepted, then a new start",
        "answered": f"the accepted: {told(replies)}. After the start: {again}",
        "ready_again_s": ready_s,
        "adds_up": again.status == 200 and {reply.status for reply in replies} == {None},
    }


def markdown(rows: list[Row], ends: list[dict[str, Any]]) -> str:
    """Return the table."""
    lines = ["| fault | answered | counted | memory, MB | adds up |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        counted = ", ".join(f"{name.split(':')[1]} {value:g}" for name, value in sorted(row.counted.items()))
        memory = f"{row.before_mb:.0f} → {row.after_mb:.0f}, peak {row.peak_mb:.0f}"
        answered = row.answered.replace("|", "\\|")
        lines.append(
            f"| {row.fault} | {answered} | {counted} | {memory} | {'yes' if row.adds_up else '**NO**'} |"
        )
    for end in ends:
        rest = {name: value for name, value in end.items() if name not in ("fault", "answered", "adds_up")}
        more = ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in rest.items())
        lines.append(
            f"| {end['fault']} | {end['answered']} | {more} | | {'yes' if end['adds_up'] else '**NO**'} |"
        )
    return "\n".join(lines)


def main(
    disconnects: Annotated[
        int, typer.Option(help="clients that leave at random; see fault_disconnects")
    ] = 1000,
    json: Annotated[Path, typer.Option(help="where the results go")] = record.RESULTS / "faults.json",
) -> None:
    """Do all wrongs, and print the table."""
    document = record.Record("faults", SETTINGS | {"disconnects": disconnects}, json)
    with FaultService(batch_ms=2.0, **SETTINGS) as service:
        asyncio.run(all_at_once(service.address, [GOOD] * 50))
        start = service.settled()
        rows = [observe(service, *fault) for fault in faults()]
        sent = sum(row.requests or 0 for row in rows) + len(rows)
        total = difference(start, service.settled())
        ledger: dict[str, Any] = {"sent": sent, "ended": ended(total), "outcomes": total}
        ledger["adds_up"] = ledger["sent"] == ledger["ended"]
        ends = [killed(service), stopped(service)]
    with FaultService(batch_ms=2.0, max_batch_size=8) as service:
        leaving = fault_disconnects.run(service, disconnects, seed=0)
        leaving["adds_up"] = not any(leaving["wrong"].values())
    text = markdown(rows, ends)
    all_rows = [{name: getattr(row, name) for name in (*Row.__slots__, "adds_up")} for row in rows]
    document.write(
        {"faults": all_rows, "ends": ends, "ledger": ledger, "disconnects": leaving, "table": text}
    )
    print(text)
    print(f"\nledger: {ledger}\ndisconnects: {leaving}\nwritten: {json}")
    if not all(
        [
            *(row.adds_up for row in rows),
            *(end["adds_up"] for end in ends),
            ledger["adds_up"],
            leaving["adds_up"],
        ]
    ):
        raise SystemExit(1)


if __name__ == "__main__":
    typer.run(main)
