"""Who is let in: at the head of a request, again when its body is there, and in a drain."""

import asyncio
import re
from contextlib import asynccontextmanager
from functools import partial

import numpy as np
import pytest
from serving import running, until

from service.admission import why_late
from service.batching import Ticket
from service.call import Call
from service.errors import QueueFull
from service.forecast import Forecast, Outlook
from service.message import Head
from service.protocol import Form

pytestmark = pytest.mark.asyncio

BODY = np.arange(4, dtype=np.float32).tobytes()
BATCH_S = 1000.0  # so long that what the test itself takes does not count
about = partial(pytest.approx, rel=0.1)


@asynccontextmanager
async def busy_for_long(gate, **settings):
    """Run a service with one batch under way, whose batches are of one request and believed to take so long."""
    async with running("gated:factory", max_batch_size=1, **settings) as server:
        server.service._forecast = Forecast(lambda _: BATCH_S, 1, doubt=0.0)
        gate.opened.clear()
        held = begin(server.service, None)
        send_body(held, None)
        assert await asyncio.to_thread(gate.entered.acquire, timeout=30)
        yield server.service
        gate.opened.set()
        await until(lambda: held.answers)


@pytest.mark.parametrize(
    ("likely_s", "latest_s", "timeout_s", "spent_s", "objective_s", "told"),
    [
        (1.0, 9.0, None, 0.0, None, None),
        (1.0, 9.0, 1.0, 0.0, None, None),
        (1.0, 9.0, 1.0, 0.1, None, "it would take 1100 ms, and X-Request-Timeout-Ms allows 1000"),
        (1.0, 2.0, None, 5.0, 2.0, None),
        (1.0, 2.0, None, 0.0, 1.5, "it may take 2000 ms, and TAILGATE_LATENCY_OBJECTIVE_MS is 1500"),
        (1.0, 2.0, 0.5, 0.0, 1.5, "it would take 1000 ms, and X-Request-Timeout-Ms allows 500"),
    ],
)
async def test_who_would_be_late_is_told_by_how_much(
    likely_s, latest_s, timeout_s, spent_s, objective_s, told
):
    assert why_late(Outlook(likely_s, latest_s), timeout_s, spent_s, objective_s) == told


class Begun(Call):
    """A call with the answers that it was given."""

    def __init__(self, service):
        super().__init__(service)
        self.answers = []

    def reply(self, answer):
        self.answers.append(answer)


def begin(service, timeout_s):
    """Take a request at its head, as both edges do."""
    service.require_ready()
    service.admit(timeout_s)
    return Begun(service)


def send_body(call, timeout_s):
    call.run(Head("", len(BODY), timeout_s), Form.PIXELS, BODY)


async def test_bodies_that_come_together_after_their_heads_are_admitted_by_those_before_them(gate):
    async with busy_for_long(gate) as service:
        patience_s = 3.5 * BATCH_S  # for the batch that runs, one other, and its own
        calls = [begin(service, patience_s) for _ in range(6)]
        for call in calls:
            send_body(call, patience_s)
        refused = [call for call in calls if call.answers]
        assert refused == calls[2:]
        for call in refused:
            (answer,) = call.answers
            ((name, seconds),) = answer.more
            assert (answer.status, name, float(seconds)) == (429, b"retry-after", about(3 * BATCH_S))
        for call in calls[:2]:
            call.abandon()


async def test_what_the_body_took_is_taken_from_the_clients_patience(gate):
    async with busy_for_long(gate) as service:
        patience_s = 2.5 * BATCH_S
        call = begin(service, patience_s)
        call._start_s -= BATCH_S  # its body took that long
        send_body(call, patience_s)
        (answer,) = call.answers
    assert answer.status == 429
    said = re.search(rb"it would take (\d+) ms, and X-Request-Timeout-Ms allows 2.5e\+06", answer.body)
    assert float(said[1]) == about(3e3 * BATCH_S)


async def test_a_request_whose_patience_has_ended_before_its_body_is_there_has_expired_whoever_waits(gate):
    async with busy_for_long(gate) as service:
        busy, idle = begin(service, 2.5 * BATCH_S), Begun(service)
        busy._start_s -= 3 * BATCH_S
        send_body(busy, 2.5 * BATCH_S)
        gate.opened.set()
        await until(lambda: service._batcher.running is None)
        idle._start_s -= 3 * BATCH_S
        send_body(idle, 2.5 * BATCH_S)
    assert [call.answers[0].status for call in (busy, idle)] == [504, 504]


async def test_a_queue_that_is_full_when_an_item_is_decoded_says_when_to_come_back(gate):
    async with busy_for_long(gate, queue_capacity=2) as service:
        tickets = [Ticket(np.zeros(4, np.float32), 0.0) for _ in range(3)]
        service.submit(tickets[0])
        service.submit(tickets[1])
        with pytest.raises(QueueFull) as refusal:
            service.submit(tickets[2])
        assert refusal.value.retry_after_s == about(3 * BATCH_S)
        for ticket in tickets:
            service.withdraw(ticket)


async def test_a_request_that_was_taken_before_the_drain_is_answered_though_its_body_comes_in_it():
    async with running() as server:
        call = begin(server.service, None)
        drained = asyncio.create_task(server.service.drain())
        await until(lambda: not server.service.ready)
        assert (await server.predict([1, 2, 3, 4])).status_code == 503
        send_body(call, None)
        assert await drained
    assert [answer.status for answer in call.answers] == [200]
