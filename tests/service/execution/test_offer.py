"""When BF16 is measured beside FP32, what is then offered, and what that costs; by a clock that only the models move."""

import dataclasses
import math

import numpy as np
import pytest
import tiny_models
import torch
from costly import Clock
from serving import running
from structlog.testing import capture_logs
from tape import Tape
from torch import nn

from tailgate.service.execution.cuda import CudaEagerExecutor
from tailgate.service.execution.graph import ServedGraph
from tailgate.service.execution.trials import offer, selection, trial
from tailgate.service.execution.trials.parity import Parity
from tailgate.service.execution.trials.selection import select
from tailgate.service.execution.trials.trial import Prepared
from tailgate.service.models import Model
from tailgate.service.settings import LARGEST_CHOSEN_BATCH, load_settings

CPU = torch.device("cpu")
ITEMS = [np.full(4, number, np.float32) for number in range(LARGEST_CHOSEN_BATCH)]
FP32_S = 0.1


class Model16(nn.Module):
    """Twice its input, or other than that in BF16; a batch in BF16 takes the next of ``bf16_s``, and any other a tenth of a second."""

    def __init__(self, clock, bf16_s, bf16_factor=2.0):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(2.0), requires_grad=False)
        self.__dict__ |= {"clock": clock, "bf16_s": list(bf16_s), "bf16_factor": bf16_factor, "sizes": []}

    def __deepcopy__(self, _):
        copied = Model16(self.clock, (), self.bf16_factor)
        copied.__dict__ |= {"bf16_s": self.bf16_s, "sizes": self.sizes}  # noted in one place
        return copied

    def forward(self, batch):
        if batch.dtype != torch.bfloat16:
            self.clock.now_s += FP32_S
            return batch * self.factor
        self.sizes.append(len(batch))
        self.clock.now_s += self.bf16_s.pop(0)
        return batch * self.bf16_factor


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(trial, "time", clock)
    monkeypatch.setattr(offer, "computes_bf16", lambda _: True)
    return clock


def offered(module, **settings):
    model = Model("costly", module, "none", input=tiny_models.FOUR_FLOATS)
    graph = ServedGraph(model, module, torch.float32, 5)
    expected = graph(torch.from_numpy(np.stack(ITEMS[:8])))
    ready = Prepared(
        model, CPU, settings.get("precision", "fp32").replace("auto", "fp32"), graph, ITEMS, expected
    )
    with capture_logs() as log:
        found = select(load_settings({}, executor="eager", max_batch_size=16, **settings), ready)
    return found.offer, [entry for entry in log if entry["event"] == "bf16 is faster"]


# The first run is the one whose answers are compared; it warms up, and takes as long as it likes.
@pytest.mark.parametrize(
    ("bf16_s", "bf16_per_s"),
    [
        ([9.0, 0.025, 0.025, 0.025], 640.0),
        ([0.01, 0.08, 0.05, 0.01], 320.0),
        ([0.01, 0.09], None),  # a tenth faster is not worth other answers
        ([0.01, 0.01, 0.01, 0.09], None),
        ([0.01, 0.5], None),
    ],
)
def test_bf16_is_offered_where_each_round_is_faster_and_measured_no_further_once_one_is_not(
    clock, bf16_s, bf16_per_s
):
    module = Model16(clock, bf16_s)
    found, said = offered(module)
    assert module.bf16_s == []
    assert module.sizes == [8] + [16] * (len(bf16_s) - 1)
    if bf16_per_s is None:
        assert (found, said) == (None, [])
    else:
        assert found == offer.Offer(16, pytest.approx(160), pytest.approx(bf16_per_s), Parity(0.0, None, 8))
        assert said == [{"event": "bf16 is faster", "log_level": "info", **found.facts()}]
        assert found.facts()["set"] == "TAILGATE_PRECISION=bf16"


@pytest.mark.parametrize(
    ("fp32_s", "size"),
    [
        ({1: 0.01, 8: 0.08, 32: 0.15}, 32),
        ({1: 0.01, 8: 0.08, 32: 0.16}, 8),
        ({1: 0.2, 8: 1.0}, 1),
        ({1: 0.01, 8: 0.2, 32: 0.1}, 32),
    ],
)
def test_the_largest_batch_that_is_short_is_tried_so_that_a_large_model_starts_as_soon(fp32_s, size):
    assert offer.size_to_try(fp32_s) == size


@pytest.mark.parametrize(
    ("settings", "measured"),
    [
        ({}, True),
        ({"precision": "auto"}, True),
        ({"precision": "fp32"}, False),
        ({"precision": "bf16"}, False),
    ],
)
def test_whoever_has_chosen_a_precision_is_offered_none(clock, settings, measured):
    module = Model16(clock, [0.01] * 100)
    found, _ = offered(module, **settings)
    assert (found is not None) == measured
    assert (module.sizes != []) == measured


def test_on_cuda_bf16_is_measured_by_an_executor_of_that_device(clock, monkeypatch):
    executors = []

    def seconds_of(executor, _):
        executors.append(type(executor))
        return 0.01

    monkeypatch.setattr(selection, "_cuda", lambda *_: Tape())
    monkeypatch.setattr(offer, "seconds_of", seconds_of)
    found, _ = offered(Model16(clock, [0.01]))
    assert found is not None
    assert executors == [CudaEagerExecutor] * 3


def test_nothing_is_measured_where_the_processor_has_no_instructions_for_bf16(clock, monkeypatch):
    monkeypatch.setattr(offer, "computes_bf16", lambda _: False)
    module = Model16(clock, [])
    assert offered(module) == (None, [])


@pytest.mark.parametrize(
    ("capabilities", "computes"),
    [
        ({}, False),
        ({"avx512_f": True, "avx512_bf16": False}, False),
        ({"avx512_bf16": True}, True),
        ({"amx_bf16": True}, True),
        ({"architecture": "aarch64", "bf16": True}, True),
    ],
)
def test_a_processor_says_whether_it_computes_bf16(monkeypatch, capabilities, computes):
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: capabilities)
    assert offer.computes_bf16(CPU) is computes


@pytest.mark.parametrize("factor", [3.0, math.nan])
def test_a_faster_precision_with_wrong_answers_is_not_offered(clock, factor):
    found, said = offered(Model16(clock, [0.01] * 4, bf16_factor=factor))
    assert (found, said) == (None, [])


def test_a_model_that_fails_in_bf16_starts_all_the_same(clock):
    assert offered(Model16(clock, [])) == (None, [])  # pops from an empty list


def test_a_model_that_may_not_fit_into_memory_twice_is_not_copied(clock, monkeypatch):
    monkeypatch.setattr(offer, "MOST_WEIGHTS_BYTES", 3)
    module = Model16(clock, [])
    assert offered(module) == (None, [])


@pytest.mark.asyncio
async def test_the_offer_stands_in_the_metadata(monkeypatch):
    found = offer.Offer(32, 100.04, 250.06, Parity(0.0123456, 1.0, 8))
    async with running("tiny_models:perceptron", precision="fp32") as server:
        assert (await server.client.get("/")).json()["precision_offer"] is None
        pipeline = server.service.pipeline
        monkeypatch.setattr(pipeline, "engine", dataclasses.replace(pipeline.engine, offer=found))
        assert (await server.client.get("/")).json()["precision_offer"] == {
            "set": "TAILGATE_PRECISION=bf16",
            "batch_size": 32,
            "fp32_per_s": 100.0,
            "bf16_per_s": 250.1,
            "largest_error": 0.01235,
            "top1_agreement": 1.0,
            "inputs": 8,
        }
