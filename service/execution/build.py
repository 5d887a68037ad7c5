"""Build what computes: model, graph, precision, executor, and the warm-up that shows it all works.

It runs in a thread while the service is live and not yet ready.
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
from tailgate.service.execution.executor import Executor
from tailgate.service.execution.gauges import gauges_of
from tailgate.service.execution.graph import ServedGraph
from tailgate.service.execution.isolate import Inference
from tailgate.service.execution.trials import parity as precision
from tailgate.service.execution.trials.batch_times import BatchTimes
from tailgate.service.execution.trials.offer import Offer
from tailgate.service.execution.trials.reference import reference_answers
from tailgate.service.execution.trials.selection import select
from tailgate.service.execution.trials.trial import Prepared
from tailgate.service.metrics import Reading
from tailgate.service.models.folding import fold_batch_norm
from tailgate.service.models.items import Item, Result
from tailgate.service.models.load import load_model, own_type
from tailgate.service.models.spec import OUTPUT, Model, NamedTensor, Served, TensorSpec, pack
from tailgate.service.processors import processors
from tailgate.service.settings import LARGEST_CHOSEN_BATCH, Settings

PARITY_INPUTS = 8


@dataclass(frozen=True, slots=True)
class Engine:
    """What computes, and what is known about it."""

    inference: Inference  # run by the dispatcher's thread
    served: Served
    facts: dict[str, str]  # for metadata and the info metric
    max_batch_size: int  # as set, or chosen at warm-up
    times: BatchTimes
    offer: Offer | None  # of a faster precision that nobody has chosen
    gauges: Callable[[], Iterable[Reading]]


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
    examples = model_examples(model, max(PARITY_INPUTS, cap))
    inputs = torch.from_numpy(np.stack(examples[:PARITY_INPUTS]))
    own = own_type(model)
    reference = ServedGraph(model, model.module, own, settings.top_k)
    expected = reference_answers(
        model, reference, inputs, min(PARITY_INPUTS, cap), settings.precision_max_error
    )
    with torch.inference_mode():
        names = tuple(reference.outputs(inputs[:1].clone()))
    folded = model.module
    if not reference.several:
        with torch.no_grad():
            folded = fold_batch_norm(model.module, reference.prepare(inputs[: min(2, cap)]))
    dtype = own if chosen == "fp32" else precision.DTYPES[chosen]
    body = copy.deepcopy(folded).to(dtype) if chosen != "fp32" else folded
    graph = ServedGraph(model, body, dtype, settings.top_k)
    graph.names = names
    return Prepared(model, device, chosen, graph, examples, expected)


def build_engine(settings: Settings) -> Engine:
    """Prepare the model, choose its executor, warm it up; raises as :func:`prepare` does."""
    log = structlog.get_logger("tailgate.engine")
    ready = prepare(settings)
    model, device = ready.model, ready.device
    if model.weights.startswith("random"):
        log.warning("RANDOM WEIGHTS: the answers mean nothing", model=model.name, weights=model.weights)
    selected = select(settings, ready)
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
        "input": _told(model),
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
    inference = Inference(selected.executor, settings.non_finite_outputs)
    if device.type == "cuda":
        inference = Inference(
            selected.executor,
            settings.non_finite_outputs,
            free_memory=torch.cuda.empty_cache,
            # After an error that stays with the process, waiting for the device raises it again.
            check_device=partial(torch.cuda.synchronize, device),
        )
    rehearsed = ready.examples[: min(2, selected.cap.size)]
    outputs = outputs_of(selected.executor, rehearsed, ready.graph.names or (OUTPUT,))
    served = Served(model.name, model.item, model.labels, model.image, model.named_inputs, outputs)
    rehearse(selected.executor, served, rehearsed)
    return Engine(
        inference=inference,
        served=served,
        facts=facts,
        max_batch_size=selected.cap.size,
        times=selected.times,
        offer=selected.offer,
        gauges=gauges_of(parity, selected.times, inference, device),
    )


def _told(model: Model) -> str:
    """Return the inputs for people: ``float32[4]``, or several by name."""
    if len(model.named_inputs) == 1:
        return str(model.item)
    return ", ".join(f"{name} {spec}" for name, spec in model.named_inputs)


def outputs_of(executor: Executor, items: Sequence[Item], names: Sequence[str]) -> tuple[NamedTensor, ...]:
    """Return the outputs of one item, as some items show them."""
    # Of an empty tensor, since an output that NumPy cannot have is found when its answer is written.
    specs = [
        TensorSpec(tuple(output.shape[1:]), torch.empty(0, dtype=output.dtype).numpy().dtype)
        for output in executor.run(items).all_outputs
    ]
    return tuple(NamedTensor(name, spec) for name, spec in zip(names, specs, strict=True))


def rehearse(executor: Executor, served: Served, items: Sequence[Item]) -> None:
    """Compute the bytes of some items' answers; ConfigurationError where the outputs cannot be written."""
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


def model_examples(model: Model, count: int) -> list[Item]:
    """Return seeded items: inputs as :func:`example_items` has them, in records where there are several."""
    specs = [tensor.spec for tensor in model.named_inputs]
    if len(specs) == 1:
        return example_items(specs[0], count)
    return list(pack([np.stack(example_items(spec, count)) for spec in specs], specs))


def example_items(spec: TensorSpec, count: int) -> list[Item]:
    """Return seeded inputs: soft patches of colour for bytes, normal noise for floats, else 0 and 1."""
    rng = np.random.default_rng(0)
    if spec.dtype == np.uint8 and len(spec.shape) == 3:
        height, width, channels = spec.shape
        coarse = rng.integers(0, 256, (count, 8, 8, channels), dtype=np.uint8)
        soft = coarse[:, np.arange(height) * 8 // height][:, :, np.arange(width) * 8 // width]
        return list(np.ascontiguousarray(soft))
    shape = (count, *spec.shape)
    numbers = rng.standard_normal(shape) if spec.dtype.kind == "f" else rng.integers(0, 2, shape)
    return [np.asarray(item) for item in numbers.astype(spec.dtype)]
