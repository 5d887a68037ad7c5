"""A batch that does not end: who is told, and when it is over."""

import asyncio

import pytest
from serving import metric_samples, running, until
from structlog.testing import capture_logs

from tailgate.service.batching.watchdog import Watchdog


class Clock:
    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


def watched(limit_s, lasting_s, clock):
    """Return the watchdog of a batch that takes so long, and what it says at its end and after it."""
    said = []

    def compute(items):
        clock.now_s += lasting_s
        said.extend([watchdog.reason(), watchdog.reason()])
        return items

    watchdog = Watchdog(compute, limit_s, clock)
    watchdog.run([1])
    return watchdog, said


@pytest.mark.parametrize(("limit_s", "lasting_s"), [(60, 0.1), (60, 60), (0, 1e9)])
def test_nothing_is_said_within_the_limit_or_without_one(limit_s, lasting_s):
    with capture_logs() as log:
        watchdog, said = watched(limit_s, lasting_s, Clock())
    assert (watchdog.reason(), said, log) == (None, [None, None], [])


def test_a_batch_beyond_the_limit_is_told_to_everybody_and_logged_once_until_it_ends():
    with capture_logs() as log:
        watchdog, said = watched(60.0, 61.4, Clock())
    assert said == ["a batch has been running for 61 s, longer than TAILGATE_WATCHDOG_S=60"] * 2
    assert watchdog.reason() is None
    assert [entry["event"] for entry in log] == ["not live", "the batch has ended"]


def test_each_batch_is_timed_and_logged_by_itself():
    clock = Clock()
    with capture_logs() as log:
        watchdog, _ = watched(60.0, 61.0, clock)
        watchdog.run([2])
    assert [entry["event"] for entry in log] == ["not live", "the batch has ended"] * 2


def test_a_batch_that_raises_has_ended():
    clock = Clock()

    def compute(items):
        clock.now_s += 61
        raise MemoryError

    watchdog = Watchdog(compute, 60.0, clock)
    with pytest.raises(MemoryError):
        watchdog.run([1])
    assert watchdog.reason() is None


@pytest.mark.asyncio
async def test_a_service_with_a_batch_that_hangs_is_neither_live_nor_ready_until_it_ends(gate):
    async def health():
        paths = ("/health/live", "/health/ready")
        return [await server.client.get(path) for path in paths]

    async with running("gated:factory", watchdog_s=1e-9) as server:
        assert [answer.status_code for answer in await health()] == [200, 200]
        gate.opened.clear()
        held = asyncio.create_task(server.predict([1, 2, 3, 4]))
        assert await asyncio.to_thread(gate.entered.acquire, timeout=30)
        await until(lambda: server.service.hung)
        live, ready = await health()
        refused = await server.predict([1, 2, 3, 4])
        samples = metric_samples((await server.client.get("/metrics")).text)
        gate.opened.set()
        await held
        assert [answer.status_code for answer in await health()] == [200, 200]
    assert (live.status_code, ready.status_code, refused.status_code) == (503, 503, 503)
    assert "a batch has been running for" in live.json()["reason"]
    assert ready.json() == {"status": "hung"}
    assert refused.headers["retry-after"] == "1"
    assert samples[("tailgate_ready", ())] == 0
    assert held.result().status_code == 200


@pytest.mark.asyncio
async def test_a_service_whose_executor_thread_has_ended_is_neither_live_nor_ready():
    async with running() as server:
        batcher = server.service._dispatcher
        batcher._next = lambda: None  # as after a fault in the thread's own loop
        assert (await server.predict([1, 2, 3, 4])).status_code == 200
        assert await asyncio.to_thread(batcher.join, 30)
        live, ready = [await server.client.get(f"/health/{name}") for name in ("live", "ready")]
        refused = await server.predict([1, 2, 3, 4])
    assert (live.status_code, ready.status_code, refused.status_code) == (503, 503, 503)
    assert live.json()["reason"] == "the executor's thread has ended"
