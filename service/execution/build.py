"""Build what computes: model, graph, precision, executor, and the warm-up that shows it all works.

Everything that imports PyTorch is reached from here. It runs in a thread while the service is live and not yet ready.
"""

import copy
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import structlog
import torch

from tailgate import __version__
from tailgate.service.codec.answers import answer_body
from tailgate.service.codec.inputs import Kind
from tailgate.service.errors import ConfigurationError, gist
from tailgate.service.execution import parity as precision
from tailgate.service.execution.accelerator import gpu_gauges
from tailgate.service.execution.batch_times import BatchTimes
from tailgate.service.execution.executor import Executor
from tailgate.service.execution.graph import GraphOutput, ServedGraph
from tailgate.service.execution.isolate import Inference
from tailgate.service.execution.parity import Parity
from tailgate.service.execution.reference import reference_answers
from tailgate.service.execution.selection import select
from tailgate.service.metrics import Counter, Gauge
from tailgate.service.models.folding import fold_batch_norm
from tailgate.service.models.items import Item, Result
from tailgate.service.models.load import load_model, own_type
from tailgate.service.models.spec import Model, Served, TensorSpec
from tailgate.service.processors import processors
from tailgate.service.settings import LARGEST_CHOSEN_BATCH, Precision, Settings

PARITY_INPUTS = 8


@dataclass(frozen=True, slots=True)
class Engine:
    """What computes, and what is known about it.

    Attributes:
        inference: run by the batcher's thread.
        served: what the protocol has to know.
        facts: for metadata and the info metric.
        max_batch_size: as set, or chosen at warm-up.
        times: what batches cost on this executor.
        gauges: reads the gauges of precision, batch times and accelerator, and what went wrong in batches.
    """

    inference: Inference
    served: Served
    facts: dict[str, str]
    max_batch_size: int
    times: BatchTimes
    gauges: Callable[[], Iterable[Gauge | Counter]]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A model that is loaded, folded and cast, and runs nowhere yet.

    Attributes:
        model: as it was loaded.
        device: where it will run.
        precision: fp32, fp16 or bf16.
        graph: in that precision, on the CPU.
        examples: inputs of the largest batch.
        expected: results of the first of them, by the model as it came.
    """

    model: Model
    device: torch.device
    precision: Precision
    graph: ServedGraph
    examples: list[Item]
    expected: GraphOutput


def prepare(settings: Settings) -> Prepared:
    """Load and convert the model.

    Raises:
        ConfigurationError: the model, its weights, the device or the precision cannot be had as asked.
    """
    device = precision.choose_device(settings)
    chosen = precision.choose_precision(settings, device)
    precision.set_strict_fp32()
    torch.set_num_threads(settings.model_threads)
    model = load_model(settings)
    cap = settings.max_batch_size or LARGEST_CHOSEN_BATCH
    examples = example_items(model.item, max(PARITY_INPUTS, cap))
    inputs = torch.from_numpy(np.stack(examples[:PARITY_INPUTS]))
    own = own_type(model)
    reference = ServedGraph(model, model.module, own, settings.top_k)
    expected = reference_answers(
        model, reference, inputs, min(PARITY_INPUTS, cap), settings.precision_max_error
    )
    with torch.no_grad():
        folded = fold_batch_norm(model.module, reference.prepare(inputs[: min(2, cap)]))
    dtype = own if chosen == "fp32" else precision.DTYPES[chosen]
    body = copy.deepcopy(folded).to(dtype) if chosen != "fp32" else folded
    graph = ServedGraph(model, body, dtype, settings.top_k)
    return Prepared(model, device, chosen, graph, examples, expected)


def build_engine(settings: Settings) -> Engine:
    """Prepare the model, choose its executor, warm it up.

    Raises:
        ConfigurationError: the model, its weights, the device or the precision cannot be had as asked.
    """
    log = structlog.get_logger("tailgate.engine")
    ready = prepare(settings)
    model, device = ready.model, ready.device
    if model.weights.startswith("random"):
        log.warning("RANDOM WEIGHTS: the answers mean nothing", model=model.name, weights=model.weights)
    selected = select(
        settings, ready.graph, model.item, device, ready.precision, ready.examples, ready.expected
    )
    facts = {
        "model": model.name,
        "weights": model.weights,
        "device": "cpu" if device.type == "cpu" else torch.cuda.get_device_name(device),
        "precision": ready.precision,
        "executor": selected.executor.name,
        "max_batch_size": str(selected.cap.size),
        "max_batch_size_reason": selected.cap.why,
        "threads": str(torch.get_num_threads()),
        "processors": str(processors()),
        "input": str(model.item),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "version": __version__,
    }
    parity = selected.parity
    log.info("engine", **facts)
    log.info(
        "precision",
        largest_error=f"{parity.largest_error:.2g}",
        top1_agreement=parity.top1_agreement,
        inputs=parity.inputs,
    )
    log.info(
        "batch time",
        per_item_ms=round(selected.times.per_item_s * 1e3, 3),
        fixed_ms=round(selected.times.fixed_s * 1e3, 3),
    )
    on_cuda = device.type == "cuda"
    inference = Inference(
        selected.executor,
        settings.non_finite_outputs,
        free_memory=torch.cuda.empty_cache if on_cuda else _nothing,
        # After an error that stays with the process, waiting for the device raises it again.
        check_device=partial(torch.cuda.synchronize, device) if on_cuda else _nothing,
    )
    served = Served(model.name, model.item, model.labels, model.image)
    rehearse(selected.executor, served, ready.examples[: min(2, selected.cap.size)])
    return Engine(
        inference=inference,
        served=served,
        facts=facts,
        max_batch_size=selected.cap.size,
        times=selected.times,
        gauges=_gauges(parity, selected.times, inference, device),
    )


def rehearse(executor: Executor, served: Served, items: Sequence[Item]) -> None:
    """Go with some items all the way to the bytes of their answers, as for requests.

    Raises:
        ConfigurationError: the outputs are of a kind that no answer can hold.
    """
    try:
        for result in Inference(executor, "ignore").results(executor.run(items), len(items)):
            assert isinstance(result, Result)
            answer_body(result, Kind.PIXELS, served, batched=False)
            for batched in (False, True):
                answer_body(result, Kind.TENSOR, served, batched=batched)
    except Exception as error:
        raise ConfigurationError(
            f"TAILGATE_MODEL: {served.name} runs, but its outputs cannot be written as an answer: {gist(error)}"
        ) from error


def example_items(spec: TensorSpec, count: int) -> list[Item]:
    """Return seeded inputs of the model's shape: soft patches of colour for bytes, normal noise for floats, else 0 and 1."""
    rng = np.random.default_rng(0)
    if spec.dtype == np.uint8 and len(spec.shape) == 3:
        height, width, channels = spec.shape
        coarse = rng.integers(0, 256, (count, 8, 8, channels), dtype=np.uint8)
        soft = coarse[:, np.arange(height) * 8 // height][:, :, np.arange(width) * 8 // width]
        return list(np.ascontiguousarray(soft))
    shape = (count, *spec.shape)
    numbers = rng.standard_normal(shape) if spec.dtype.kind == "f" else rng.integers(0, 2, shape)
    return [np.asarray(item) for item in numbers.astype(spec.dtype)]


def _nothing() -> None:
    """Do nothing: the host's allocator keeps no memory that another batch could not have, and a CPU does not fail alone."""


def _gauges(
    parity: Parity, times: BatchTimes, inference: Inference, device: torch.device
) -> Callable[[], Iterable[Gauge | Counter]]:
    fixed = [
        Gauge(
            "precision_largest_error", "Against FP32, as a share of the largest output.", parity.largest_error
        ),
        Gauge("batch_item_seconds", "a of t(n) = a n + b, the fitted seconds of a batch.", times.per_item_s),
        Gauge("batch_fixed_seconds", "b of t(n) = a n + b, the fitted seconds of a batch.", times.fixed_s),
    ]
    if parity.top1_agreement is not None:
        text = "Share of start-up inputs with FP32's most likely class."
        fixed.append(Gauge("precision_top1_agreement", text, parity.top1_agreement))
    on_cuda = device.type == "cuda"
    read_gpu = gpu_gauges(str(torch.cuda.get_device_properties(device).uuid)) if on_cuda else tuple
    return lambda: (*fixed, *_failures(inference), *read_gpu())


def _failures(inference: Inference) -> Iterable[Counter]:
    yield Counter(
        "failed_runs",
        "Runs in which the model raised, or returned no output of its batch.",
        inference.failed_runs,
    )
    yield Counter("out_of_memory", "Runs that did not fit into the device's memory.", inference.out_of_memory)
    yield Counter(
        "non_finite_outputs", "Items whose output held NaN or infinity.", inference.non_finite_outputs
    )
