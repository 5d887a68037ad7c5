"""Work in threads: taken back, late, or done; each piece comes to one end and gives its place back once."""

import asyncio
import threading
import weakref
from contextlib import asynccontextmanager
from functools import partial
from types import SimpleNamespace

import pytest
from serving import running, until

from tailgate.service.errors import Expired
from tailgate.service.forecast import Decoding
from tailgate.service.workers import Workers

pytestmark = pytest.mark.asyncio


@asynccontextmanager
async def one_busy_thread():
    """Yield workers whose only thread is held by work that is dropped, and what lets it go."""
    workers, go_on = Workers("w", 1, asyncio.get_running_loop()), threading.Event()
    begun = threading.Semaphore(0)

    def hold():
        begun.release()
        assert go_on.wait(30)

    held = workers.submit(pytest.fail, hold)
    try:
        assert await asyncio.to_thread(begun.acquire, timeout=30)
        yield workers, held, go_on
        held.drop()
    finally:
        go_on.set()
        workers.stop()
    await until(lambda: workers.unfinished == 0)


@pytest.mark.parametrize("error", [None, ValueError("no"), SystemExit(3)])
async def test_what_the_work_returned_or_raised_comes_back(error):
    def work():
        if error is not None:
            raise error
        return "done"

    workers, ends = Workers("w", 1, asyncio.get_running_loop()), []
    workers.submit(lambda *end: ends.append(end), work, timeout_s=float(2**30))
    await until(lambda: ends)
    workers.stop()
    ((outcome, run_s),) = ends
    assert outcome == ("done" if error is None else error)
    assert run_s >= 0
    assert workers.unfinished == 0


async def test_work_that_is_dropped_before_a_thread_has_it_is_never_done_and_gives_its_place_back_at_once():
    async with one_busy_thread() as (workers, _, go_on):
        work = workers.submit(pytest.fail, pytest.fail, timeout_s=float(2**30))
        assert workers.unfinished == 2
        work.drop()
        work.drop()
        assert workers.unfinished == 1
        go_on.set()


async def test_work_that_is_dropped_before_a_thread_has_it_keeps_nothing_of_what_it_was_for():
    class Body:
        pass

    async with one_busy_thread() as (workers, _, _):
        body = Body()
        seen = weakref.ref(body)
        work = workers.submit(pytest.fail, partial(pytest.fail, body))
        work.drop()
        del body
        assert seen() is None


async def test_work_that_is_dropped_while_a_thread_has_it_keeps_its_place_until_that_has_ended():
    async with one_busy_thread() as (workers, held, _):
        held.drop()
        assert workers.unfinished == 1


async def test_a_deadline_that_passes_before_a_thread_has_the_work_is_told_then():
    ends = []
    async with one_busy_thread() as (workers, _, _):
        workers.submit(lambda *end: ends.append(end), pytest.fail, timeout_s=0.0)
        await until(lambda: ends)
        assert workers.unfinished == 1
    assert [(type(outcome), run_s) for outcome, run_s in ends] == [(Expired, None)]


async def test_a_deadline_that_passes_while_a_thread_has_the_work_is_told_then_and_once():
    go_on, ends = threading.Event(), []
    workers = Workers("w", 1, asyncio.get_running_loop())
    workers.submit(lambda *end: ends.append(end), lambda: go_on.wait(30), timeout_s=0.0)
    await until(lambda: ends)
    go_on.set()
    await until(lambda: workers.unfinished == 0)
    workers.stop()
    assert [(type(outcome), run_s) for outcome, run_s in ends] == [(Expired, None)]


async def test_an_answer_is_written_though_all_decoding_threads_are_busy():
    go_on, ends = threading.Event(), []
    async with running(decode_threads=1) as server:
        held = server.service.offload(pytest.fail, go_on.wait, 30, began_s=0.0, timeout_s=None)
        server.service.write_out(lambda outcome, _: ends.append(outcome), list)
        await until(lambda: ends)
        go_on.set()
        held.drop()
    assert ends == [[]]


async def test_images_of_late_clients_and_of_those_who_left_are_not_decoded_and_leave_room_for_others(
    monkeypatch,
):
    begun, go_on, decoded = threading.Semaphore(0), threading.Event(), []

    def slow(body, *_):
        decoded.append(bytes(body))
        begun.release()
        assert go_on.wait(30)
        raise ZeroDivisionError

    monkeypatch.setattr("tailgate.service.call.decode_image", slow)
    async with running("tiny_models:colours", queue_capacity=3, decode_threads=1) as server:

        def send(body, **headers):
            headers["content-type"] = "image/png"
            return asyncio.create_task(server.client.post("/predict", content=body, headers=headers))

        held = send(b"held")
        assert await asyncio.to_thread(begun.acquire, timeout=30)
        gone = send(b"gone")
        await until(lambda: server.service._decoding == 2)
        with monkeypatch.context() as patch:
            patch.setattr(
                "tailgate.service.workers.time", SimpleNamespace(perf_counter=lambda: 1e12)
            )  # long after its deadline
            assert (await send(b"late", **{"x-request-timeout-ms": "600000"})).status_code == 504
        assert server.service._decoding == 2
        gone.cancel()
        await until(lambda: server.service._decoding == 1)
        last = send(b"last")
        await until(lambda: server.service._decoding == 2)
        go_on.set()
        assert [(await each).status_code for each in (held, last)] == [500, 500]
        assert server.service.in_flight == 0
    assert decoded == [b"held", b"last"]


async def test_what_waits_and_what_has_a_thread_is_told_apart_and_how_long_threads_have_been_at_it(
    monkeypatch,
):
    clock = [100.0]
    monkeypatch.setattr("tailgate.service.workers.time", SimpleNamespace(perf_counter=lambda: clock[0]))
    done = []
    async with one_busy_thread() as (workers, held, go_on):
        workers.done = done.append
        works = [workers.submit(lambda *_: None, list) for _ in range(3)]
        assert workers.decoding(107.0) == Decoding(threads=1, waiting=3, running=1, spent_s=7.0)
        assert list(workers.newest_waiting()) == works[::-1]
        works[1].drop()
        assert workers.decoding(108.0) == Decoding(threads=1, waiting=2, running=1, spent_s=8.0)
        assert list(workers.newest_waiting()) == [works[2], works[0]]
        clock[0] = 109.0
        held.drop()
        go_on.set()
        await until(lambda: workers.unfinished == 0)
        assert workers.decoding(200.0) == Decoding(threads=1)
        assert list(workers.newest_waiting()) == []
    assert done == [9.0, 0.0, 0.0]


async def test_an_error_that_ends_waiting_work_is_told_once_and_the_work_never_done():
    ends = []
    async with one_busy_thread() as (workers, _, go_on):
        work = workers.submit(lambda *end: ends.append(end), pytest.fail)
        error = ValueError("no")
        work.end(error)
        work.end(error)
        assert ends == [(error, None)]
        assert workers.unfinished == 1
        go_on.set()
