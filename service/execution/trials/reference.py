"""What is expected of every executor: the answers of the model as it came, which are each input's own.

A model can break that: a ``squeeze()`` takes the batch dimension of a lone input, a batch norm normalises over the batch, a
transformer takes it for a sequence. So the start-up inputs run together, alone and in pairs, and have to agree.
"""

from collections.abc import Mapping, Sequence

import structlog
import torch
from torch import nn

from tailgate.service.errors import ConfigurationError, gist
from tailgate.service.execution.graph import GraphOutput, NoTensors, ServedGraph
from tailgate.service.execution.trials.parity import FP32_MAX_ERROR, compare, in_batches
from tailgate.service.models import Model
from tailgate.service.models.items import non_finite_rows

# As a share of the largest output. Rounding moves FP32 by 1e-6, and BF16 inside by 0.005; a batch norm in training mode moves
# it by 0.06 and more, a batch taken for a sequence by 0.3 (measured on small networks).
BATCH_MAX_ERROR = 0.02
SIZES = (1, 2)


def reference_answers(
    model: Model, graph: ServedGraph, inputs: torch.Tensor, cap: int, precision_max_error: float
) -> GraphOutput:
    """Return the answers to all inputs in batches of ``cap``, by the graph of a model in its own precision.

    Raises:
        ConfigurationError: the model fails, returns something else than one row per input, or answers an input differently
            each time or in each batch.
    """
    expected = _answers(model, graph, inputs, cap)
    limit = batch_limit(model.module, precision_max_error)
    rows = [output.shape[1:] for output in expected.all_outputs]
    largest_error = 0.0
    for size in SIZES[:cap]:
        error = compare(_answers(model, graph, inputs, size, rows), expected).largest_error
        if not error <= limit:
            again = compare(_answers(model, graph, inputs, cap, rows), expected).largest_error
            raise ConfigurationError(
                f"TAILGATE_MODEL: {model.name} {_why_not(size, error, again, limit, cap)}"
            )
        largest_error = max(largest_error, error)
    _warn(expected, largest_error, limit)
    return expected


def _answers(
    model: Model,
    graph: ServedGraph,
    inputs: torch.Tensor,
    size: int,
    rows: Sequence[Sequence[int]] | None = None,
) -> GraphOutput:
    """Run all inputs in batches of ``size``, whose outputs have the shapes of ``rows``, where these are known."""

    def run(batch: torch.Tensor) -> GraphOutput:
        nonlocal rows
        try:
            with torch.inference_mode():
                outputs = graph.outputs(batch.clone())
        except Exception as error:
            raise ConfigurationError(
                f"TAILGATE_MODEL: {model.name} {_failed(model, graph, batch, error)}"
            ) from error
        _require_shapes(model, outputs, len(batch), rows)
        rows = [output.shape[1:] for output in outputs.values()]
        with torch.inference_mode():
            return graph.ranked(tuple(outputs.values()))

    return in_batches(run, inputs, size)


def _failed(model: Model, graph: ServedGraph, batch: torch.Tensor, error: Exception) -> str:
    if isinstance(error, NoTensors):
        return str(error)
    text = f"fails on a batch of {len(batch)}, each {model.item}: {gist(error)}"
    if model.assumed:
        return (
            f"{text}; its factory returned a bare module, which is taken for a classifier of 224 x 224 images: return a "
            "tailgate.service.models.Model with its input described, as docs/explanation/service.md says"
        )
    if len(batch) == 1:
        return f"{text}; is a batch norm in training mode, or the batch of a fixed size?"
    if _runs(graph, batch[:1]):
        return (
            f"{text}; one input alone works: trace or export it with a dynamic batch dimension, or set "
            "TAILGATE_MAX_BATCH_SIZE=1"
        )
    return text


def _runs(graph: ServedGraph, batch: torch.Tensor) -> bool:
    try:
        with torch.inference_mode():
            graph.outputs(batch.clone())
    except Exception:  # noqa: BLE001 - whatever it is, a batch is not what fails
        return False
    return True


def _require_shapes(
    model: Model, outputs: Mapping[str, torch.Tensor], count: int, rows: Sequence[Sequence[int]] | None
) -> None:
    """Refuse outputs but one row per input, each of the same shape, and the first with a number per label."""
    if rows is not None and len(rows) != len(outputs):
        raise ConfigurationError(
            f"TAILGATE_MODEL: {model.name} returned {len(outputs)} outputs for a batch of {count}, expected {len(rows)} "
            "as for others"
        )
    for place, (name, output) in enumerate(outputs.items()):
        row = None if rows is None else rows[place]
        if row is None and model.labels and place == 0:
            row = (len(model.labels),)
        where = "" if len(outputs) == 1 else f" as {name!r}"
        _require_shape(model, list(output.shape), where, count, row)


def _require_shape(model: Model, shape: list[int], where: str, count: int, row: Sequence[int] | None) -> None:
    expected = [count, *(["…"] if row is None else row)]
    if shape[:1] == [count] and 0 not in shape and (row is None or shape[1:] == list(row)):
        return
    hint = ""
    if count == 1:
        hint = "; is there a squeeze() without a dimension, or a reshape to a fixed batch?"
    elif shape[:1] in ([], [1]):
        hint = "; does it sum or average over the batch, or take one input at a time (TAILGATE_MAX_BATCH_SIZE=1)?"
    elif 0 in shape:
        hint = "; is its output empty?"
    raise ConfigurationError(
        f"TAILGATE_MODEL: {model.name} returned {shape}{where} for a batch of {count}, expected [{', '.join(map(str, expected))}]{hint}"
    )


def _why_not(size: int, error: float, again: float, limit: float, cap: int) -> str:
    if not again <= limit:
        return (
            f"answers the same inputs differently each time, by {again:.2g} of the largest output; is dropout active, does "
            "it draw random numbers, or keep something from call to call? Was it exported in training mode?"
        )
    other = "alone" if size == 1 else "in pairs"
    return (
        f"answers inputs differently {other} than in a batch of {cap}, by {error:.2g} of the largest output, and at most "
        f"{limit:.2g} is allowed; does it normalise, sort or average over the batch (a batch norm in training mode, dimension "
        "0), or take the batch for a sequence (batch_first)? TAILGATE_MAX_BATCH_SIZE=1 serves it without batches"
    )


def _warn(expected: GraphOutput, largest_error: float, limit: float) -> None:
    log = structlog.get_logger("tailgate.reference")
    if largest_error > FP32_MAX_ERROR:
        log.warning(
            "answers depend a little on the batch that they are computed in",
            largest_error=f"{largest_error:.2g}",
            allowed=limit,
        )
    if bad := non_finite_rows(expected.outputs.numpy()):
        log.warning(
            "the model returns NaN or infinity for start-up inputs, which are random numbers",
            inputs=f"{len(bad)} of {len(expected.outputs)}",
            hint="a request with such an output is answered as TAILGATE_NON_FINITE_OUTPUTS says",
        )


def batch_limit(module: nn.Module, precision_max_error: float) -> float:
    """Return how far a module's answers may differ from batch to batch, as a share of the largest output.

    ``precision_max_error`` for a module with quantised layers, TorchScript's included: their steps depend on the largest
    number in a batch, and so do the answers, by up to 0.07.
    """
    scripted = isinstance(module, torch.jit.ScriptModule) and "quantized::" in str(module.inlined_graph)
    quantised = scripted or any("quantized" in type(part).__module__ for part in module.modules())
    return precision_max_error if quantised else min(BATCH_MAX_ERROR, precision_max_error)
