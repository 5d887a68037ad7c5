"""Models that take several tensors, and models that return several."""

import asyncio
from typing import NamedTuple

import numpy as np
import pytest
import torch
from made import Function
from serving import running
from torch import nn
from tritonclient.http import InferInput, InferResult
from tritonclient.http._utils import _get_inference_request

from tailgate.service.errors import ConfigurationError
from tailgate.service.execution import compiled
from tailgate.service.execution.build import model_examples
from tailgate.service.execution.cuda import bucket_sizes
from tailgate.service.execution.graph import GraphOutput, NoTensors, ServedGraph, named_tensors
from tailgate.service.execution.trace_key import trace_key
from tailgate.service.execution.trials.parity import compare
from tailgate.service.execution.trials.reference import reference_answers
from tailgate.service.models import Model, TensorSpec

IDS = TensorSpec((3,), np.dtype(np.int64))
WEIGHT = TensorSpec((), np.dtype(np.float32))
SWITCH = TensorSpec((2,), np.dtype(np.bool_))


class Scorer(nn.Module):
    """Takes three tensors by name, in another order than its arguments, and returns a number and a matrix."""

    def forward(self, weight, ids, switch):
        total = ids.sum(1).float() * weight
        return {"total": torch.where(switch.any(1), total, -total), "ids": ids[:, None] * 2}


def scorer(module=None):
    return Model(
        "scorer", module or Scorer(), "none", inputs={"ids": IDS, "switch": SWITCH, "weight": WEIGHT}
    )


ITEM = {"ids": [1, 2, 3], "switch": [True, False], "weight": 0.5}
OTHER = {"ids": [4, 5, 6], "switch": [False, False], "weight": 2.0}


class Named(NamedTuple):
    first: torch.Tensor
    second: torch.Tensor


@pytest.mark.parametrize(
    ("returned", "names"),
    [
        (lambda x: x, ["output"]),
        (lambda x: {"logits": x}, ["logits"]),
        (lambda x: {"b": x, "a": x * 2}, ["b", "a"]),
        (lambda x: (x, x * 2), ["output_0", "output_1"]),
        (lambda x: [x], ["output_0"]),
        (lambda x: Named(x, x), ["first", "second"]),
    ],
)
def test_each_tensor_that_a_model_returns_has_a_name(returned, names):
    assert list(named_tensors(returned(torch.ones(2)))) == names


def test_a_tensor_of_several_that_is_not_dense_is_named():
    with pytest.raises(NoTensors, match="returned a sparse tensor as 'b', expected a dense one"):
        named_tensors({"a": torch.ones(2), "b": torch.ones(2).to_sparse()})


def test_a_graph_takes_records_apart_where_they_lie():
    model = scorer()
    graph = ServedGraph(model, model.module, torch.float32, 5)
    items = torch.from_numpy(np.stack(model_examples(model, 4)))
    prepared = graph.prepare(items)
    assert {name: (part.dtype, tuple(part.shape[1:])) for name, part in prepared.items()} == {
        "ids": (torch.int64, (3,)),
        "switch": (torch.bool, (2,)),
        "weight": (torch.float32, ()),
    }
    assert prepared["ids"].data_ptr() == items.data_ptr()
    assert (
        ServedGraph(model, model.module, torch.bfloat16, 5).prepare(items)["weight"].dtype == torch.bfloat16
    )


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ({}, "inputs: expected names of arguments of the module, got []"),
        ({"no name": IDS}, "inputs: expected names of arguments of the module, got ['no name']"),
    ],
)
def test_inputs_without_usable_names_are_refused(inputs, told):
    with pytest.raises(ValueError, match="model 'm'") as refusal:
        Model("m", nn.Identity(), "none", inputs=inputs)
    assert told in str(refusal.value)


def test_a_model_has_one_description_of_its_inputs():
    with pytest.raises(ValueError, match="give either image, input or inputs, got several of them"):
        Model("m", nn.Identity(), "none", input=IDS, inputs={"ids": IDS})


def test_the_worst_of_several_outputs_is_the_error():
    nothing = torch.empty(2, 0)
    good, bad = torch.ones(2, 3), torch.tensor([[1.0], [3.0]])
    reference = GraphOutput(good, nothing, nothing, torch.tensor([[2.0], [4.0]]))
    assert compare(GraphOutput(good, nothing, nothing, bad), reference).largest_error == 0.25
    broken = GraphOutput(good, nothing, nothing, bad * torch.nan)
    assert np.isnan(compare(broken, reference).largest_error)


@pytest.mark.parametrize(
    ("second", "told"),
    [
        (lambda x: x.sum(), "returned [] as 'output_1' for a batch of 8"),
        (lambda x: x.sum(0, keepdim=True), "returned [1, 4] as 'output_1' for a batch of 8"),
        (lambda x: x - x.mean(0), "answers inputs differently alone than in a batch of 8"),
    ],
)
def test_every_output_has_one_row_per_input_which_is_its_own(second, told):
    module = Function(lambda x: (x, second(x)))
    model = Model("made", module.eval(), "none", input=TensorSpec((4,), np.dtype(np.float32)))
    graph = ServedGraph(model, module, torch.float32, 5)
    inputs = torch.from_numpy(np.stack(model_examples(model, 8)))
    with pytest.raises(ConfigurationError) as refusal:
        reference_answers(model, graph, inputs, 8, 0.2)
    assert told in str(refusal.value)


def test_several_tensors_can_be_exported_for_any_batch():
    model = scorer()
    graph = ServedGraph(model, model.module.eval(), torch.float32, 5)
    items = torch.from_numpy(np.stack(model_examples(model, 8)))
    program = compiled.export(graph, items[:2], 8).module()
    for size in bucket_sizes(8):
        for got, expected in zip(program(items[:size]), graph(items[:size]), strict=True):
            assert torch.equal(got, expected)


def test_a_model_of_several_tensors_is_known_again_by_its_operators():
    class Louder(Scorer):
        def forward(self, weight, ids, switch):
            return super().forward(weight * 2, ids, switch)

    keys = []
    for module in (Scorer(), Scorer(), Louder()):
        model = scorer(module.eval())
        graph = ServedGraph(model, model.module, torch.float32, 5)
        keys.append(trace_key(graph, torch.from_numpy(np.stack(model_examples(model, 2))), 2))
    assert keys[0] == keys[1] is not None
    assert keys[2] not in (keys[0], None)


def sent(items):
    """Return what tritonclient sends, its inputs in another order than the model's."""
    arrays = {
        name: np.array([item[name] for item in items], spec.dtype)
        for name, spec in (("weight", WEIGHT), ("switch", SWITCH), ("ids", IDS))
    }
    kinds = {"ids": "INT64", "switch": "BOOL", "weight": "FP32"}
    inputs = []
    for name, array in arrays.items():
        inputs.append(InferInput(name, list(array.shape), kinds[name]))
        inputs[-1].set_data_from_numpy(array)
    return _get_inference_request(inputs, "", None, 0, False, False, 0, None, None)


def test_outputs_are_told_by_their_names_and_other_ones_than_usual_are_an_error():
    order = iter([("a", "b"), ("b", "a"), ("a",)])
    module = Function(lambda x: {name: x if name == "a" else -x for name in next(order)})
    graph = ServedGraph(Model("m", module, "none", input=WEIGHT), module, torch.float32, 5)
    ones = torch.ones(2)
    graph.names = tuple(graph.outputs(ones))
    first, *_, second = graph(ones)
    assert (first.tolist(), second.tolist()) == ([1.0, 1.0], [-1.0, -1.0])
    with pytest.raises(NoTensors, match=r"returned \['a'\], expected \['a', 'b'\] as for other inputs"):
        graph(ones)


@pytest.mark.asyncio
async def test_several_tensors_are_served_by_all_protocols(named):
    async with running(named(scorer())) as server:
        post = server.client.post
        one = await post("/predict", json={"inputs": ITEM})
        batched = await post("/predict", json={"inputs": {name: [value] for name, value in ITEM.items()}})
        octets = await post("/predict", content=b"1", headers={"content-type": "application/octet-stream"})
        lacking = await post("/predict", json={"inputs": {"ids": [1, 2, 3]}})
        mixed = await post("/predict", json={"inputs": ITEM | {"ids": [[1, 2, 3]]}})
        body, length = sent([ITEM, OTHER])
        infer = await post(
            "/v2/models/scorer/infer", content=body, headers={"Inference-Header-Content-Length": str(length)}
        )
        first = await post("/v1/models/scorer:predict", json={"instances": [ITEM, OTHER]})
        metadata = (await server.client.get("/v2/models/scorer")).json()
    assert one.json() == {"model": "scorer", "outputs": {"total": 3.0, "ids": [[2, 4, 6]]}}
    assert batched.json()["outputs"] == {"total": [3.0], "ids": [[[2, 4, 6]]]}
    assert octets.status_code == 415
    assert "expected application/json, since the model has several inputs" in octets.json()["error"]
    assert (
        lacking.json()["error"]
        == "inputs: expected an object of ['ids', 'switch', 'weight'], got one of ['ids']"
    )
    assert mixed.json()["error"] == "inputs: expected all with a batch dimension of 1, or none"
    got = InferResult.from_response_body(
        infer.content, header_length=infer.headers["inference-header-content-length"]
    )
    assert got.as_numpy("total").tolist() == [3.0, -30.0]
    assert got.as_numpy("ids").tolist() == [[[2, 4, 6]], [[8, 10, 12]]]
    assert first.json()["predictions"][1] == {"total": -30.0, "ids": [[8, 10, 12]]}
    assert metadata["outputs"] == [
        {"name": "total", "datatype": "FP32", "shape": [-1]},
        {"name": "ids", "datatype": "INT64", "shape": [-1, 1, 3]},
    ]


@pytest.mark.asyncio
async def test_a_number_that_is_none_in_any_output_fails_its_own_item(named):
    class Root(nn.Module):
        def forward(self, weight, ids, switch):
            return {"ids": ids, "root": weight.sqrt()}

    bad = {**ITEM, "weight": -1.0}
    async with running(named(scorer(Root()))) as server:
        good, spoiled = await asyncio.gather(
            *(server.client.post("/predict", json={"inputs": each}) for each in (ITEM, bad))
        )
    assert good.status_code == 200
    assert spoiled.status_code == 500
    assert "NaN or infinity" in spoiled.json()["error"]
