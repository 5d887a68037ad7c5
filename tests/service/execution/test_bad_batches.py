"""What goes wrong in a batch, as clients and Prometheus see it."""

import asyncio

import numpy as np
import pytest
import tiny_models
from serving import metric_samples, running

# Longer than any test: a batch leaves when it is full, and never before.
HELD = {"max_batch_size": 8, "max_wait_ms": 10_000}


async def answers(server, firsts):
    """Send a batch of requests whose inputs start with these numbers; return status and body of each, and the counts."""
    sent = [
        server.client.post(
            "/predict",
            content=np.array([first, 1, 2, 4], np.float32).tobytes(),
            headers={"content-type": "application/octet-stream"},
        )
        for first in firsts
    ]
    got = await asyncio.gather(*sent)
    samples = metric_samples((await server.client.get("/metrics")).text)
    counts = {name: value for (name, labels), value in samples.items() if not labels}
    return [(answer.status_code, answer.json()) for answer in got], counts


@pytest.mark.parametrize(
    ("setting", "status", "counted"), [("error", 500, 1), ("count", 200, 1), ("ignore", 200, 0)]
)
@pytest.mark.asyncio
async def test_an_output_that_is_no_number_is_the_matter_of_its_own_request(setting, status, counted):
    async with running("tiny_models:reciprocal", non_finite_outputs=setting, **HELD) as server:
        got, counts = await answers(server, [1, 2, 3, 0, 4, 5, 6, 8])
        assert await server.outcomes() == ({"ok": 7, "error": 1} if status == 500 else {"ok": 8})
    assert [code for code, _ in got] == [200, 200, 200, status, 200, 200, 200, 200]
    if status == 500:
        assert got[3][1] == {"error": "the model's output for this input holds NaN or infinity"}
    assert got[4][1]["outputs"] == [0.25, 1, 0.5, 0.25]
    assert counts["tailgate_non_finite_outputs_total"] == counted


@pytest.mark.asyncio
async def test_after_an_out_of_memory_error_everybody_is_answered_and_the_service_goes_on():
    async with running("tiny_models:cramped", **HELD) as server:
        first, counts = await answers(server, [tiny_models.HOLD] * 8)
        second, after = await answers(server, [tiny_models.HOLD] * 8)
        live = await server.client.get("/health/live")
    assert [code for code, _ in first + second] == [200] * 16
    assert [body["outputs"][0] for _, body in first] == [2 * tiny_models.HOLD] * 8
    # Eight and four did not fit; the second batch is run in twos at once.
    assert counts["tailgate_out_of_memory_total"] == after["tailgate_out_of_memory_total"] == 2
    assert live.status_code == 200
