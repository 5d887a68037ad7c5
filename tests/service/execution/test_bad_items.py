"""Items that make the model fail in any way, among others in one batch: their mates are answered, and the cost is bounded."""

import asyncio
import math
import sys
import threading
import types

import pytest
import torch
from serving import metric_samples, running, until
from tiny_models import FOUR_FLOATS
from torch import nn

from tailgate.service.models import Model

pytestmark = pytest.mark.asyncio


def raising(error):
    def act(batch):
        raise error

    return act


def recursing(batch):
    return recursing(batch)


# What the model does with a batch in which an item begins with the key.
FAULTS = {
    101.0: raising(RuntimeError("poison")),
    102.0: raising(SystemExit(3)),
    103.0: raising(KeyboardInterrupt()),
    104.0: recursing,
    105.0: raising(MemoryError()),
    106.0: raising(torch.OutOfMemoryError("no memory")),
    107.0: lambda batch: None,
    108.0: lambda batch: "text",
    109.0: lambda batch: batch[:-1],
    110.0: lambda batch: batch.repeat(2, 1),
    111.0: lambda batch: batch.sum(),
    112.0: lambda batch: {"outputs": batch},
    113.0: lambda batch: torch.where(batch == 113.0, math.nan, batch * 2),
}
OUT_OF_MEMORY, ONLY_ITS_OWN_ROW = 106.0, 113.0
# Further runs of a batch of eight: twice its logarithm, all parts where batches stay halved, none where a row is marked.
FURTHER_RUNS = {OUT_OF_MEMORY: 14, ONLY_ITS_OWN_ROW: 0}


class Marked(nn.Module):
    """Twice its input, or what the first marked item of the batch says. A run waits while it is not let go."""

    def __init__(self):
        super().__init__()
        self.sizes = []
        self.held = None

    def forward(self, batch):
        if self.held is not None:
            entered, go = self.held
            entered.set()
            go.wait(30)
        self.sizes.append(len(batch))
        for mark in batch[:, 0].tolist():
            if mark in FAULTS:
                return FAULTS[mark](batch)
        return batch * 2


@pytest.fixture
def marked(monkeypatch):
    module = Marked()
    model = Model("marked", module, "none", input=FOUR_FLOATS)
    monkeypatch.setitem(sys.modules, "marked", types.SimpleNamespace(factory=lambda: model))
    return module


async def one_batch(server, marked, firsts):
    """Send items that go as one batch, and return their answers."""
    entered, go = marked.held = threading.Event(), threading.Event()
    held = asyncio.create_task(server.predict([0, 0, 0, 0]))
    assert await asyncio.to_thread(entered.wait, 30)
    sent = [asyncio.create_task(server.predict([first, 1, 2, 3])) for first in firsts]
    await until(lambda: server.service.pipeline.dispatcher.waiting == len(firsts))
    marked.sizes.clear()
    marked.held = None
    go.set()
    assert (await held).status_code == 200
    return await asyncio.gather(*sent)


@pytest.mark.parametrize("mark", FAULTS)
@pytest.mark.parametrize("place", [0, 3, 7])
async def test_an_item_that_makes_the_model_fail_in_any_way_fails_alone(marked, mark, place):
    firsts = [float(number) for number in range(8)]
    firsts[place] = mark
    async with running("marked:factory", max_batch_size=8) as server:
        answers = await one_batch(server, marked, firsts)
        after = await server.predict([5, 1, 2, 3])
        outcomes = await server.outcomes()
    assert [answer.status_code for answer in answers] == [500 if first == mark else 200 for first in firsts]
    for first, answer in zip(firsts, answers, strict=True):
        if first != mark:
            assert answer.json()["outputs"] == [first * 2, 2, 4, 6]
        else:
            assert "input" in answer.json()["error"]
            assert not any(inside in answer.text for inside in ("poison", "Error(", "Traceback", ".py"))
    assert after.status_code == 200
    assert outcomes == {"ok": 9, "error": 1}
    # The batch that was held and the one after are runs of one item each.
    assert len(marked.sizes) - 2 <= 1 + FURTHER_RUNS.get(mark, 2 * 3)


async def test_a_batch_of_nothing_but_bad_items_costs_twice_its_runs_and_is_counted(marked):
    async with running("marked:factory", max_batch_size=8) as server:
        answers = await one_batch(server, marked, [101.0] * 8)
        samples = metric_samples((await server.client.get("/metrics")).text)
    assert [answer.status_code for answer in answers] == [500] * 8
    assert sorted(marked.sizes[1:]) == [1] * 8 + [2] * 4 + [4] * 2 + [8]
    assert samples[("tailgate_failed_runs_total", ())] == 15
    assert samples[("tailgate_batch_size_count", ())] == 2
    assert (
        samples[("tailgate_batch_size_sum", ())] == 9 if ("tailgate_batch_size_sum", ()) in samples else True
    )
