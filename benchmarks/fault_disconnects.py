"""Thousands of clients that leave at any moment: every request is counted once, and nothing is computed for who left in time.

    python -m benchmarks.fault_disconnects [--requests 10000] [--seed 0] [--json FILE]

Each client sends one request on a connection of its own and leaves in the middle of its body, while it is queued, some
milliseconds later, while the answer is read, or not at all. A quarter of the rounds hold the model until all who leave have been
noted: their items must not be computed. In the others nobody knows who was bound already; there the counters must add up.
"""

import asyncio
import enum
import random
import socket
import struct
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import record
from benchmarks.fault_models import item
from benchmarks.fault_service import FaultService, difference, ended

ROUND = 100
LATEST_S = 0.01
PLUG = 2**23
HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n"
RESET = struct.pack("ii", 1, 0)


class Leaving(enum.Enum):
    """When a client leaves."""

    IN_BODY = "in its body"
    IN_QUEUE = "queued, the model held"
    SOON = "within 10 ms"
    READING = "with the first byte of its answer"
    NEVER = "never"


HELD = (Leaving.IN_BODY, Leaving.IN_QUEUE, Leaving.NEVER)
FREE = (Leaving.IN_BODY, Leaving.SOON, Leaving.READING, Leaving.NEVER)


async def client(
    address: tuple[str, int], number: int, leaving: Leaving, after_s: float, left: asyncio.Event
) -> bool:
    """Send one request and leave as told; return whether it was answered in full with 200."""
    reader, writer = await asyncio.open_connection(*address)
    body = item(number)
    request = HEAD % len(body) + body
    try:
        if leaving is Leaving.IN_BODY:
            writer.write(request[: -1 - number % len(body)])
            await writer.drain()
        else:
            writer.write(request)
            await writer.drain()
        if leaving is Leaving.IN_QUEUE:
            await left.wait()
        elif leaving is Leaving.SOON:
            await asyncio.sleep(after_s)
        elif leaving is Leaving.READING:
            await reader.readexactly(1)
            # A reset, which drops what the service still writes.
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        elif leaving is Leaving.NEVER:
            head = await reader.readuntil(b"\r\n\r\n")
            return head.startswith(b"HTTP/1.1 200")
        return False
    finally:
        writer.close()


async def one_round(
    service: FaultService, first: int, rng: random.Random, *, held: bool
) -> dict[int, tuple[Leaving, bool]]:
    """Run one round; return what each client did, and whether it was answered."""
    plan = {first + place: rng.choice(HELD if held else FREE) for place in range(ROUND)}
    left = asyncio.Event()
    before, tasks = await asyncio.to_thread(service.counts), []
    if held:
        service.hold()
        # The batch that is held already has this one item: all others stay in the queue.
        plan = {PLUG + first: Leaving.NEVER} | plan
        tasks.append(asyncio.create_task(client(service.address, PLUG + first, Leaving.NEVER, 0.0, left)))
        await asyncio.to_thread(service.until, lambda: service.counts()["in_flight"] == 1)
        await asyncio.to_thread(service.until, lambda: service.counts()["queue_depth"] == 0)
    tasks += [
        asyncio.create_task(client(service.address, number, leaving, rng.uniform(0, LATEST_S), left))
        for number, leaving in plan.items()
        if number < PLUG
    ]
    if held:
        stay = sum(leaving is Leaving.NEVER for leaving in plan.values())
        queued = sum(leaving is not Leaving.IN_BODY for leaving in plan.values())
        await asyncio.to_thread(_until, service, before, len(plan) - queued, queued)
        left.set()
        await asyncio.to_thread(_until, service, before, len(plan) - stay, stay)
        service.let_go()
    answered = await asyncio.gather(*tasks)
    return dict(zip(plan, zip(plan.values(), answered, strict=True), strict=True))


def _until(service: FaultService, before: dict[str, float], cancelled: int, in_flight: int) -> None:
    def reached() -> bool:
        now = service.counts()
        noted = now["requests:cancelled"] - before["requests:cancelled"]
        return (noted, now["in_flight"]) == (cancelled, in_flight)

    service.until(reached)


def run(service: FaultService, requests: int, seed: int) -> dict[str, Any]:
    """Run all rounds; return the ledger and what is wrong with it."""
    rng = random.Random(seed)
    before, rss_mb = service.settled(), service.rss_mb()
    done: dict[int, tuple[Leaving, bool]] = {}
    for first in range(0, requests, ROUND):
        done |= asyncio.run(one_round(service, first + 1, rng, held=first // ROUND % 4 == 0))
    counted = difference(before, service.settled())
    computed = service.computed()
    never = {
        number for number, (leaving, _) in done.items() if leaving in (Leaving.IN_BODY, Leaving.IN_QUEUE)
    }
    stayed = {number for number, (leaving, _) in done.items() if leaving is Leaving.NEVER}
    answered = {number for number, (_, was) in done.items() if was}
    wrong = {
        "requests not counted, or twice": len(done) - ended(counted),
        "computed for who left in time": len(never & set(computed)),
        "computed twice": len(computed) - len(set(computed)),
        "stayed and were not answered 200": len(stayed - answered),
        "computed and not counted as such": len(computed) - counted.get("batch_size_sum", 0.0),
        "answered and not computed": len(answered - set(computed)),
    }
    return {
        "sent": len(done),
        "clients": {kind.value: sum(kind is one for one, _ in done.values()) for kind in Leaving},
        "outcomes": {name: value for name, value in counted.items() if name.startswith("requests:")},
        "computed": len(computed),
        "rss_mb": {"before": rss_mb, "after": service.rss_mb()},
        "wrong": wrong,
    }


def main(
    requests: Annotated[int, typer.Option(help="in rounds of 100")] = 10_000,
    seed: Annotated[int, typer.Option(help="of who leaves when")] = 0,
    json: Annotated[Path, typer.Option(help="where the results go")] = record.RESULTS
    / "fault_disconnects.json",
) -> None:
    """Let clients leave, and add up."""
    document = record.Record("fault_disconnects", {"requests": requests, "seed": seed}, json)
    with FaultService(batch_ms=2.0, max_batch_size=8) as service:
        ledger = run(service, requests, seed)
    document.write(ledger)
    print(f"{ledger['sent']} requests: {ledger['clients']}")
    print(f"counted: {ledger['outcomes']}; computed: {ledger['computed']}; memory: {ledger['rss_mb']}")
    print(f"wrong: {ledger['wrong']}; written: {json}")
    if any(ledger["wrong"].values()):
        raise SystemExit(1)


if __name__ == "__main__":
    typer.run(main)
