"""Which executor runs, and how large its batches are: both decided by measuring them at warm-up.

Each candidate runs every batch size once, and its answers are held against FP32's. Then all are timed in rounds, and the
fastest over all sizes is kept for the life of the process. A compiled model is used where ``tailgate compile`` left one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import geometric_mean

import numpy as np
import structlog
import torch

from tailgate.service.errors import CompileError, ConfigurationError, first_line
from tailgate.service.execution import compiled, libraries
from tailgate.service.execution.cuda import Cuda, CudaEagerExecutor, CudaGraphExecutor
from tailgate.service.execution.executor import BufferedExecutor, Executor, eager
from tailgate.service.execution.graph import ServedGraph
from tailgate.service.execution.trace_key import trace_key
from tailgate.service.execution.trials.batch_times import BatchTimes, Cap, fit, medians, worthwhile_cap
from tailgate.service.execution.trials.offer import Offer, offer_of
from tailgate.service.execution.trials.parity import FP32_MAX_ERROR, Parity
from tailgate.service.execution.trials.reference import batch_limit
from tailgate.service.execution.trials.trial import Candidate, Prepared, measure, trial_of
from tailgate.service.models import TensorSpec
from tailgate.service.models.items import Item
from tailgate.service.models.load import has_known_code
from tailgate.service.settings import LARGEST_CHOSEN_BATCH, Settings

COMPILE_COMMAND = "tailgate compile"


@dataclass(frozen=True, slots=True)
class Selected:
    """The executor that runs, warmed up."""

    executor: Executor
    parity: Parity  # its answers against FP32's
    times: BatchTimes
    cap: Cap  # the largest batch, set or chosen
    offer: Offer | None  # of another precision


def select(settings: Settings, ready: Prepared) -> Selected:
    """Measure the candidates and return the fastest whose answers are right.

    Raises:
        ConfigurationError: the precision's answers are too far from FP32's, or the executor that is asked for cannot be
            had. In ``auto`` one that cannot be used is left out with a warning.
    """
    log = structlog.get_logger("tailgate.selection")
    cuda = _cuda(settings, ready.device)
    trials = []
    for candidate in _candidates(settings, ready, cuda):
        try:
            trials.append(trial_of(candidate, settings, ready))
        except ConfigurationError as error:
            if candidate.name in ("eager", settings.executor):
                raise
            log.warning("executor left out", executor=candidate.name, reason=str(error))
    rounds_s = measure(
        [(trial.executor, trial.sizes) for trial in trials], ready.examples, settings.max_batch_size
    )
    seconds = [medians(each) for each in rounds_s]
    best = len(trials) - 1
    if settings.executor == "auto":
        best = min(range(len(trials)), key=lambda which: _speed(seconds[which], seconds[0]))
    for which, trial in enumerate(trials):
        milliseconds = {size: round(value * 1e3, 2) for size, value in seconds[which].items()}
        log.info("batch times", executor=trial.executor.name, taken=which == best, milliseconds=milliseconds)
    taken = trials[best]
    taken.executor.plan(seconds[best])
    cap = worthwhile_cap(rounds_s[best], settings.latency_objective_s, taken.none_larger)
    if settings.max_batch_size is not None:
        cap = Cap(settings.max_batch_size, "set")
    each_ms = {size: round(value / size * 1e3, 2) for size, value in seconds[best].items()}
    log.info("largest batch", size=cap.size, why=cap.why, milliseconds_per_request=each_ms)
    offer = offer_of(
        settings,
        ready,
        lambda graph: eager_executor(graph, ready.device, ready.model.item, cap.size, cuda),
        {size: value for size, value in seconds[best].items() if size <= cap.size},
    )
    return Selected(taken.executor, taken.parity, fit(seconds[best]), cap, offer)


def _candidates(settings: Settings, ready: Prepared, cuda: Cuda | None) -> Iterator[Candidate]:
    """Yield eager, and after it what may be faster and is not ruled out by the settings."""
    graph, device, item = ready.graph, ready.device, ready.model.item
    rows = settings.max_batch_size or LARGEST_CHOSEN_BATCH
    limit = others_limit = settings.precision_max_error
    if ready.precision == "fp32":
        limit, others_limit = batch_limit(graph.body, limit), min(limit, FP32_MAX_ERROR)
    # Before eager moves it: export wants the graph as it is.
    library = _library(settings, graph, device, ready.examples)
    yield Candidate("eager", lambda: eager_executor(graph, device, item, rows, cuda), limit)
    if library is not None:
        yield Candidate(
            "compiled",
            lambda: BufferedExecutor("compiled", library, item, rows),
            others_limit,
            f"remove it from {settings.cache_dir} and make it again with {COMPILE_COMMAND}, or use eager",
        )
    if cuda is not None and settings.executor != "eager":
        yield Candidate(
            "cuda-graph",
            lambda: CudaGraphExecutor(eager(graph, device), cuda, item, rows),
            others_limit,
            "a model can be recorded when nothing in it waits for the device and no shape depends on values; use eager",
        )


def eager_executor(
    graph: ServedGraph, device: torch.device, item: TensorSpec, rows: int, cuda: Cuda | None
) -> Executor:
    """Return what runs a graph operator by operator, in batches of at most ``rows``."""
    call = eager(graph, device)
    if cuda is not None:
        return CudaEagerExecutor(call, cuda, item, rows)
    return BufferedExecutor("eager", call, item, rows)


def _speed(seconds: Mapping[int, float], reference: Mapping[int, float]) -> float:
    """Return the geometric mean of the ratios of times, over the sizes that both have: below 1 is faster."""
    return geometric_mean(seconds[size] / reference[size] for size in seconds.keys() & reference.keys())


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
        if not asked and (settings.cache_dir is None or libraries.is_empty(settings.cache_dir)):
            hint = f"{COMPILE_COMMAND} makes one for these settings, in about a minute"
            log.info("no compiled model", hint=hint)
            return None
        key, _ = library_key(settings, graph, examples)
        return _loaded(require_cache(settings), key)
    except Exception as error:
        reason = f"looking for it failed: {type(error).__name__}: {first_line(error)}"
        if isinstance(error, CompileError):
            reason = str(error)
        if asked:
            raise ConfigurationError(f"TAILGATE_EXECUTOR: compiled is asked for, but {reason}") from error
        log.warning("no compiled model", reason=reason)
        return None


def _loaded(directory: Path, key: str) -> compiled.CompiledCall:
    """Load the library of a key; CompileError where none can be used."""
    reasons = []
    for path in libraries.found(directory, key):
        try:
            return compiled.load_library(path)
        except CompileError as error:
            reasons.append(str(error))
    missing = f"there is none for this model and these settings in {directory}"
    raise CompileError(f"{'; '.join(reasons) or missing}; make it with: {COMPILE_COMMAND}")


def require_cache(settings: Settings) -> Path:
    """Return the folder of compiled models; CompileError where the default is in a home that does not exist."""
    if settings.cache_dir is None:
        raise CompileError("TAILGATE_CACHE_DIR: there is no home directory for the default; name a folder")
    return settings.cache_dir


def _cuda(settings: Settings, device: torch.device) -> Cuda | None:
    if settings.executor == "cuda-graph" and device.type != "cuda":
        raise ConfigurationError(
            f"TAILGATE_EXECUTOR: cuda-graph is asked for, but the model runs on the {device.type}; use auto or eager, or "
            "TAILGATE_DEVICE=cuda where there is a CUDA device"
        )
    return Cuda(device) if device.type == "cuda" else None


def require_cpu(device: torch.device) -> None:
    """Raise ConfigurationError for any device but the CPU."""
    if device.type != "cpu":
        raise ConfigurationError(
            "TAILGATE_EXECUTOR: compiled models run on the CPU only; use auto, cuda-graph or eager, or TAILGATE_DEVICE=cpu"
        )


def library_key(
    settings: Settings, graph: ServedGraph, examples: Sequence[Item]
) -> tuple[str, torch.export.ExportedProgram | None]:
    """Return the key of a graph's library, and the exported graph where the key could not be had without."""
    # A factory's model may keep what it sees of the trace anywhere.
    if has_known_code(settings.model):
        key = trace_key(graph, _example(examples), settings.max_batch_size or LARGEST_CHOSEN_BATCH)
        if key is not None:
            return key, None
    program = export_graph(graph, examples, settings.max_batch_size)
    return compiled.cache_key(program), program


def export_graph(
    graph: ServedGraph, examples: Sequence[Item], cap: int | None
) -> torch.export.ExportedProgram:
    """Export the graph for every batch that may be asked for."""
    return compiled.export(graph, _example(examples), cap or LARGEST_CHOSEN_BATCH)


def _example(examples: Sequence[Item]) -> torch.Tensor:
    # Two inputs: a batch of one would be taken for a shape that never changes. Contiguous, as the executor's buffer is:
    # compiled code reads its input by the example's strides.
    return torch.from_numpy(np.stack(examples[:2])).contiguous()
