"""Faults that other servers are known for and that no other test here is about."""

import pytest
from edges import HOST, PIXELS, Connection, two_edges
from starlette.middleware.base import BaseHTTPMiddleware

PROBES = {
    path: b"GET %b HTTP/1.1\r\n%b\r\n" % (path, HOST)
    for path in (b"/health/live", b"/health/ready", b"/metrics")
}


def test_probes_are_answered_while_the_queue_is_full_and_the_executor_busy(monkeypatch):
    """Uvicorn's limit_concurrency counts probes among requests, and refuses them under load."""
    with two_edges(monkeypatch, queue_capacity=2) as edges:  # noqa: SIM117 - the edges outlive the connections
        with edges.hold(edges.hot), Connection(edges.hot) as first, Connection(edges.hot) as second:
            first.send(PIXELS)
            second.send(PIXELS)
            edges.waiting(2)
            for address in edges.both():
                with Connection(address) as client:
                    client.send(PIXELS)
                    assert client.answer()[0] == 429
                    for probe in PROBES.values():
                        client.send(probe)
                        assert client.answer()[0] == 200
            edges.model.opened.set()
            assert (first.answer()[0], second.answer()[0]) == (200, 200)


@pytest.mark.parametrize("way", ["hot", "plain"])
def test_a_client_that_leaves_behind_a_middleware_is_counted_once_and_not_computed(monkeypatch, way):
    """One BaseHTTPMiddleware makes is_disconnected() false for ever (vLLM #10087), and raises "No response returned".

    It raises that for an application that ends without an answer.
    """

    async def pass_on(request, call_next):
        return await call_next(request)

    with two_edges(
        monkeypatch, lambda app: app.add_middleware(BaseHTTPMiddleware, dispatch=pass_on)
    ) as edges:
        with edges.hold(getattr(edges, way)) as bound:
            with Connection(getattr(edges, way)) as leaving:
                leaving.send(PIXELS)
                edges.waiting(1)
            edges.waiting(0)
            edges.model.opened.set()
            assert bound.answer()[0] == 200
        edges.rest()
        assert edges.outcomes() == {"ok": 1, "cancelled": 1}
        assert edges.service.metrics.batch_size.sum == 1
