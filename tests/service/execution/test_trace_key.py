"""The key of a compiled model by its trace: whatever changes what a graph computes changes the key, wherever the change is."""

import copy
import ctypes
import os
import subprocess
import sys
import types
from functools import partial

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torch.nn.modules.module import register_module_forward_hook
from torchvision import models as zoo

from tailgate.service.execution import compiled
from tailgate.service.execution.build import prepare
from tailgate.service.execution.graph import ServedGraph
from tailgate.service.execution.trace_key import trace_key
from tailgate.service.execution.trials.selection import library_key
from tailgate.service.models import ImageInput, Model
from tailgate.service.settings import load_settings

OPTIONS = {"model": "torchvision:squeezenet1_1", "input_size": 32, "threads": 1, "max_batch_size": 2}
ROWS = torch.zeros(2, 4)
# A module of which a model takes a function and a number, as from any file.
ELSEWHERE = types.SimpleNamespace()


@pytest.fixture(autouse=True)
def _elsewhere():
    threads = torch.get_num_threads()
    ELSEWHERE.activation, ELSEWHERE.offset = lambda batch: batch.clamp(min=0), 0.5
    yield
    torch.set_num_threads(threads)


def key_of(module, example=ROWS, cap=4):
    return trace_key(module.eval(), example, cap)


class Parts(nn.Module):
    """A model that takes something from everywhere."""

    exponent = 2.0

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(4, 4), nn.Dropout(), nn.ReLU(), nn.Linear(4, 3))
        self.register_buffer("shift", torch.arange(4.0))
        self.array = np.ones(4, np.float32)
        self.tensors = [torch.ones(4)]
        self.norm = partial(functional.layer_norm, normalized_shape=[4], eps=1e-5)
        self.requires_grad_(requires_grad=False)

    def forward(self, batch):
        batch = ELSEWHERE.activation(batch) + ELSEWHERE.offset + self.shift
        batch = self.norm(batch + torch.from_numpy(self.array) + self.tensors[0]) ** self.exponent
        return self.layers(functional.gelu(batch * float(os.environ.get("PLANTED", "1"))))


def nudge(tensor):
    tensor.view(-1)[-1] += 1e-3


def otherwise(self, batch):
    return self.layers(batch)


def slow(batch):
    """Do work that no answer shows."""
    batch.sin().cos()
    return batch


def slow_where(condition):
    def forward(self, batch):
        return self.layers(slow(batch) if condition(len(batch)) else batch)

    return forward


PLANTED = {
    "a weight": lambda parts, _: nudge(parts.layers[0].weight),
    "a bias": lambda parts, _: nudge(parts.layers[3].bias),
    "a buffer": lambda parts, _: nudge(parts.shift),
    "an array": lambda parts, _: nudge(torch.from_numpy(parts.array)),
    "a tensor in a list": lambda parts, _: nudge(parts.tensors[0]),
    "strides of a weight": lambda parts, _: setattr(
        parts.layers[0], "weight", nn.Parameter(parts.layers[0].weight.t().contiguous().t(), False)
    ),
    "an attribute": lambda parts, _: setattr(parts, "exponent", 3.0),
    "an attribute of the class": lambda _, patch: patch.setattr(Parts, "exponent", 3.0),
    "an argument of a partial": lambda parts, _: parts.norm.keywords.update(eps=1e-3),
    "a function elsewhere": lambda *_: setattr(ELSEWHERE, "activation", functional.relu),
    "a number elsewhere": lambda *_: setattr(ELSEWHERE, "offset", 0.25),
    "a variable of the environment": lambda _, patch: patch.setenv("PLANTED", "2"),
    "a function of PyTorch": lambda _, patch: patch.setattr(functional, "gelu", functional.silu),
    "a method of a class of PyTorch": lambda _, patch: patch.setattr(
        nn.ReLU, "forward", lambda _, rows: rows.tanh()
    ),
    "forward of the class": lambda _, patch: patch.setattr(Parts, "forward", otherwise),
    "forward of the object": lambda parts, _: setattr(parts.layers, "forward", lambda rows: rows * 2),
    "a part": lambda parts, _: parts.layers.__setitem__(2, nn.ReLU6()),
    "a part more": lambda parts, _: parts.layers.append(nn.ReLU()),
    "a part twice": lambda parts, _: parts.layers.append(nn.Sequential(nn.ReLU(), nn.ReLU())),
    "an order": lambda parts, _: setattr(
        parts, "layers", nn.Sequential(*(parts.layers[at] for at in (2, 0, 3)))
    ),
    "the class of a part": lambda parts, _: setattr(parts.layers[2], "__class__", nn.Tanh),
    "the mode of a part": lambda parts, _: parts.layers[1].register_forward_pre_hook(
        lambda part, _: part.train() and None
    ),
    "a hook": lambda parts, _: parts.layers.register_forward_hook(lambda *_: _[2] * 2),
    "a hook before": lambda parts, _: parts.layers.register_forward_pre_hook(lambda _, rows: rows[0] * 2),
    "work that no answer shows": lambda parts, _: setattr(parts, "norm", slow),
    "work for large batches": lambda _, patch: patch.setattr(
        Parts, "forward", slow_where(lambda size: size >= 3)
    ),
    "work for a batch of one": lambda _, patch: patch.setattr(
        Parts, "forward", slow_where(lambda size: size == 1)
    ),
    "the precision within": lambda parts, _: setattr(parts, "norm", lambda rows: rows.bfloat16().float()),
}


@pytest.mark.parametrize("plant", PLANTED.values(), ids=PLANTED)
def test_whatever_changes_what_is_computed_changes_the_key(plant, monkeypatch):
    before, parts = key_of(Parts()), Parts()
    plant(parts, monkeypatch)
    assert key_of(parts) not in (None, before)


def test_work_for_some_batches_alone_is_told_from_the_same_work_for_others(monkeypatch):
    keys = set()
    for condition in (lambda _: False, lambda _: True, lambda size: size == 1, lambda size: size >= 3):
        monkeypatch.setattr(Parts, "forward", slow_where(condition))
        keys.add(key_of(Parts()))
    assert len(keys) == 4
    assert None not in keys


def test_a_hook_on_every_module_changes_the_key():
    before = key_of(Parts())
    handle = register_module_forward_hook(lambda *_: _[2] * 2)
    try:
        assert key_of(Parts()) not in (None, before)
    finally:
        handle.remove()


def test_what_runs_only_where_a_model_is_exported_changes_the_key(monkeypatch):
    before = key_of(Parts())
    monkeypatch.setattr(
        ELSEWHERE,
        "activation",
        lambda rows: rows.sin() if torch.compiler.is_exporting() else rows.clamp(min=0),
    )
    assert key_of(Parts()) not in (None, before)
    assert not torch.compiler.is_exporting()
    assert not torch.compiler.is_compiling()


@pytest.mark.parametrize(
    ("example", "cap"), [(ROWS, 8), (torch.zeros(2, 5, 4), 4), (ROWS.double(), 4), (torch.zeros(4, 2).t(), 4)]
)
def test_another_input_has_another_key(example, cap):
    class Sum(nn.Module):
        def forward(self, batch):
            return batch.sum(-1)

    assert key_of(Sum(), example, cap) not in (None, key_of(Sum()))


def test_the_same_graph_has_the_same_key_whatever_its_code_looks_like(monkeypatch):
    parts = Parts()
    before = key_of(parts)
    assert key_of(parts) == key_of(copy.deepcopy(parts)) == key_of(Parts()) == before
    # Renamed, moved and commented: the operators are the same.
    monkeypatch.setattr(ELSEWHERE, "activation", lambda rows: torch.clamp(rows, min=0))
    assert key_of(type("Renamed", (Parts,), {})()) == before


OPERATORS = (
    lambda rows, number: rows + number,
    lambda rows, number: number - rows,
    lambda rows, number: rows * number,
    lambda rows, number: rows.clamp(max=number),
    functional.leaky_relu,
    lambda rows, number: rows @ torch.full((4, 4), number),
    lambda rows, _: rows.flip(-1),
    lambda rows, _: rows.add_(rows.sum(-1, keepdim=True)),
    lambda rows, _: torch.cat([rows, rows], -1)[..., ::2],
)
PROGRAMS = st.lists(
    st.tuples(st.sampled_from(range(len(OPERATORS))), st.sampled_from((0.5, 1.0, 2.0))), max_size=5
)


class Program(nn.Module):
    """Operators, one after another."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps

    def forward(self, batch):
        for which, number in self.steps:
            batch = OPERATORS[which](batch, number)
        return batch


def meaning(steps):
    """Return steps without numbers that nobody looks at."""
    return [(which, number if which < 6 else None) for which, number in steps]


@hypothesis.given(one=PROGRAMS, other=PROGRAMS)
@hypothesis.settings(max_examples=150, deadline=None)
def test_two_programs_have_the_same_key_exactly_where_they_are_the_same(one, other):
    keys = [key_of(Program(steps), cap=2) for steps in (one, other)]
    assert None not in keys
    assert (keys[0] == keys[1]) == (meaning(one) == meaning(other))


def by_ctypes(batch):
    ctypes.memset(batch.data_ptr(), 0, 4)
    return batch


READING = {
    "item": lambda rows: rows * rows[0, 0].item(),
    "float": lambda rows: rows * float(rows.sum()),
    "if": lambda rows: rows if rows.sum() > 0 else -rows,
    "list": lambda rows: rows * rows.tolist()[0][0],
    "array": lambda rows: rows * torch.from_numpy(rows.numpy()),
    "numpy's own conversion": lambda rows: rows * torch.from_numpy(np.asarray(rows)),
    "exchange": lambda rows: rows * torch.from_numpy(np.from_dlpack(rows)),
    "address": by_ctypes,
    "mask": lambda rows: rows[rows > 0],
    "equal": lambda rows: rows if torch.equal(rows, rows) else -rows,
    "new shape in place": lambda rows: (rows * 2).unsqueeze_(0),
    "generator": lambda rows: rows + torch.rand(4, generator=torch.Generator()),
    "branches": lambda rows: torch.cond(rows.sum() > 0, lambda x: x + 1, lambda x: x - 1, (rows,)),
}


@pytest.mark.parametrize("read", READING.values(), ids=READING)
def test_code_that_reads_values_has_no_key(read, monkeypatch):
    monkeypatch.setattr(ELSEWHERE, "activation", read)
    assert key_of(Parts()) is None


def test_a_graph_is_as_it_was_before_it_had_a_key():
    class Keeps(nn.Module):
        def forward(self, batch):
            self.seen = batch
            return batch + 1

    keeps = Keeps()
    assert key_of(keeps) is not None
    assert not hasattr(keeps, "seen")
    parts, rows = Parts().eval(), torch.randn(3, 4)
    before, state = parts(rows), copy.deepcopy(parts.state_dict())
    key_of(parts)
    assert torch.equal(parts(rows), before)
    assert all(torch.equal(value, state[name]) for name, value in parts.state_dict().items())


def graph_of(**options):
    return prepare(load_settings({}, **OPTIONS | options)).graph


PIXELS = torch.zeros(2, 32, 32, 3, dtype=torch.uint8)


@pytest.fixture(scope="module")
def squeezenet():
    return graph_of()


@pytest.mark.parametrize(
    "options",
    [
        {"model": "torchvision:squeezenet1_0"},
        {"seed": 1},
        {"top_k": 3},
        {"precision": "bf16", "precision_max_error": 10.0},
    ],
    ids=str,
)
def test_what_settings_change_in_the_graph_changes_the_key(squeezenet, options):
    assert key_of(graph_of(**options), PIXELS, 2) not in (None, key_of(squeezenet, PIXELS, 2))


def test_another_process_finds_the_same_key(squeezenet):
    program = f"""
import torch
from tailgate.service.execution.build import prepare
from tailgate.service.execution.trace_key import trace_key
from tailgate.service.settings import load_settings
print(trace_key(prepare(load_settings({{}}, **{OPTIONS})).graph, torch.zeros(2, 32, 32, 3, dtype=torch.uint8), 2))
"""
    environment = {**os.environ, "PYTHONHASHSEED": "5"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True
    )
    torch.set_num_threads(1)
    assert done.stdout.split()[-1] == key_of(squeezenet, PIXELS, 2)


def test_a_graph_without_a_key_is_exported(squeezenet, monkeypatch):
    settings = load_settings({}, **OPTIONS)
    examples = list(PIXELS.numpy())
    assert library_key(settings, squeezenet, examples) == (key_of(squeezenet, PIXELS, 2), None)
    monkeypatch.setattr("tailgate.service.execution.trials.selection.trace_key", lambda *_: None)
    key, program = library_key(settings, copy.deepcopy(squeezenet), examples)
    assert key == compiled.cache_key(program)


def test_a_factorys_model_is_exported_whatever_it_is_made_of(monkeypatch):
    monkeypatch.setattr("tailgate.service.execution.trials.selection.trace_key", pytest.fail)
    settings = load_settings({}, model="tiny_models:perceptron", threads=1, max_batch_size=4)
    ready = prepare(settings)
    _, program = library_key(settings, ready.graph, ready.examples)
    assert program is not None


def parameters_of(name):
    return zoo.get_model_weights(name).DEFAULT.meta["num_params"]


# The smallest of each family.
FAMILIES = {
    zoo.get_model_builder(name).__module__: name
    for name in sorted(zoo.list_models(module=zoo), key=parameters_of, reverse=True)
}


@pytest.mark.parametrize("name", sorted(FAMILIES.values()))
def test_each_family_of_classifiers_has_a_key(name):
    # Weights are not drawn, which takes seconds. RegNet reads numbers out of its tensors while it is built.
    with torch.device("cpu" if name.startswith("regnet") else "meta"):
        options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        module = zoo.get_model(name, weights=None, **options).eval().to_empty(device="cpu")
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.detach().zero_()
    size = max(zoo.get_model_weights(name).DEFAULT.meta["min_size"][0], 64)
    graph = ServedGraph(Model(name, module, "none", image=ImageInput(size)), module, torch.float32, 5)
    assert key_of(graph, torch.zeros(1, size, size, 3, dtype=torch.uint8), 1) is not None
