"""Work in threads: taken back, late, or done; each piece comes to one end and gives its place back once."""

import asyncio
import threading
import weakref
from contextlib import asynccontextmanager
from functools import partial
from types import SimpleNamespace

import pytest
from serving import running, until

from tailgate.service.batching.forecast import Decoding
from tailgate.service.batching.workers import Workers

pytestmark = pytest.mark.asyncio


class Job:
    """A request that has work for a thread."""

    def __init__(self):
        self.work, self.work_since_s, self.ends = None, 0.0, []

    def worked(self, outcome, run_s):
        self.ends.append((outcome, run_s))


def submit(workers, work):
    job = Job()
    workers.submit(job, work)
    return job


@asynccontextmanager
async def one_busy_thread():
    """Yield workers whose only thread is busy, the job that it has, and what lets it go."""
    workers, go_on = Workers("w", 1, asyncio.get_running_loop()), threading.Event()
    begun = threading.Semaphore(0)
    workers.start()

    def hold():
        begun.release()
        assert go_on.wait(30)

    held = submit(workers, hold)
    try:
        assert await asyncio.to_thread(begun.acquire, timeout=30)
        yield workers, held, go_on
    finally:
        go_on.set()
        await until(lambda: len(workers.unfinished) == 0)
        workers.stop()


@pytest.mark.parametrize("error", [None, ValueError("no"), SystemExit(3)])
async def test_what_the_work_returned_or_raised_comes_back(error):
    def work():
        if error is not None:
            raise error
        return "done"

    workers = Workers("w", 1, asyncio.get_running_loop())
    workers.start()
    job = submit(workers, work)
    await until(lambda: job.ends)
    workers.stop()
    ((outcome, run_s),) = job.ends
    assert outcome == ("done" if error is None else error)
    assert run_s >= 0
    assert len(workers.unfinished) == 0


async def test_work_that_is_dropped_before_a_thread_has_it_is_never_done_and_gives_its_place_back_at_once():
    async with one_busy_thread() as (workers, _, go_on):
        job = submit(workers, pytest.fail)
        assert len(workers.unfinished) == 2
        workers.drop(job)
        workers.drop(job)
        assert len(workers.unfinished) == 1
        go_on.set()
    assert job.ends == []


async def test_work_that_is_dropped_before_a_thread_has_it_keeps_nothing_of_what_it_was_for():
    class Body:
        pass

    async with one_busy_thread() as (workers, _, _):
        body = Body()
        seen = weakref.ref(body)
        job = submit(workers, partial(pytest.fail, body))
        workers.drop(job)
        del body
        assert seen() is None


async def test_work_that_is_dropped_while_a_thread_has_it_keeps_its_place_until_that_has_ended():
    async with one_busy_thread() as (workers, held, _):
        workers.drop(held)
        assert len(workers.unfinished) == 1


async def test_a_stop_begins_no_work_that_waits():
    async with one_busy_thread() as (workers, held, go_on):
        job = submit(workers, pytest.fail)
        await asyncio.to_thread(workers.stop)
        go_on.set()
        await until(lambda: held.ends)
        assert job.work is None
        workers.unfinished.clear()


async def test_an_answer_is_written_though_all_decoding_threads_are_busy():
    go_on = threading.Event()
    async with running(decode_threads=1) as server:
        submit(server.service.pipeline.decoders, lambda: go_on.wait(30))
        written = submit(server.service.pipeline.writers, list)
        await until(lambda: written.ends)
        go_on.set()
        await until(lambda: len(server.service.pipeline.decoders.unfinished) == 0)
    assert written.ends[0][0] == []


async def test_images_of_late_clients_and_of_those_who_left_are_not_decoded_and_leave_room_for_others(
    monkeypatch,
):
    begun, go_on, decoded = threading.Semaphore(0), threading.Event(), []

    def slow(body, *_):
        decoded.append(bytes(body))
        begun.release()
        assert go_on.wait(30)
        raise ZeroDivisionError

    monkeypatch.setattr("tailgate.service.codec.inputs.decode_image", slow)
    async with running("tiny_models:colours", queue_capacity=3, decode_threads=1) as server:

        def send(body, **headers):
            headers["content-type"] = "image/png"
            return asyncio.create_task(server.client.post("/predict", content=body, headers=headers))

        held = send(b"held")
        assert await asyncio.to_thread(begun.acquire, timeout=30)
        gone = send(b"gone")
        await until(lambda: len(server.service.pipeline.decoders.unfinished) == 2)
        late = await send(b"late", **{"x-request-timeout-ms": "50"})
        assert late.status_code == 504
        assert len(server.service.pipeline.decoders.unfinished) == 2
        gone.cancel()
        await until(lambda: len(server.service.pipeline.decoders.unfinished) == 1)
        last = send(b"last")
        await until(lambda: len(server.service.pipeline.decoders.unfinished) == 2)
        go_on.set()
        assert [(await each).status_code for each in (held, last)] == [500, 500]
        assert server.service.in_flight.requests == 0
    assert decoded == [b"held", b"last"]


async def test_what_waits_and_what_has_a_thread_is_told_apart_and_how_long_threads_have_been_at_it(
    monkeypatch,
):
    clock = [100.0]
    monkeypatch.setattr(
        "tailgate.service.batching.workers.time", SimpleNamespace(perf_counter=lambda: clock[0])
    )
    done = []
    async with one_busy_thread() as (workers, _, go_on):
        workers.done = done.append
        jobs = [submit(workers, list) for _ in range(3)]
        assert workers.decoding(107.0) == Decoding(threads=1, waiting=3, running=1, spent_s=7.0)
        assert list(workers.newest_waiting()) == jobs[::-1]
        workers.drop(jobs[1])
        assert workers.decoding(108.0) == Decoding(threads=1, waiting=2, running=1, spent_s=8.0)
        assert list(workers.newest_waiting()) == [jobs[2], jobs[0]]
        clock[0] = 109.0
        go_on.set()
        await until(lambda: len(workers.unfinished) == 0)
        assert workers.decoding(200.0) == Decoding(threads=1)
        assert list(workers.newest_waiting()) == []
    assert done == [9.0, 0.0, 0.0]
