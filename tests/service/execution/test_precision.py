"""Reduced precisions: which is chosen, how far off it is, and what is refused."""

import math

import pytest
import torch
from serving import metric_samples, running
from structlog.testing import capture_logs

from tailgate.service.errors import ConfigurationError
from tailgate.service.execution.build import build_engine, example_items
from tailgate.service.execution.graph import GraphOutput
from tailgate.service.execution.trials.parity import Parity, choose_device, choose_precision, compare, require
from tailgate.service.models import TensorSpec
from tailgate.service.settings import load_settings

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("wanted", "device", "chosen"),
    [
        ("auto", CPU, "fp32"),
        ("auto", CUDA, "fp16"),
        ("fp32", CUDA, "fp32"),
        ("bf16", CPU, "bf16"),
        ("fp16", CUDA, "fp16"),
    ],
)
def test_which_precision_a_device_gets(wanted, device, chosen):
    assert choose_precision(load_settings({}, precision=wanted), device) == chosen


def test_fp16_on_a_cpu_is_refused_with_what_to_use_instead_unless_it_is_forced():
    with pytest.raises(ConfigurationError, match=r"ten times slower .* use bf16 there, or .*=true"):
        choose_precision(load_settings({}, precision="fp16"), CPU)
    forced = load_settings({}, precision="fp16", allow_fp16_on_cpu=True)
    assert choose_precision(forced, CPU) == "fp16"


@pytest.mark.parametrize(
    ("wanted", "available", "chosen"), [("auto", False, CPU), ("auto", True, CUDA), ("cpu", True, CPU)]
)
def test_which_device_is_taken(monkeypatch, wanted, available, chosen):
    monkeypatch.setattr("torch.cuda.is_available", lambda: available)
    assert choose_device(load_settings({}, device=wanted)) == chosen


def test_cuda_without_a_cuda_device_is_refused(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ConfigurationError, match="TAILGATE_DEVICE: cuda is asked for, but "):
        build_engine(load_settings({}, device="cuda"))


def outputs(*rows, classes=None):
    tensor = torch.tensor(rows)
    chosen = torch.tensor(classes or []).reshape(len(rows), -1).long()
    return GraphOutput(tensor, torch.zeros(chosen.shape), chosen)


def test_the_error_is_a_share_of_the_largest_output():
    parity = compare(outputs([1.0, -8.0], [2.1, 0.0]), outputs([1.0, -10.0], [2.0, 0.0]))
    assert parity == Parity(pytest.approx(0.2), None, 2)


def test_agreement_counts_the_most_likely_classes():
    reference = outputs([1.0, 0.0], [0.0, 1.0], classes=[[0, 1], [1, 0]])
    assert compare(outputs([1.0, 0.0], [0.0, 1.0], classes=[[0, 1], [0, 1]]), reference).top1_agreement == 0.5


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (math.nan, "with bf16 the model returns NaN or infinity where fp32 does not"),
        (math.inf, "with bf16 the model returns NaN or infinity where fp32 does not"),
        (3.0, r"bf16 differs from the model as it came by 2 .*TAILGATE_PRECISION_MAX_ERROR"),
    ],
)
def test_an_error_beyond_the_limit_is_refused_and_so_is_one_that_is_no_number(value, reason):
    parity = compare(outputs([1.0, value]), outputs([1.0, 1.0]))
    with pytest.raises(ConfigurationError, match=reason):
        require(parity, 1.0, "bf16")


def test_infinities_and_nan_that_fp32_returns_as_well_are_no_difference():
    masked = outputs([-math.inf, math.nan, 2.0])
    assert compare(masked, masked).largest_error == 0
    assert compare(outputs([-math.inf, math.nan, 2.2]), masked).largest_error == pytest.approx(0.1)
    assert math.isinf(compare(outputs([math.inf, math.nan, 2.0]), masked).largest_error)


@pytest.mark.parametrize(
    ("build", "reason"), [(None, "is built without CUDA; install one"), ("13.0", "finds no CUDA device")]
)
def test_the_reason_for_no_cuda_names_the_build_where_that_is_it(monkeypatch, build, reason):
    monkeypatch.setattr("torch.version.cuda", build)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ConfigurationError, match=f"TAILGATE_DEVICE: cuda is asked for, but .*{reason}"):
        choose_device(load_settings({}, device="cuda"))


def test_an_error_of_exactly_the_limit_is_allowed():
    require(Parity(0.1, 1.0, 8), 0.1, "bf16")


@pytest.mark.parametrize(("precision", "forced"), [("bf16", False), ("fp16", True)])
@pytest.mark.asyncio
async def test_a_reduced_precision_serves_and_exports_how_far_off_it_is(precision, forced):
    async with running("tiny_models:perceptron", precision=precision, allow_fp16_on_cpu=forced) as server:
        answer = await server.predict([0.5, -1.0, 2.0, 0.25])
        samples = metric_samples((await server.client.get("/metrics")).text)
        facts = server.service.pipeline.engine.facts
    assert answer.status_code == 200
    assert facts["precision"] == precision
    assert 0 < samples[("tailgate_precision_largest_error", ())] < 0.1
    assert samples[("tailgate_precision_top1_agreement", ())] > 0.8


def test_a_bound_that_is_broken_stops_the_start():
    settings = load_settings(
        {}, model="tiny_models:perceptron", precision="bf16", precision_max_error=1e-9, device="cpu"
    )
    with pytest.raises(ConfigurationError, match="at most 1e-09 is allowed"):
        build_engine(settings)


# What else the engine says and refuses.


@pytest.mark.parametrize("cap", [1, 3])
def test_a_model_that_takes_no_larger_batch_than_the_cap_starts(cap):
    engine = build_engine(
        load_settings({}, model=f"tiny_models:at_most_{cap}", max_batch_size=cap, executor="eager", threads=1)
    )
    assert engine.facts["max_batch_size"] == str(cap)
    items = example_items(engine.served.item, cap)
    assert [answer.outputs.shape for answer in engine.inference.run(items)] == [(4,)] * cap


def test_random_weights_are_said_loudly():
    with capture_logs() as log:
        engine = build_engine(
            load_settings({}, model="torchvision:squeezenet1_1", input_size=64, device="cpu")
        )
    warnings = [entry for entry in log if entry["log_level"] == "warning"]
    assert [entry["event"] for entry in warnings] == ["RANDOM WEIGHTS: the answers mean nothing"]
    assert engine.facts["weights"] == "random (seed 0)"


@pytest.mark.parametrize(
    ("factory", "expected"),
    [
        ("miscounted_labels", "returned [8, 5] for a batch of 8, expected [8, 3]"),
        (
            "collapsing",
            "returned [1, 4] for a batch of 8, expected [8, …]; does it sum or average over the batch",
        ),
        ("wrong_input", "fails on a batch of 8, each float32[4]: RuntimeError: "),
    ],
)
def test_a_model_that_is_not_what_it_says_is_refused_at_the_start(factory, expected):
    with pytest.raises(ConfigurationError) as refusal:
        build_engine(load_settings({}, model=f"tiny_models:{factory}", device="cpu"))
    assert expected in str(refusal.value)


@pytest.mark.parametrize(
    ("shape", "dtype"), [((8, 8, 3), "uint8"), ((4,), "float32"), ((2, 2), "uint8"), ((5,), "int64")]
)
def test_examples_have_the_models_shape_and_are_the_same_each_time(shape, dtype):
    spec = TensorSpec(shape, torch.empty(0, dtype=getattr(torch, dtype)).numpy().dtype)
    first, again = example_items(spec, 3), example_items(spec, 3)
    assert [(item.shape, item.dtype) for item in first] == [(shape, dtype)] * 3
    assert all((one == other).all() for one, other in zip(first, again, strict=True))
