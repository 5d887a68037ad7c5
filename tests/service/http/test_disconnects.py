"""Hundreds of clients that leave at any moment: each request is counted once, and nothing is computed for who left in time.

``benchmarks/faults/disconnects.py`` does the same with ten thousand and a process of its own.
"""

import contextlib
import enum
import random

import pytest
from edges import PIXELS, Connection, chunked, pixels, two_edges

CLIENTS = 60
CUT = {"pixels": PIXELS[:-1], "chunks": chunked(pixels())[:-1]}


class Leaving(enum.Enum):
    IN_BODY = 0
    IN_QUEUE = 1
    AT_ONCE = 2
    READING = 3
    NEVER = 4


@pytest.fixture(scope="module")
def edges():
    with pytest.MonkeyPatch.context() as monkeypatch, two_edges(monkeypatch) as edges:
        yield edges


def counts(edges):
    """Return the counters by outcome, and how many items were computed."""
    return edges.outcomes(), edges.service.metrics.batch_size.sum


def since(edges, before):
    """Wait until nothing is in flight, and return what was counted and computed."""
    edges.rest()
    outcomes, computed = counts(edges)
    assert edges.service.pipeline.dispatcher.waiting == len(edges.service.pipeline.decoders.unfinished) == 0
    return {
        name: outcomes[name] - before[0].get(name, 0)
        for name in outcomes
        if outcomes[name] != before[0].get(name, 0)
    }, computed - before[1]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("way", ["hot", "plain"])
def test_nothing_is_computed_for_clients_that_leave_before_their_batch_is_bound(edges, way, seed):
    rng, before = random.Random(seed), counts(edges)
    plan = rng.choices([Leaving.IN_BODY, Leaving.IN_QUEUE, Leaving.NEVER], k=CLIENTS)
    stay = plan.count(Leaving.NEVER)
    with contextlib.ExitStack() as stack:
        bound = stack.enter_context(edges.hold(getattr(edges, way)))
        clients = [(leaving, stack.enter_context(Connection(getattr(edges, way)))) for leaving in plan]
        for leaving, client in clients:
            client.send(CUT[rng.choice(list(CUT))] if leaving is Leaving.IN_BODY else PIXELS)
        edges.until(lambda: edges.service.in_flight.requests == CLIENTS + 1)
        edges.waiting(CLIENTS - plan.count(Leaving.IN_BODY))
        for leaving, client in rng.sample(clients, CLIENTS):
            if leaving is not Leaving.NEVER:
                client.close(reset=rng.random() < 0.5)
        edges.waiting(stay)
        edges.until(lambda: edges.service.in_flight.requests == stay + 1)
        edges.model.opened.set()
        assert bound.answer()[0] == 200
        assert [client.answer()[0] for leaving, client in clients if leaving is Leaving.NEVER] == [200] * stay
    outcomes, computed = since(edges, before)
    assert outcomes == {"ok": stay + 1, "cancelled": CLIENTS - stay}
    assert computed == stay + 1


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("way", ["hot", "plain"])
def test_whenever_clients_leave_every_request_is_counted_once(edges, way, seed):
    rng, before, begun = random.Random(seed), counts(edges), edges.begun
    plan = rng.choices([each for each in Leaving if each is not Leaving.IN_QUEUE], k=CLIENTS)
    answered = 0
    with contextlib.ExitStack() as stack:
        for leaving in plan:
            client = stack.enter_context(Connection(getattr(edges, way)))
            client.send(CUT["pixels"] if leaving is Leaving.IN_BODY else PIXELS)
            if leaving is Leaving.READING:
                assert client.socket.recv(1) == b"H"
                client.close(reset=True)
            elif leaving is Leaving.NEVER:
                answered += client.answer()[0] == 200
            else:
                client.close()
        edges.until(lambda: edges.begun == begun + CLIENTS)
    outcomes, computed = since(edges, before)
    assert sum(outcomes.values()) == CLIENTS
    assert set(outcomes) == {"ok", "cancelled"}
    assert answered == plan.count(Leaving.NEVER)
    assert outcomes["ok"] >= plan.count(Leaving.NEVER) + plan.count(Leaving.READING)
    assert outcomes["ok"] <= computed <= CLIENTS - plan.count(Leaving.IN_BODY)
