"""Which executor runs, and how large its batches are: both decided by measuring them at warm-up.

Every candidate runs each batch size a few times on the same inputs; the one that is faster over all sizes is taken and kept
for the life of the process. Nothing is compiled here: a compiled model is used where ``tailgate compile`` has left one.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import structlog
import torch

from service import compiled, precision
from service.batch_times import BatchTimes, fit, worthwhile_cap
from service.buckets import bucket_sizes
from service.cuda_graphs import Cuda, CudaGraphExecutor, GraphDevice
from service.errors import ConfigurationError
from service.executor import BufferedExecutor, Executor, eager
from service.graph import GraphOutput, ServedGraph
from service.items import Item
from service.models import TensorSpec
from service.precision import Parity
from service.settings import LARGEST_CHOSEN_BATCH, Precision, Settings

RUNS = 5
# A batch that takes longer has no larger one tried after it, unless the cap is set: start-up must end.
LONGEST_BATCH_S = 0.5
COMPILE_COMMAND = "tailgate compile"


@dataclass(frozen=True, slots=True)
class Selected:
    """The executor that runs.

    Attributes:
        executor: warmed up.
        parity: its answers against FP32's of the model as it came.
        times: measured and fitted.
        max_batch_size: as set, or chosen.
    """

    executor: Executor
    parity: Parity
    times: BatchTimes
    max_batch_size: int


@dataclass(frozen=True, slots=True)
class _Candidate:
    """An executor that may run.

    Attributes:
        name: as ``TAILGATE_EXECUTOR`` has it.
        build: makes it; may take long, and may fail.
        remedy: what to do where it cannot be used.
    """

    name: str
    build: Callable[[], Executor]
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class _Trial:
    """What is known of a candidate: its answers against FP32's, and the seconds of each batch size."""

    executor: Executor
    parity: Parity
    seconds: Mapping[int, float]


def select(
    settings: Settings,
    graph: ServedGraph,
    item: TensorSpec,
    device: torch.device,
    chosen: Precision,
    examples: Sequence[Item],
    expected: GraphOutput,
) -> Selected:
    """Measure the candidates and return the fastest whose answers are right.

    Args:
        settings: what may run.
        graph: in the chosen precision, not moved to the device yet.
        item: one input.
        device: where it runs.
        chosen: the precision, for messages.
        examples: inputs of the largest batch, and no fewer than ``expected`` has.
        expected: FP32's results of the first of them.

    Raises:
        ConfigurationError: the precision's answers are too far from FP32's, or the executor that is asked for cannot be
            had. In ``auto`` one that cannot be used is left out with a warning.
    """
    log = structlog.get_logger("tailgate.selection")
    trials = []
    for candidate in _candidates(settings, graph, item, device, examples):
        try:
            trials.append(_try(candidate, settings, chosen, examples, expected))
        except ConfigurationError as error:
            if candidate.name in ("eager", settings.executor):
                raise
            log.warning("executor left out", executor=candidate.name, reason=str(error))
    best = min(trials, key=lambda trial: _speed(trial.seconds, trials[0].seconds))
    if settings.executor != "auto":
        best = trials[-1]
    for trial in trials:
        milliseconds = {size: round(value * 1e3, 2) for size, value in trial.seconds.items()}
        log.info("batch times", executor=trial.executor.name, taken=trial is best, milliseconds=milliseconds)
    times = fit(best.seconds)
    best.executor.plan(best.seconds)
    cap = settings.max_batch_size or worthwhile_cap(times.measured_s, settings.latency_objective_s)
    return Selected(best.executor, best.parity, times, cap)


def _candidates(
    settings: Settings,
    graph: ServedGraph,
    item: TensorSpec,
    device: torch.device,
    examples: Sequence[Item],
) -> list[_Candidate]:
    """Return eager, and after it what may be faster and is not ruled out by the settings."""
    rows = settings.max_batch_size or LARGEST_CHOSEN_BATCH
    # Before eager moves it: export wants the graph as it is.
    library = _library(settings, graph, device, examples)
    recorder = _recorder(settings, device)
    found = [_Candidate("eager", lambda: BufferedExecutor("eager", eager(graph, device), device, item, rows))]
    if library is not None:
        found.append(
            _Candidate(
                "compiled",
                lambda: BufferedExecutor("compiled", library, device, item, rows),
                f"remove it from {settings.cache_dir} and make it again with {COMPILE_COMMAND}, or use eager",
            )
        )
    if recorder is not None:
        found.append(
            _Candidate(
                "cuda-graph",
                lambda: CudaGraphExecutor(eager(graph, device), recorder, item, rows),
                "a model can be recorded when nothing in it waits for the device and no shape depends on values; use eager",
            )
        )
    return found


def _try(
    candidate: _Candidate,
    settings: Settings,
    chosen: Precision,
    examples: Sequence[Item],
    expected: GraphOutput,
) -> _Trial:
    """Build a candidate, hold its answers against FP32's, and time it.

    Raises:
        ConfigurationError: it fails, or its answers are too far off; of eager: the precision is wrong for this model, or the
            device is too small for it.
    """
    try:
        executor = candidate.build()
        inputs = examples[: len(expected.outputs)]
        size = min(len(inputs), settings.max_batch_size or LARGEST_CHOSEN_BATCH)
        parity = precision.compare(precision.in_batches(executor.run, inputs, size), expected)
        limit = settings.precision_max_error
        if chosen == "fp32" and candidate.name != "eager":
            limit = min(limit, precision.FP32_MAX_ERROR)
        precision.require(parity, limit, chosen)
        return _Trial(executor, parity, warm_up(executor, examples, settings.max_batch_size))
    except Exception as error:
        if candidate.name == "eager":
            if isinstance(error, torch.OutOfMemoryError):
                raise ConfigurationError(
                    f"TAILGATE_MAX_BATCH_SIZE: the device's memory is too small for the model or a batch of it "
                    f"({_first_line(error)}); set a smaller one, or a reduced TAILGATE_PRECISION"
                ) from None
            raise
        raise ConfigurationError(
            f"TAILGATE_EXECUTOR: {candidate.name} cannot be used: {_first_line(error)}; {candidate.remedy}"
        ) from error


def _first_line(error: Exception) -> str:
    """Return what an error says, without the pages of advice that CUDA's bring along."""
    return next(iter(str(error).splitlines()), repr(error))


def warm_up(executor: Executor, examples: Sequence[Item], cap: int | None) -> dict[int, float]:
    """Run every bucket a few times; return the median seconds of each, as far as the device's memory holds them.

    Args:
        executor: what runs.
        examples: inputs of the largest batch.
        cap: the largest batch that will be asked for; None where that is to be chosen from what is measured.

    Raises:
        OutOfMemoryError: a batch that will be asked for does not fit.
    """
    seconds: dict[int, float] = {}
    for size in bucket_sizes(cap or LARGEST_CHOSEN_BATCH):
        try:
            seconds[size] = _median_s(executor, examples[:size])
        except torch.OutOfMemoryError:
            if cap is not None or not seconds:
                raise
            break
        if cap is None and seconds[size] > LONGEST_BATCH_S:
            break
    return seconds


def _median_s(executor: Executor, batch: Sequence[Item]) -> float:
    elapsed = []
    for _ in range(RUNS):
        start_s = time.perf_counter()
        executor.run(batch)
        elapsed.append(time.perf_counter() - start_s)
    return float(np.median(elapsed))


def _speed(seconds: Mapping[int, float], reference: Mapping[int, float]) -> float:
    """Return the geometric mean of the ratios of times, over the sizes that both have: below 1 is faster."""
    common = seconds.keys() & reference.keys()
    return math.exp(sum(math.log(seconds[size] / reference[size]) for size in common) / len(common))


def _library(
    settings: Settings, graph: ServedGraph, device: torch.device, examples: Sequence[Item]
) -> compiled.CompiledCall | None:
    """Return the compiled graph where one lies in the cache, and say what is missing where it should."""
    log = structlog.get_logger("tailgate.selection")
    asked = settings.executor == "compiled"
    if asked:
        require_cpu(device)
    if settings.executor in ("eager", "cuda-graph") or device.type != "cpu":
        return None
    try:
        if not asked and not any(settings.cache_dir.glob("*.so")):
            hint = f"{COMPILE_COMMAND} makes one for these settings, in about a minute"
            log.info("no compiled model", hint=hint)
            return None
        program = export_graph(graph, examples, settings.max_batch_size)
        path = compiled.library_path(settings.cache_dir, compiled.cache_key(program))
        if not path.is_file():
            raise compiled.CompileError(  # noqa: TRY301 - one way to fall back
                f"there is none for this model and these settings in {settings.cache_dir}; make it with: {COMPILE_COMMAND}"
            )
        return compiled.load_library(path)
    except Exception as error:
        known = isinstance(error, compiled.CompileError)
        reason = (
            str(error) if known else f"looking for it failed: {type(error).__name__}: {_first_line(error)}"
        )
        if asked:
            raise ConfigurationError(f"TAILGATE_EXECUTOR: compiled is asked for, but {reason}") from error
        log.warning("no compiled model", reason=reason)
        return None


def _recorder(settings: Settings, device: torch.device) -> GraphDevice | None:
    """Return what records CUDA graphs, None where none are wanted or none can be had."""
    if settings.executor == "cuda-graph" and device.type != "cuda":
        raise ConfigurationError(
            f"TAILGATE_EXECUTOR: cuda-graph is asked for, but the model runs on the {device.type}; use auto or eager, or "
            "TAILGATE_DEVICE=cuda where there is a CUDA device"
        )
    if settings.executor not in ("auto", "cuda-graph") or device.type != "cuda":
        return None
    return Cuda(device)


def require_cpu(device: torch.device) -> None:
    """Refuse to compile for another device than the CPU.

    Raises:
        ConfigurationError: it is another.
    """
    if device.type != "cpu":
        raise ConfigurationError(
            "TAILGATE_EXECUTOR: compiled models run on the CPU only; use auto, cuda-graph or eager, or TAILGATE_DEVICE=cpu"
        )


def export_graph(
    graph: ServedGraph, examples: Sequence[Item], cap: int | None
) -> torch.export.ExportedProgram:
    """Export the graph for every batch that may be asked for."""
    # Two inputs: a batch of one would be taken for a shape that never changes. And contiguous, as the executor's buffer
    # is: compiled code reads its input by the example's strides, whatever the input's own are.
    example = torch.from_numpy(np.stack(examples[:2])).contiguous()
    graph = graph.eval().to(memory_format=torch.channels_last)
    return compiled.export(graph, example, cap or LARGEST_CHOSEN_BATCH)
