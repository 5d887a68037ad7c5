"""A batch that does not end: who is told, and when it is over."""

import asyncio
import threading

import pytest
from serving import metric_samples, running, until
from structlog.testing import capture_logs
from tickets import Ticket

from tailgate.service.batching.dispatcher import Dispatcher
from tailgate.service.batching.policy import BatchPolicy


class Clock:
    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


def dispatcher_of(compute, limit_s, clock, **options):
    """Return a dispatcher whose thread the test stands in for."""
    made = Dispatcher(BatchPolicy(1, 8, limit_s=limit_s), compute, list, clock, **options)
    made._thread = threading.current_thread()
    return made


def watched(limit_s, lasting_s, clock, batches=1):
    """Run batches that take so long; return the dispatcher, and what it says before and after the end of each."""
    said = []

    def compute(items):
        clock.now_s += lasting_s
        said.extend([dispatcher.hung, dispatcher.hung])
        return items

    dispatcher = dispatcher_of(compute, limit_s, clock)
    for number in range(batches):
        dispatcher._run([Ticket(number, clock.now_s)])
        said.append(dispatcher.hung)
    return said


@pytest.mark.parametrize(("limit_s", "lasting_s"), [(60, 0.1), (60, 60), (0, 1e9)])
def test_nothing_is_said_within_the_limit_or_without_one(limit_s, lasting_s):
    with capture_logs() as log:
        said = watched(limit_s, lasting_s, Clock())
    assert (said, log) == ([None] * 3, [])


def test_a_batch_beyond_the_limit_is_told_to_everybody_and_logged_once_until_it_ends():
    with capture_logs() as log:
        said = watched(60.0, 61.4, Clock())
    assert said == ["a batch has been running for 61 s, longer than TAILGATE_WATCHDOG_S=60"] * 2 + [None]
    assert [entry["event"] for entry in log] == ["not live", "the batch has ended"]


def test_each_batch_is_timed_and_logged_by_itself():
    with capture_logs() as log:
        watched(60.0, 61.0, Clock(), batches=2)
    assert [entry["event"] for entry in log] == ["not live", "the batch has ended"] * 2


def test_a_batch_that_raises_has_ended():
    clock = Clock()

    def compute(items):
        clock.now_s += 61
        raise MemoryError

    dispatcher = dispatcher_of(compute, 60.0, clock)
    with capture_logs():
        dispatcher._run([Ticket(1, clock.now_s)])
    assert dispatcher.hung is None


@pytest.mark.parametrize("slow", ["begin", "finish"])
def test_a_device_that_does_not_end_a_batch_is_noticed_at_either_end(slow):
    clock, said = Clock(), []

    def takes_long(where):
        if where == slow:
            clock.now_s += 61.0
        said.append(dispatcher.hung is not None)

    def begin(items):
        takes_long("begin")
        return finish

    def finish():
        takes_long("finish")
        return [1]

    dispatcher = dispatcher_of(list, 60.0, clock, begin=begin)
    with capture_logs():
        dispatcher._finish(dispatcher._hand_over([Ticket(1, clock.now_s)]), None)
    assert said == [slow == "begin", True]
    assert dispatcher.hung is None


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
        batcher = server.service.pipeline.dispatcher
        batcher._next = lambda: None  # as after a fault in the thread's own loop
        assert (await server.predict([1, 2, 3, 4])).status_code == 200
        assert await asyncio.to_thread(batcher.join, 30)
        live, ready = [await server.client.get(f"/health/{name}") for name in ("live", "ready")]
        refused = await server.predict([1, 2, 3, 4])
    assert (live.status_code, ready.status_code, refused.status_code) == (503, 503, 503)
    assert live.json()["reason"] == "the executor's thread has ended"


# That a thread ends by an error is what this is about.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_executor_whose_thread_has_ended_by_itself_is_told():
    def deliver(_):
        raise SystemExit

    made = Dispatcher(BatchPolicy(1, 8), list, deliver)
    assert made.hung is None
    made.start()
    made.submit(Ticket("a", 0.0))
    assert made.join(60)
    assert made.hung == "the executor's thread has ended"
