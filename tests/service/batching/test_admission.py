"""Who is let in: at the head of a request, again when its body is there, and in a drain."""

import asyncio
import re
import threading
from contextlib import asynccontextmanager
from functools import partial

import numpy as np
import pytest
from serving import metric_samples, running, until

from tailgate.service.batching.admission import why_late
from tailgate.service.batching.forecast import Forecast, Outlook
from tailgate.service.batching.requests.request import Request
from tailgate.service.codec.inputs import Kind
from tailgate.service.codec.intent import Intent
from tailgate.service.errors import Outcome, QueueFull

pytestmark = pytest.mark.asyncio

BODY = np.arange(4, dtype=np.float32).tobytes()
BATCH_S = 1000.0  # so long that what the test itself takes does not count
about = partial(pytest.approx, rel=0.1)


@asynccontextmanager
async def busy_for_long(gate, **settings):
    """Run a service with one batch under way, whose batches are of one request and believed to take so long."""
    async with running("gated:factory", max_batch_size=1, **settings) as server:
        server.service.pipeline.admission.forecast = Forecast(lambda _: BATCH_S, 1, doubt=0.0)
        gate.opened.clear()
        held = begin(server.service, None)
        send_body(held)
        assert await asyncio.to_thread(gate.entered.acquire, timeout=30)
        yield server.service
        gate.opened.set()
        await until(lambda: held.answers)


@pytest.mark.parametrize(
    ("likely_s", "latest_s", "timeout_s", "spent_s", "objective_s", "told"),
    [
        (1.0, 9.0, None, 0.0, None, None),
        (1.0, 9.0, 1.0, 0.0, None, None),
        (1.0, 9.0, 1.0, 0.1, None, "it would take 1100 ms, and its client waits 1000 ms"),
        (1.0, 2.0, None, 5.0, 2.0, None),
        (1.0, 2.0, None, 0.0, 1.5, "it may take 2000 ms, and TAILGATE_LATENCY_OBJECTIVE_MS is 1500"),
        (1.0, 2.0, 0.5, 0.0, 1.5, "it would take 1000 ms, and its client waits 500 ms"),
    ],
)
async def test_who_would_be_late_is_told_by_how_much(
    likely_s, latest_s, timeout_s, spent_s, objective_s, told
):
    assert why_late(Outlook(likely_s, latest_s), timeout_s, spent_s, objective_s) == told


class Begun(Request):
    """A request with the answers that it was given."""

    def __init__(self, service):
        self.answers = []
        super().__init__(service, self.answers.append)


def begin(service, timeout_s, kind=Kind.PIXELS):
    """Take a request at its head, as both edges do."""
    pipeline = service.require_ready()
    request = Begun(service)
    request._intend(Intent(kind, None, None, timeout_s))
    pipeline.admission.admit(timeout_s, decoded=kind is not Kind.PIXELS)
    return request


def send_body(request):
    request.take(BODY)
    request.complete()


def started_earlier(request, seconds):
    """Have a request begin so much earlier; its timer is late."""
    request.start_s -= seconds
    if request.deadline_s is not None:
        request.deadline_s -= seconds


async def test_bodies_that_come_together_after_their_heads_are_admitted_by_those_before_them(gate):
    async with busy_for_long(gate) as service:
        patience_s = 3.5 * BATCH_S  # for the batch that runs, one other, and its own
        calls = [begin(service, patience_s) for _ in range(6)]
        for call in calls:
            send_body(call)
        refused = [call for call in calls if call.answers]
        assert refused == calls[2:]
        for call in refused:
            (answer,) = call.answers
            assert (answer.status, retry_after_s(answer)) == (429, about(3 * BATCH_S))
        for call in calls[:2]:
            call.abandon()


async def test_what_the_body_took_is_taken_from_the_clients_patience(gate):
    async with busy_for_long(gate) as service:
        patience_s = 2.5 * BATCH_S
        call = begin(service, patience_s)
        started_earlier(call, BATCH_S)  # its body took that long
        send_body(call)
        (answer,) = call.answers
    assert answer.status == 429
    said = re.search(rb"it would take (\d+) ms, and its client waits 2500000 ms", answer.body)
    assert float(said[1]) == about(3e3 * BATCH_S)


async def test_a_request_whose_patience_has_ended_before_its_body_is_there_has_expired_whoever_waits(gate):
    async with busy_for_long(gate) as service:
        busy, idle = (begin(service, 2.5 * BATCH_S) for _ in range(2))
        for request in (busy, idle):
            started_earlier(request, 3 * BATCH_S)
        send_body(busy)
        gate.opened.set()
        await until(lambda: service.pipeline.dispatcher.running is None)
        send_body(idle)
    assert [call.answers[0].status for call in (busy, idle)] == [504, 504]


async def test_a_queue_that_is_full_when_an_item_is_decoded_says_when_to_come_back(gate):
    async with busy_for_long(gate, queue_capacity=2) as service:
        requests = [begin(service, None) for _ in range(3)]
        for request in requests[:2]:
            send_body(request)
        with pytest.raises(QueueFull) as full:
            service.pipeline.dispatcher.submit(requests[2])
        requests[2].refuse(full.value)
        (answer,) = requests[2].answers
        assert (answer.status, retry_after_s(answer)) == (429, about(3 * BATCH_S))
        for request in requests:
            request.abandon()


async def test_a_request_that_was_taken_before_the_drain_is_answered_though_its_body_comes_in_it():
    async with running() as server:
        call = begin(server.service, None)
        drained = asyncio.create_task(server.service.drain())
        await until(lambda: not server.service.ready)
        assert (await server.predict([1, 2, 3, 4])).status_code == 503
        send_body(call)
        assert await drained
    assert [answer.status for answer in call.answers] == [200]


# Decoding: a stage of its own.

ITEM_S = 1000.0
# Enough for three items one after another, with the forecast's doubt about the first two, and for no fourth.
PATIENCE_S = 2.8 * ITEM_S


@asynccontextmanager
async def decoding_for_long(monkeypatch, *, known=True, **settings):
    """Run a service with two threads that decode what they have until the end; an item is believed to take so long."""
    go_on, begun = threading.Event(), threading.Semaphore(0)

    def slow(*_):
        begun.release()
        assert go_on.wait(30)
        return np.zeros((8, 8, 3), np.uint8)

    monkeypatch.setattr("tailgate.service.codec.inputs.decode_image", slow)
    async with running("tiny_models:colours", decode_threads=2, **settings) as server:
        if known:
            server.service.pipeline.admission.forecast.learn_decoding(ITEM_S)
        yield server.service, begun
        go_on.set()
        await until(lambda: server.service.in_flight.requests == 0)


def send_picture(service, timeout_s):
    """Send a request whose body is there at once, and return it."""
    request = Begun(service)
    request.repeat(Intent(Kind.IMAGE, 1, None, timeout_s), b"x", 0)
    return request


def refused(calls):
    return [call for call in calls if call.answers]


def retry_after_s(answer):
    return float(dict(answer.headers())[b"retry-after"])


async def test_who_would_be_late_because_of_decoding_is_refused_at_once_and_told_when_to_come_back(
    monkeypatch,
):
    async with decoding_for_long(monkeypatch) as (service, _):
        calls = [send_picture(service, PATIENCE_S) for _ in range(40)]
        # Two in the threads, and two behind these.
        assert refused(calls) == calls[4:]
        for call in refused(calls):
            (answer,) = call.answers
            assert b"its client waits" in answer.body
            assert retry_after_s(answer) == about(2 * ITEM_S)
        assert service.metrics.requests[Outcome.LATE] == 36


async def test_the_latency_objective_counts_decoding_and_refuses_nobody_who_finds_a_thread_free(monkeypatch):
    async with decoding_for_long(monkeypatch, latency_objective_ms=0.5e3 * ITEM_S) as (service, _):
        calls = [send_picture(service, None) for _ in range(3)]
        # To be late is in the item itself: two find a thread. The third would wait for one.
        assert refused(calls) == calls[2:]
    async with decoding_for_long(monkeypatch, latency_objective_ms=1e3 * PATIENCE_S) as (service, _):
        calls = [send_picture(service, None) for _ in range(9)]
        assert refused(calls) == calls[4:]


async def test_pixels_do_not_wait_for_pictures_that_are_decoded(monkeypatch):
    async with decoding_for_long(monkeypatch, latency_objective_ms=1.5e3 * ITEM_S) as (service, _):
        calls = [send_picture(service, None) for _ in range(5)]
        assert len(refused(calls)) == 3
        pixels = Begun(service)
        pixels.repeat(Intent(Kind.PIXELS, 192, None, ITEM_S), bytes(192), 0)
        await until(lambda: pixels.answers)
        assert pixels.answers[0].status == 200


async def test_those_whom_nobody_knew_to_be_late_are_told_when_the_first_item_shows_it_the_last_first(
    monkeypatch,
):
    async with decoding_for_long(monkeypatch, known=False) as (service, begun):
        calls = [send_picture(service, PATIENCE_S) for _ in range(12)]
        patient = send_picture(service, None)
        calls += [send_picture(service, PATIENCE_S) for _ in range(3)]
        assert refused(calls) == []
        for _ in range(2):
            assert await asyncio.to_thread(begun.acquire, timeout=30)
        service.pipeline.admission.note_decoding(ITEM_S)
        assert refused(calls) == calls[12:]  # up to one who waits for any time
        patient.abandon()
        service.pipeline.admission.note_decoding(ITEM_S)
        assert refused(calls) == calls[4:]
        for call in calls[4:12]:
            assert b"it still waits to be decoded: it would take" in call.answers[0].body
            assert retry_after_s(call.answers[0]) == about(2 * ITEM_S)
        assert len(service.pipeline.decoders.unfinished) == 4


async def test_the_backlog_of_decoding_is_a_gauge_beside_that_of_the_batches(monkeypatch):
    async with decoding_for_long(monkeypatch) as (service, begun):
        calls = [send_picture(service, None) for _ in range(7)]
        for _ in range(2):
            assert await asyncio.to_thread(begun.acquire, timeout=30)
        samples = metric_samples(service.metrics.render().decode())
        assert samples["tailgate_decode_queue_depth", ()] == 5
        assert samples["tailgate_queue_depth", ()] == 0
        assert samples["tailgate_in_flight", ()] == 7
        for call in calls[4:]:
            call.abandon()
        samples = metric_samples(service.metrics.render().decode())
        assert samples["tailgate_decode_queue_depth", ()] == 2
