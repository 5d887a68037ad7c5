"""Closed loops by httpx or aiohttp as people write them, for comparison with the load generator.

    python python_loop.py httpx|aiohttp PORT CONNECTIONS SECONDS

Prints one line of JSON. It imports nothing of this project, so that it can run in an environment that has aiohttp.
"""

import asyncio
import importlib
import json
import sys
import time
from collections.abc import Awaitable, Callable

BODY = b"x" * 100
HEADERS = {"content-type": "application/octet-stream"}


async def loop(post: Callable[[], Awaitable[None]], connections: int, seconds: float) -> dict[str, float]:
    """Keep this many requests in flight; a tenth of the time before warms up."""
    latencies_s: list[float] = []

    async def one(until_s: float) -> None:
        while (began_s := time.perf_counter()) < until_s:
            await post()
            latencies_s.append(time.perf_counter() - began_s)

    async def together(for_s: float) -> None:
        until_s = time.perf_counter() + for_s
        await asyncio.gather(*(one(until_s) for _ in range(connections)))

    await together(seconds / 10)
    latencies_s.clear()
    began_s, cpu_s = time.perf_counter(), time.process_time()
    await together(seconds)
    seconds, cpu_s = time.perf_counter() - began_s, time.process_time() - cpu_s
    latencies_s.sort()
    count = len(latencies_s)
    p50_s, p99_s = latencies_s[count // 2], latencies_s[count * 99 // 100]
    # A failed request has ended the program with its exception.
    return {
        "requests": count,
        "seconds": seconds,
        "cpu_s": cpu_s,
        "failed": 0,
        "p50_s": p50_s,
        "p99_s": p99_s,
    }


async def httpx_loop(url: str, connections: int, seconds: float) -> dict[str, float]:
    """Run the loop with httpx."""
    httpx = importlib.import_module("httpx")
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    async with httpx.AsyncClient(limits=limits, trust_env=False) as client:

        async def post() -> None:
            (await client.post(url, content=BODY, headers=HEADERS)).raise_for_status()

        return await loop(post, connections, seconds)


async def aiohttp_loop(url: str, connections: int, seconds: float) -> dict[str, float]:
    """Run the loop with aiohttp."""
    aiohttp = importlib.import_module("aiohttp")
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections)) as session:

        async def post() -> None:
            async with session.post(url, data=BODY, headers=HEADERS) as answer:
                answer.raise_for_status()
                await answer.read()

        return await loop(post, connections, seconds)


def main() -> None:
    """Run one loop, on uvloop where it is installed, and print its figures."""
    library, port, connections, seconds = sys.argv[1:]
    run = {"httpx": httpx_loop, "aiohttp": aiohttp_loop}[library]
    try:
        runner = importlib.import_module("uvloop").run
    except ImportError:
        runner = asyncio.run
    url = f"http://127.0.0.1:{port}/predict"
    print(json.dumps(runner(run(url, int(connections), float(seconds)))))


if __name__ == "__main__":
    main()
