"""Models whose answers depend on the batch, or on luck, are refused; rounding is not."""

import collections
import dataclasses
import itertools
from typing import NamedTuple

import numpy as np
import pytest
import torch
from made import AlwaysTraining, Function
from structlog.testing import capture_logs
from torch import nn
from torch.nn import functional

from tailgate.service.errors import ConfigurationError
from tailgate.service.execution.build import build_engine, example_items
from tailgate.service.execution.graph import ServedGraph
from tailgate.service.execution.trials.reference import BATCH_MAX_ERROR, reference_answers
from tailgate.service.models import Model, TensorSpec
from tailgate.service.settings import load_settings

LIMIT = 0.2
COUNT = itertools.count()
ROW, SEQUENCE, PICTURE = (4,), (6, 32), (3, 16, 16)


def answers(module, shape=ROW, cap=8, labels=None, dtype=np.float32):
    model = Model("made", module.eval(), "none", input=TensorSpec(shape, np.dtype(dtype)), labels=labels)
    graph = ServedGraph(model, module, torch.float32, 5)
    inputs = torch.from_numpy(np.stack(example_items(model.item, 8)))
    return reference_answers(model, graph, inputs, cap, LIMIT)


def refusal(module, *arguments, **options):
    with pytest.raises(ConfigurationError) as refused:
        answers(module, *arguments, **options)
    text = str(refused.value)
    assert text.startswith("TAILGATE_MODEL: made ")
    return text


def encoder(**options):
    return nn.TransformerEncoder(
        nn.TransformerEncoderLayer(32, 4, 64, **options), 2, enable_nested_tensor=False
    )


def convolution(**options):
    return nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, **options), nn.AdaptiveAvgPool2d(1), nn.Flatten()


# Right in a batch, and wrong alone.


@pytest.mark.parametrize(
    ("module", "told"),
    [
        (
            Function(lambda x, layer: layer(x).squeeze(), nn.Linear(4, 1)),
            "returned [] for a batch of 1, expected [1]",
        ),
        (
            Function(lambda x, layer: layer(x).unsqueeze(1).squeeze(), nn.Linear(4, 3)),
            "returned [3] for a batch of 1, expected [1, 3]",
        ),
        (
            Function(lambda x: x.unsqueeze(-1).squeeze(0)),
            "returned [4, 1] for a batch of 1, expected [1, 4, 1]",
        ),
        (
            Function(lambda x: x if len(x) > 1 else x[:, :3]),
            "returned [1, 3] for a batch of 1, expected [1, 4]",
        ),
        (Function(lambda x: x if len(x) != 2 else x.T), "returned [4, 2] for a batch of 2, expected [2, 4]"),
        (
            Function(lambda x: x.view(8, 4) * 2),
            "fails on a batch of 1, each float32[4]: RuntimeError: ",
        ),
        (
            AlwaysTraining(nn.Linear(4, 8), nn.BatchNorm1d(8)),
            "fails on a batch of 1, each float32[4]: ValueError: ",
        ),
    ],
)
def test_a_model_that_takes_a_lone_input_for_something_else_is_refused_with_what_it_returned(module, told):
    text = refusal(module)
    assert told in text
    assert "squeeze()" in text or "batch norm in training mode" in text or "for a batch of 2" in text


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (AlwaysTraining(*convolution()), PICTURE),
        (nn.Sequential(*convolution(track_running_stats=False)), PICTURE),
        (
            Function(
                lambda x, layer: functional.batch_norm(layer(x), None, None, training=True),
                nn.Conv2d(3, 8, 3),
            ),
            PICTURE,
        ),
        (Function(lambda x: x - x.mean(0, keepdim=True)), ROW),
        (Function(lambda x: x - 0.1 * x.mean(0, keepdim=True)), ROW),
        (Function(lambda x: x.mean(0, keepdim=True).expand(len(x), -1)), ROW),
        (Function(lambda x: x / x.abs().max()), ROW),
        (Function(lambda x: functional.layer_norm(x, x.shape)), ROW),
        (nn.Sequential(nn.Linear(4, 3), nn.Softmax(0)), ROW),
        (Function(lambda x: x.cumsum(0)), ROW),
        (Function(lambda x: x.flip(0)), ROW),
        (Function(lambda x: x.roll(1, 0)), ROW),
        (Function(lambda x: x.sort(0).values), ROW),
        (Function(lambda x: torch.cdist(x, x).sum(1)), ROW),
        (Function(lambda x: x[torch.arange(len(x)) // 2 * 2]), ROW),
        (Function(lambda x: (x - x.mean(0)) > 0), ROW),
        (Function(lambda x: x.argmax(0).repeat(len(x), 1)), ROW),
        (Function(lambda x, layers: layers(x).mean(1), encoder()), SEQUENCE),
        (Function(lambda x, layers: layers(x)[0][:, -1], nn.LSTM(32, 16)), SEQUENCE),
        (Function(lambda x, layers: layers(x)[0][:, -1], nn.GRU(32, 16)), SEQUENCE),
        (Function(lambda x, layers: layers(x, x, x)[0], nn.MultiheadAttention(32, 4)), SEQUENCE),
    ],
)
def test_a_model_that_mixes_its_batch_is_refused_with_how_much_and_a_way_out(module, shape):
    text = refusal(module, shape)
    assert "answers inputs differently alone than in a batch of 8, by " in text
    assert f"at most {BATCH_MAX_ERROR} is allowed" in text
    assert "TAILGATE_MAX_BATCH_SIZE=1" in text
    answers(module, shape, cap=1)


@pytest.mark.parametrize(
    "module",
    [
        AlwaysTraining(nn.Linear(4, 64), nn.Dropout(0.3), nn.Linear(64, 3)),
        Function(lambda x: functional.dropout(x, 0.5)),
        Function(lambda x: x + torch.randn_like(x)),
        Function(lambda x: torch.bernoulli(x.sigmoid())),
        Function(lambda x, calls=COUNT: x + next(calls)),
    ],
)
@pytest.mark.parametrize("cap", [1, 2, 8])
def test_a_model_that_draws_random_numbers_or_keeps_something_is_refused_also_without_batches(module, cap):
    assert "answers the same inputs differently each time, by " in refusal(module, cap=cap)


# Rounding.


def in_bf16(*layers):
    def run(batch, *parts):
        with torch.autocast("cpu", torch.bfloat16):
            for part in parts:
                batch = part(batch)
        return batch

    return Function(run, *layers)


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Identity(), ROW),
        (nn.Sequential(*(layer for _ in range(8) for layer in (nn.Linear(4, 4), nn.ReLU()))), ROW),
        (nn.Sequential(*convolution()), PICTURE),
        (Function(lambda x, layers: layers(x).mean(1), encoder(batch_first=True)), SEQUENCE),
        (Function(lambda x, layers: layers(x)[0][:, -1], nn.LSTM(32, 16, batch_first=True)), SEQUENCE),
        (in_bf16(*convolution(), nn.Linear(8, 3)), PICTURE),
        (Function(lambda x: x * 0), ROW),
        (Function(lambda x: x.log()), ROW),
        (Function(lambda x: x.masked_fill(x > 0, -torch.inf)), ROW),
        (Function(lambda x: x.argmax(1)), ROW),
        (Function(lambda x: x > 0), ROW),
        (Function(lambda x: x.sum(-1)), ROW),
        (Function(lambda x: x.mul_(2)), ROW),
        (Function(lambda x: x.double()), ROW),
    ],
)
@pytest.mark.parametrize("cap", [1, 2, 3, 8])
def test_a_model_that_answers_each_input_for_itself_is_taken(module, shape, cap):
    assert len(answers(module, shape, cap=cap).outputs) == 8


def quantised():
    layers = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 3))
    return torch.ao.quantization.quantize_dynamic(layers)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("scripted", [False, True])
def test_a_quantised_model_may_differ_by_its_steps_and_that_is_said(scripted):
    module = torch.jit.script(quantised()) if scripted else quantised()
    with capture_logs() as log:
        answers(module)
    (entry,) = log
    assert entry["event"] == "answers depend a little on the batch that they are computed in"
    assert 0.001 < float(entry["largest_error"]) < entry["allowed"] == LIMIT


def test_answers_that_are_no_numbers_are_told_with_how_many():
    with capture_logs() as log:
        answers(Function(lambda x: x.log()))
    (entry,) = log
    assert (entry["log_level"], entry["inputs"]) == ("warning", "8 of 8")


# What a model may return.


class Outputs(NamedTuple):
    loss: object
    logits: object


@dataclasses.dataclass
class Record:
    scores: object


class Mapping(collections.OrderedDict):
    """As the outputs of well-known libraries are: keys are attributes too, and others raise."""

    def __getattr__(self, name):
        return self[name]


@pytest.mark.parametrize(
    ("returned", "told", "remedy"),
    [
        (
            lambda x: {"logits": x, "cache": (x,)},
            "a dict with keys ['logits', 'cache']",
            "model(x)['logits']",
        ),
        (
            lambda x: Mapping(loss=None, logits=x),
            "a Mapping with keys ['loss', 'logits']",
            "model(x)['logits']",
        ),
        (lambda x: {}, "a dict with keys []", "wrap the model"),
        (lambda x: (x, 2), "a tuple of 2 (Tensor, int)", "model(x)[0]"),
        (lambda x: [{"boxes": x}], "a list of 1 (dict)", "model(x)[0]"),
        (lambda x: (), "a tuple of 0 ()", "wrap the model"),
        (lambda x: Outputs(x, 1), "a Outputs with fields ['loss', 'logits']", "model(x).logits"),
        (Record, "a Record with fields ['scores']", "model(x).scores"),
        (lambda x: None, "None", "is there a return in forward()?"),
        (lambda x: x.numpy(), "a ndarray", "return a torch.Tensor"),
        (lambda x: 0.5, "a float", "return a torch.Tensor"),
        (lambda x: "cat", "a str", "return a torch.Tensor"),
        (torch.fft.fft, "a complex tensor", ".abs()"),
        (lambda x: x.to_sparse(), "a sparse tensor", ".to_dense()"),
        (lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.qint8), "a quantised tensor", ".dequantize()"),
        (lambda x: torch.nested.nested_tensor(list(x)), "a nested tensor", ".to_padded_tensor("),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_is_no_tensors_is_refused_with_what_it_is_and_how_to_make_one_of_it(returned, told, remedy):
    text = refusal(Function(returned))
    assert f"made returned {told}, expected " in text
    assert remedy in text


@pytest.mark.parametrize(
    ("returned", "labels", "told"),
    [
        (lambda x: x.sum(), None, "returned [] for a batch of 8, expected [8, …]; does it sum or average"),
        (
            lambda x: x.sum(0, keepdim=True),
            None,
            "returned [1, 4] for a batch of 8, expected [8, …]; does it sum",
        ),
        (lambda x: x.T, None, "returned [4, 8] for a batch of 8, expected [8, …]"),
        (lambda x: x[:, :0], None, "returned [8, 0] for a batch of 8, expected [8, …]; is its output empty?"),
        (lambda x: x, ("cat", "dog"), "returned [8, 4] for a batch of 8, expected [8, 2]"),
        (lambda x: x.sum(1), ("cat", "dog"), "returned [8] for a batch of 8, expected [8, 2]"),
        (lambda x: x.view(-1, 2, 2), ("cat", "dog"), "returned [8, 2, 2] for a batch of 8, expected [8, 2]"),
        (
            lambda x: x.view(1, 4) * 2,
            None,
            "; one input alone works: trace or export it with a dynamic batch dimension, or set TAILGATE",
        ),
    ],
)
def test_an_output_that_is_not_one_row_per_input_is_refused_with_its_shape(returned, labels, told):
    assert told in refusal(Function(returned), labels=labels)


# With the rest of the start.


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda x: x if len(x) != 5 else x[:, :3], "runs as it came, but not in fp32 in batches of 5"),
        (lambda x: x if len(x) <= 8 else x + x.mean(0), "differs from the model as it came by"),
        (lambda x: x if len(x) <= 8 else x[:8], "returned 8 rows for a batch of 16"),
        (
            lambda x: x if len(x) <= 8 else x[:, :2],
            "the output for one input is [2] in a batch of 16, expected [4]",
        ),
        (lambda x: x.view(-1, len(x) & -len(x), 4).reshape(-1, 4) / (len(x) != 3), "returns NaN or infinity"),
        (lambda x: torch.fft.fft(x).conj().imag, "its outputs cannot be written as an answer"),
    ],
)
def test_what_goes_wrong_in_batches_of_some_sizes_only_is_found_before_the_service_is_ready(
    named, function, told
):
    model = Model("made", Function(function), "none", input=TensorSpec(ROW, np.dtype(np.float32)))
    with pytest.raises(ConfigurationError) as refused:
        build_engine(load_settings({}, model=named(model), executor="eager", device="cpu", threads=1))
    assert told in str(refused.value)


def test_a_bare_module_that_does_not_take_pictures_is_refused_with_how_to_describe_its_input(named):
    with pytest.raises(
        ConfigurationError, match=r"a bare module, which is taken for a classifier of 224 x 224 images: "
    ):
        build_engine(load_settings({}, model=named(nn.Linear(4, 2)), device="cpu"))
