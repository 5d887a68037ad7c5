"""Build what computes: model, graph, precision, executor, and the warm-up that shows it all works.

Everything that imports PyTorch is reached from here. It runs in a thread while the service is live and not yet ready.
"""

import copy
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import structlog
import torch

from service import __version__, precision
from service.accelerator import gpu_gauges
from service.errors import ConfigurationError
from service.executor import EagerExecutor
from service.graph import GraphOutput, ServedGraph
from service.inference import Inference
from service.items import Item
from service.memory import keep_freed_memory
from service.metrics import Gauge
from service.models.folding import fold_batch_norm
from service.models.load import load_model
from service.models.spec import Model, TensorSpec
from service.precision import Parity
from service.protocol import Served
from service.settings import Precision, Settings

WARM_UP_RUNS = 3
PARITY_INPUTS = 8


@dataclass(frozen=True, slots=True)
class Engine:
    """What computes, and what is known about it.

    Attributes:
        inference: run by the batcher's thread.
        served: what the protocol has to know.
        facts: for metadata and the info metric.
        gauges: reads the gauges of precision and accelerator.
    """

    inference: Inference
    served: Served
    facts: dict[str, str]
    gauges: Callable[[], Iterable[Gauge]]


def build_engine(settings: Settings) -> Engine:
    """Load, convert, check the precision, warm up.

    Raises:
        ConfigurationError: the model, its weights, the device or the precision cannot be had as asked.
    """
    log = structlog.get_logger("tailgate.engine")
    device = precision.choose_device(settings)
    chosen = precision.choose_precision(settings, device)
    precision.set_strict_fp32()
    torch.set_num_threads(settings.model_threads)
    kept = keep_freed_memory()
    model = load_model(settings)
    if model.weights.startswith("random"):
        log.warning("RANDOM WEIGHTS: the answers mean nothing", model=model.name, weights=model.weights)
    examples = example_items(model.item, max(PARITY_INPUTS, settings.max_batch_size))
    executor, parity = _build_executor(settings, model, device, chosen, examples)
    precision.require(parity, settings.precision_max_error, chosen)
    batch_seconds = _warm_up(executor, examples[: settings.max_batch_size])
    facts = {
        "model": model.name,
        "weights": model.weights,
        "device": "cpu" if device.type == "cpu" else torch.cuda.get_device_name(device),
        "precision": chosen,
        "executor": "eager",
        "threads": str(torch.get_num_threads()),
        "input": str(model.item),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "version": __version__,
    }
    milliseconds = {size: round(seconds * 1e3, 2) for size, seconds in batch_seconds.items()}
    log.info("engine", **facts, keeps_freed_memory=kept, batch_ms=milliseconds)
    log.info(
        "precision",
        largest_error=f"{parity.largest_error:.2g}",
        top1_agreement=parity.top1_agreement,
        inputs=parity.inputs,
    )
    return Engine(
        inference=Inference(executor),
        served=Served(model.name, model.item, model.labels, model.image),
        facts=facts,
        gauges=_gauges(parity, device),
    )


def example_items(spec: TensorSpec, count: int) -> list[Item]:
    """Return seeded inputs of the model's shape: soft patches of colour for bytes, normal noise for floats."""
    rng = np.random.default_rng(0)
    if spec.dtype.kind == "f":
        return list(rng.standard_normal((count, *spec.shape)).astype(spec.dtype))
    if spec.dtype == np.uint8 and len(spec.shape) == 3:
        height, width, channels = spec.shape
        coarse = rng.integers(0, 256, (count, 8, 8, channels), dtype=np.uint8)
        return list(coarse[:, np.arange(height) * 8 // height][:, :, np.arange(width) * 8 // width])
    return list(rng.integers(0, 2, (count, *spec.shape)).astype(spec.dtype))


def _build_executor(
    settings: Settings, model: Model, device: torch.device, chosen: Precision, examples: Sequence[Item]
) -> tuple[EagerExecutor, Parity]:
    """Return the executor, and how its answers compare with those of the model as it came, in FP32 on the CPU."""
    inputs = torch.from_numpy(np.stack(examples[:PARITY_INPUTS]))
    dtype = precision.DTYPES[chosen]
    reference = ServedGraph(model, model.module, torch.float32, settings.top_k).eval()
    expected = _first_run(model, reference, inputs)
    with torch.no_grad():
        folded = fold_batch_norm(model.module, reference.prepare(inputs[:2]))
    body = copy.deepcopy(folded).to(dtype) if chosen != "fp32" else folded
    graph = ServedGraph(model, body, dtype, settings.top_k)
    executor = EagerExecutor(graph, device, model.item, len(examples))
    return executor, precision.compare(executor.run(examples[:PARITY_INPUTS]), expected)


def _first_run(model: Model, graph: ServedGraph, inputs: torch.Tensor) -> GraphOutput:
    """Run the model as it came, and hold what it returns against what it says of itself."""
    try:
        with torch.inference_mode():
            result: GraphOutput = graph(inputs.clone())
    except Exception as error:
        raise ConfigurationError(
            f"TAILGATE_MODEL: {model.name} fails on a batch of {len(inputs)} inputs {model.item}: {error!r}"
        ) from error
    labels = [len(model.labels)] if model.labels else ["…"]
    shape = list(result.outputs.shape)
    if shape[:1] != [len(inputs)] or (model.labels and shape[1:] != labels):
        raise ConfigurationError(
            f"TAILGATE_MODEL: {model.name} returned {shape} for a batch of {len(inputs)} inputs, "
            f"expected {[len(inputs), *labels]}"
        )
    return result


def _warm_up(executor: EagerExecutor, examples: Sequence[Item]) -> dict[int, float]:
    """Run every bucket a few times; return the median seconds of each."""
    sizes = sorted({2**power for power in range(len(examples).bit_length())} | {len(examples)})
    seconds = {}
    for size in sizes:
        elapsed = []
        for _ in range(WARM_UP_RUNS):
            start_s = time.perf_counter()
            executor.run(examples[:size])
            elapsed.append(time.perf_counter() - start_s)
        seconds[size] = sorted(elapsed)[WARM_UP_RUNS // 2]
    return seconds


def _gauges(parity: Parity, device: torch.device) -> Callable[[], Iterable[Gauge]]:
    text = "Against FP32, as a share of the largest output."
    fixed = [Gauge("precision_largest_error", text, parity.largest_error)]
    if parity.top1_agreement is not None:
        text = "Share of start-up inputs with FP32's most likely class."
        fixed.append(Gauge("precision_top1_agreement", text, parity.top1_agreement))
    read_gpu = gpu_gauges(device.index or 0) if device.type == "cuda" else tuple
    return lambda: (*fixed, *read_gpu())
