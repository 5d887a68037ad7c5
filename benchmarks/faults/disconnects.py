"""Thousands of clients that leave at any moment: each request is counted once, and none that left in time is computed.

    python -m benchmarks.faults.disconnects [--requests 10000] [--seed 0] [--json FILE]

Each client sends one request on its own connection. It leaves in the middle of its body, while it is queued, some
milliseconds later, while the answer is read, or not at all. A quarter of the rounds hold the model until the service has
noted all who left: their items must not be computed. In the others some items are already in a batch when their clients
leave; there the counters must add up.
"""

import asyncio
import enum
import random
import socket
import struct
from functools import partial
from typing import Annotated, Any

import typer

from benchmarks import record
from benchmarks.faults.clients import post
from benchmarks.faults.marked import item
from benchmarks.faults.service import FaultService, difference, ended

ROUND = 100
LATEST_S = 0.01
PLUG = 2**23
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
# By the number of the request: when its client left, and whether it was answered.
Done = dict[int, tuple[Leaving, bool]]


async def client(
    address: tuple[str, int], number: int, leaving: Leaving, after_s: float, left: asyncio.Event
) -> bool:
    """Send one request and leave as told; return whether it was answered with 200."""
    reader, writer = await asyncio.open_connection(*address)
    body = item(number)
    request = post(body)
    missing = 1 + number % len(body) if leaving is Leaving.IN_BODY else 0
    try:
        writer.write(request[: len(request) - missing])
        await writer.drain()
        if leaving is Leaving.IN_QUEUE:
            await left.wait()
        elif leaving is Leaving.SOON:
            await asyncio.sleep(after_s)
        elif leaving is Leaving.READING:
            await reader.readexactly(1)
            # A reset drops the rest of the answer.
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        elif leaving is Leaving.NEVER:
            head = await reader.readuntil(b"\r\n\r\n")
            return head.startswith(b"HTTP/1.1 200")
        return False
    finally:
        writer.close()


async def one_round(service: FaultService, first: int, rng: random.Random, *, held: bool) -> Done:
    """Run one round; return what each client did, and whether it was answered."""
    plan = {first + place: rng.choice(HELD if held else FREE) for place in range(ROUND)}
    left = asyncio.Event()
    before = await asyncio.to_thread(service.counts)
    plug: list[asyncio.Task[bool]] = []
    start = partial(_start, service.address, left)
    if held:
        # The held batch has this one item already, so all others stay in the queue.
        service.hold()
        plug = [start(PLUG + first, Leaving.NEVER, 0.0)]
        await asyncio.to_thread(service.until_counts, in_flight=1, queue_depth=0)
    tasks = [start(number, leaving, rng.uniform(0, LATEST_S)) for number, leaving in plan.items()]
    if held:
        stay = list(plan.values()).count(Leaving.NEVER) + 1
        in_body = list(plan.values()).count(Leaving.IN_BODY)
        await asyncio.to_thread(_until, service, before, in_body, len(plan) + 1 - in_body)
        left.set()
        await asyncio.to_thread(_until, service, before, len(plan) + 1 - stay, stay)
        service.let_go()
        plan = {PLUG + first: Leaving.NEVER} | plan
    answered = await asyncio.gather(*plug, *tasks)
    return dict(zip(plan, zip(plan.values(), answered, strict=True), strict=True))


def _start(
    address: tuple[str, int], left: asyncio.Event, number: int, leaving: Leaving, after_s: float
) -> "asyncio.Task[bool]":
    return asyncio.create_task(client(address, number, leaving, after_s, left))


def _until(service: FaultService, before: dict[str, float], cancelled: int, in_flight: int) -> None:
    """Wait until so many more requests are cancelled and so many are in flight."""
    noted = before["requests:cancelled"] + cancelled
    service.until_counts(**{"requests:cancelled": noted, "in_flight": in_flight})


def run(service: FaultService, requests: int, seed: int) -> dict[str, Any]:
    """Run all rounds; return the ledger and its contradictions."""
    rng = random.Random(seed)
    before, rss_mb = service.settled(), service.rss_mb()
    done: Done = {}
    for first in range(0, requests, ROUND):
        done |= asyncio.run(one_round(service, first + 1, rng, held=first // ROUND % 4 == 0))
    counted = difference(before, service.settled())
    computed = service.computed()
    in_time = (Leaving.IN_BODY, Leaving.IN_QUEUE)
    never = {number for number, (leaving, _) in done.items() if leaving in in_time}
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
    json: record.Json = record.RESULTS / "fault_disconnects.json",
) -> None:
    """Let clients leave, and check that the counters add up."""
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
