"""Linear layers in int8: how far their answers are off, and that each is its input's own."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tailgate.service.errors import ConfigurationError
from tailgate.service.execution.build import build_engine
from tailgate.service.execution.trials.parity import choose_precision
from tailgate.service.models.int8 import RowwiseLinear, in_int8
from tailgate.service.settings import load_settings

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 70), st.integers(1, 20), st.booleans())


def layer_and_rows(shape, seed):
    rows, inputs, outputs, bias = shape
    torch.manual_seed(seed)
    return nn.Linear(inputs, outputs, bias=bias), torch.randn(rows, inputs) * 10 ** torch.randn(rows, 1)


@settings(deadline=None)
@given(SHAPES, st.integers(0, 1000))
def test_an_output_is_off_by_at_most_half_a_step_of_each_weight_and_each_input(shape, seed):
    linear, batch = layer_and_rows(shape, seed)
    with torch.inference_mode():
        error = (RowwiseLinear(linear)(batch) - linear(batch)).abs().double()
        weights, batch = linear.weight.abs().double(), batch.abs().double()
        weight_steps, input_steps = weights.amax(1) / 127, batch.amax(1, keepdim=True) / 127
        bound = batch.sum(1, keepdim=True) * weight_steps / 2 + input_steps * weights.sum(1) / 2
        bound += shape[1] * weight_steps * input_steps / 4
        rounding = 1e-5 * (batch @ weights.T + 1)
    assert bool((error <= bound + rounding).all())


@settings(deadline=None)
@given(SHAPES, st.integers(0, 1000), st.sampled_from([1e6, 1e-6, math.inf, math.nan]))
def test_an_answer_is_bit_for_bit_the_same_whatever_else_is_in_its_batch(shape, seed, neighbour):
    linear, batch = layer_and_rows(shape, seed)
    int8 = RowwiseLinear(linear)
    with torch.inference_mode():
        alone = torch.cat([int8(row[None]) for row in batch])
        beside = int8(torch.cat([batch * neighbour, batch]))[len(batch) :]
    assert torch.equal(alone, beside)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_stays_none_and_only_in_its_own_row(value):
    batch = torch.ones(2, 4)
    batch[0, 1] = value
    outputs = RowwiseLinear(nn.Linear(4, 3))(batch)
    assert not bool(outputs[0].isfinite().any())
    assert bool(outputs[1].isfinite().all())


def test_zeros_give_the_bias():
    linear = nn.Linear(4, 3)
    assert torch.equal(RowwiseLinear(linear)(torch.zeros(2, 4)), linear.bias.expand(2, 3))


def test_a_layer_takes_any_number_of_dimensions_as_the_original_does():
    linear, batch = nn.Linear(6, 3), torch.randn(2, 5, 4, 6)
    outputs = RowwiseLinear(linear)(batch)
    torch.testing.assert_close(outputs, linear(batch), atol=0.05, rtol=0.05)


def test_a_layer_in_two_places_is_one_still_and_attention_and_the_original_are_left_alone():
    linear = nn.Linear(4, 4)
    attention = nn.MultiheadAttention(4, 1)
    module = nn.ModuleList([linear, nn.Sequential(linear), attention])
    made = in_int8(module, "model")
    assert isinstance(made[0], RowwiseLinear)
    assert made[1][0] is made[0]
    assert type(made[2].out_proj) is type(attention.out_proj)
    assert module[0] is linear


@pytest.mark.parametrize(
    "module", [nn.Conv2d(3, 3, 1), nn.Linear(4, 4).double(), nn.MultiheadAttention(4, 1)]
)
def test_a_module_without_linear_layers_that_could_be_replaced_is_refused(module):
    with pytest.raises(
        ConfigurationError, match=r"TAILGATE_PRECISION: int8 is for linear layers .*use bf16 or fp32"
    ):
        in_int8(module, "model")


def test_a_module_that_is_one_linear_layer_is_replaced_as_a_whole():
    assert isinstance(in_int8(nn.Linear(4, 4), "model"), RowwiseLinear)


def test_int8_is_refused_on_cuda_with_what_to_use_instead():
    with pytest.raises(ConfigurationError, match=r"int8 runs on the CPU only, .* use fp16 or bf16 there"):
        choose_precision(load_settings({}, precision="int8"), torch.device("cuda"))


def test_a_served_model_in_int8_goes_through_the_same_check_of_its_answers():
    options = {"model": "tiny_models:perceptron", "device": "cpu", "precision": "int8"}
    engine = build_engine(load_settings({}, **options))
    assert engine.facts["precision"] == "int8"
    (result,) = engine.inference.run([np.ones(4, np.float32)])
    reference = build_engine(load_settings({}, **options | {"precision": "fp32"}))
    (expected,) = reference.inference.run([np.ones(4, np.float32)])
    assert result.outputs == pytest.approx(expected.outputs, rel=0.05, abs=0.05)
    with pytest.raises(ConfigurationError, match="int8 differs from the model as it came by"):
        build_engine(load_settings({}, **options, precision_max_error=1e-5))
