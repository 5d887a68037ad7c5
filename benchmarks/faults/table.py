"""Every fault against a running service: what was answered, what was counted, and the cost in memory.

    python -m benchmarks.faults.table [--json FILE]

Each row is a fault, seen from outside only: bytes on sockets, signals, and ``/metrics``. After each fault a good request
must be answered, nothing may be in flight, and every request must have been counted once: accepted = answered + failed +
expired + cancelled + refused. A row that breaks this is marked, and the exit status is 1.
"""

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import typer

from benchmarks import record
from benchmarks.faults.clients import Reply, all_at_once, leave, post, send, told
from benchmarks.faults.inputs import bad_inputs
from benchmarks.faults.marked import HANG, NAN, POISON, item
from benchmarks.faults.service import Counts, FaultService, difference, ended

GOOD = post(item(1))
BURST, SLOW, LATE, WAITING, MATES = 400, 100, 20, 40, 7
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
    """One fault."""

    fault: str  # its kind
    answered: str  # the answers to the clients
    seconds: float  # its duration
    counted: Counts  # the increase of the counters of requests and of cut connections
    requests: int  # begun or sent in full
    before_mb: float  # resident memory
    peak_mb: float  # of it, the largest
    after_mb: float  # of it, afterwards
    served: bool  # whether a good request was answered afterwards

    @property
    def adds_up(self) -> bool:
        """Whether every request has been counted once, and the service goes on."""
        return self.served and ended(self.counted) == self.requests


Act = Callable[[FaultService], Coroutine[Any, Any, list[Reply]]]


def observe(service: FaultService, fault: str, act: Act, requests: int) -> Row:
    """Let a fault happen, and look at the service before and after, and at its peak of memory."""
    before, before_mb = service.settled(), service.rss_mb()
    service.forget_peak()
    start_s = time.monotonic()
    replies = asyncio.run(act(service))
    seconds = time.monotonic() - start_s
    counted = {name: value for name, value in difference(before, service.settled()).items() if ":" in name}
    peak_mb, after_mb = service.peak_mb(), service.rss_mb()
    served = asyncio.run(send(service.address, GOOD)).status == 200
    return Row(fault, told(replies), seconds, counted, requests, before_mb, peak_mb, after_mb, served)


def bytes_of(request: bytes) -> Act:
    """Return what sends bytes on one connection."""

    async def act(service: FaultService) -> list[Reply]:
        return [await send(service.address, request)]

    return act


async def hold_one(service: FaultService) -> "asyncio.Task[Reply]":
    """Hold the model with one item in it."""
    service.hold()
    first = asyncio.create_task(send(service.address, GOOD))
    await asyncio.to_thread(service.until_counts, in_flight=1, queue_depth=0)
    return first


def marked_among_mates(mark: int) -> Act:
    """Return what sends a marked item that goes as one batch with others."""
    requests = [post(item(number, mark if number == 1 else 0)) for number in range(1, MATES + 2)]

    async def act(service: FaultService) -> list[Reply]:
        first = await hold_one(service)
        others = asyncio.create_task(all_at_once(service.address, requests))
        await asyncio.to_thread(service.until_counts, queue_depth=len(requests))
        service.let_go()
        return [await first, *await others]

    return act


async def burst(service: FaultService) -> list[Reply]:
    """Send many times as many requests as the queue holds, while the model is held."""
    service.hold()
    threading.Timer(0.5, service.let_go).start()
    return await all_at_once(service.address, [GOOD] * BURST)


async def late(service: FaultService) -> list[Reply]:
    """Send requests whose deadline passes while the model is held."""
    request = GOOD.replace(b"Host: x\r\n", b"Host: x\r\nX-Request-Timeout-Ms: 500\r\n")
    first = await hold_one(service)
    expired = await all_at_once(service.address, [request] * LATE)
    service.let_go()
    return [await first, *expired]


def slow(first: bytes, drip: bytes) -> Act:
    """Return many clients that drip bytes, and one that sends a good request meanwhile."""

    async def act(service: FaultService) -> list[Reply]:
        drips = [send(service.address, first, *[drip] * 100, pause_s=0.25) for _ in range(SLOW)]
        slow_ones = asyncio.gather(*drips)
        await asyncio.sleep(DEADLINE_S / 2)
        return [await send(service.address, GOOD), *await slow_ones]

    return act


async def gone_in_body(service: FaultService) -> list[Reply]:
    """Let clients announce a body and leave in the middle of it."""
    before = await asyncio.to_thread(service.counts)
    await asyncio.gather(*(leave(service.address, GOOD[:-5]) for _ in range(SLOW)))
    cancelled = {"requests:cancelled": before["requests:cancelled"] + SLOW}
    await asyncio.to_thread(service.until_counts, **cancelled)
    return []


async def hung(service: FaultService) -> list[Reply]:
    """Let a batch hang: the watchdog makes the service not live, and live again when the batch ends after all."""
    service.hang(on=True)
    stuck = asyncio.create_task(send(service.address, post(item(1, HANG))))
    await asyncio.to_thread(service.until, lambda: service.status("/health/live") == 503)
    refused = await send(service.address, GOOD)
    service.hang(on=False)
    answered = await stuck
    await asyncio.to_thread(service.until, lambda: service.status("/health/live") == 200)
    return [refused, answered]


def faults() -> list[tuple[str, Act, int]]:
    """Return each fault of a running service: its name, its act, and its number of requests."""
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\n"
    return [
        *((name, bytes_of(request), 1) for name, request in bad_inputs().items()),
        (f"{SLOW} clients that drip a head", slow(head, b"A: b\r\n"), SLOW + 1),
        (f"{SLOW} clients that drip a body", slow(GOOD[:-150], b"\0"), SLOW + 1),
        (f"{SLOW} clients that leave in their body", gone_in_body, SLOW),
        (f"{BURST} requests at once, 64 may wait", burst, BURST),
        (f"{LATE} requests that are late when their turn comes", late, LATE + 1),
        (f"an item that makes the model raise, {MATES} mates", marked_among_mates(POISON), MATES + 2),
        (f"an item whose output is NaN, {MATES} mates", marked_among_mates(NAN), MATES + 2),
        ("an item that makes the model hang", hung, 2),
    ]


async def hold_many(service: FaultService) -> "asyncio.Task[list[Reply]]":
    """Hold the model while accepted requests wait."""
    service.hold()
    waiting = asyncio.create_task(all_at_once(service.address, [GOOD] * WAITING))
    await asyncio.to_thread(service.until_counts, in_flight=WAITING)
    return waiting


async def stopped(service: FaultService) -> dict[str, Any]:
    """Send SIGTERM while requests wait and others keep coming."""
    waiting = await hold_many(service)
    service.signal(signal.SIGTERM)
    await asyncio.to_thread(service.until, lambda: service.status("/health/ready") != 200)
    refused = await all_at_once(service.address, [GOOD] * 10)
    service.let_go()
    accepted = await waiting
    statuses = [reply.status for reply in accepted]
    return {
        "fault": f"SIGTERM with {WAITING} accepted, and 10 more",
        "answered": f"the accepted: {told(accepted)}. The others: {told(refused)}",
        "exit_status": service.exit_status(),
        "adds_up": statuses == [200] * WAITING and {reply.status for reply in refused} <= {503, None},
    }


async def killed(service: FaultService) -> dict[str, Any]:
    """Send SIGKILL while requests wait, and start again."""
    waiting = await hold_many(service)
    await asyncio.to_thread(service.kill)
    replies = await waiting
    start_s = time.monotonic()
    service.start()
    ready_s = time.monotonic() - start_s
    again = await send(service.address, GOOD)
    return {
        "fault": f"SIGKILL with {WAITING} accepted, then a new start",
        "answered": f"the accepted: {told(replies)}. After the start: {again}",
        "ready_again_s": ready_s,
        "adds_up": again.status == 200 and {reply.status for reply in replies} == {None},
    }


def markdown(rows: list[Row], ends: list[dict[str, Any]]) -> str:
    """Return the table."""
    lines = ["| fault | answered | counted | memory, MB | adds up |", "| --- | --- | --- | --- | --- |"]
    words = {True: "yes", False: "**NO**"}
    for row in rows:
        counted = ", ".join(f"{name.split(':')[1]} {value:g}" for name, value in sorted(row.counted.items()))
        memory = f"{row.before_mb:.0f} → {row.after_mb:.0f}, peak {row.peak_mb:.0f}"
        answered = row.answered.replace("|", "\\|")
        lines.append(f"| {row.fault} | {answered} | {counted} | {memory} | {words[row.adds_up]} |")
    for end in ends:
        rest = {name: value for name, value in end.items() if name not in ("fault", "answered", "adds_up")}
        more = ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in rest.items())
        lines.append(f"| {end['fault']} | {end['answered']} | {more} | | {words[end['adds_up']]} |")
    return "\n".join(lines)


def main(json: record.Json = record.RESULTS / "faults.json") -> None:
    """Do every fault, and print the table."""
    document = record.Record("faults", SETTINGS, json)
    with FaultService(batch_ms=2.0, **SETTINGS) as service:
        asyncio.run(all_at_once(service.address, [GOOD] * 50))
        start = service.settled()
        rows = [observe(service, *fault) for fault in faults()]
        sent = sum(row.requests for row in rows) + len(rows)
        total = difference(start, service.settled())
        ledger = {"sent": sent, "ended": ended(total), "outcomes": total, "adds_up": sent == ended(total)}
        ends = [asyncio.run(killed(service)), asyncio.run(stopped(service))]
    text = markdown(rows, ends)
    all_rows = [{name: getattr(row, name) for name in (*Row.__slots__, "adds_up")} for row in rows]
    document.write({"faults": all_rows, "ends": ends, "ledger": ledger, "table": text})
    print(f"{text}\n\nledger: {ledger}\nwritten: {json}")
    if not all(one["adds_up"] for one in (*all_rows, *ends, ledger)):
        raise SystemExit(1)


if __name__ == "__main__":
    typer.run(main)
