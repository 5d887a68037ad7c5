"""Run one batch: items into one buffer, through the graph, and out again.

One thread uses an executor, and the dispatcher queues before it. On the CPU eager and compiled graphs run in
:class:`BufferedExecutor`; the executors on CUDA are in :mod:`tailgate.service.execution.cuda`.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

import numpy as np
import torch

from tailgate.service.execution.graph import GraphOutput, ServedGraph, torch_type
from tailgate.service.models import TensorSpec
from tailgate.service.models.items import Item

GraphCall = Callable[[torch.Tensor], GraphOutput]


class Executor(Protocol):
    """What the dispatcher's thread calls."""

    name: str  # as ``TAILGATE_EXECUTOR`` has it
    pipelined: bool  # two batches may be under way; the earlier one is to be finished first

    def plan(self, measured_s: Mapping[int, float]) -> None:
        """Take note of the measured seconds of batches, by size."""
        ...

    def run(self, items: Sequence[Item]) -> GraphOutput:
        """Return the results of all items, in their order, on the host."""
        ...

    def begin(self, items: Sequence[Item]) -> Callable[[], GraphOutput]:
        """Hand a batch to the device; call what is returned once, for what :meth:`run` returns."""
        ...


def allow_read_only_items() -> None:
    """Spend PyTorch's one warning per process about arrays that may not be written: items are views of bytes."""
    item = np.empty(0)
    item.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.from_numpy(item)


def eager(graph: ServedGraph, device: torch.device) -> GraphCall:
    """Return the graph as PyTorch runs it: each operator dispatched from Python's thread."""
    return graph.to(device).to(memory_format=torch.channels_last)


class BufferedExecutor:
    """A graph, ``eager`` or ``compiled``, that ``call`` runs on the CPU, with the buffer of its batches."""

    pipelined = False

    def __init__(self, name: str, call: GraphCall, item: TensorSpec, max_batch_size: int) -> None:
        allow_read_only_items()
        self.name = name
        self._call = call
        self._host = torch.empty((max_batch_size, *item.shape), dtype=torch_type(item))

    def plan(self, measured_s: Mapping[int, float]) -> None:
        """Change nothing: a batch of any size runs as it is."""

    def run(self, items: Sequence[Item]) -> GraphOutput:
        """Return the results of all items, in their order."""
        with torch.inference_mode():
            rows = self._host[: len(items)]
            gather(items, rows)
            return GraphOutput(*(self._own(part) for part in self._call(rows)))

    def begin(self, items: Sequence[Item]) -> Callable[[], GraphOutput]:
        """Put :meth:`run` off."""
        return partial(self.run, items)

    def _own(self, part: torch.Tensor) -> torch.Tensor:
        """Copy what a model has passed through: the next batch overwrites the buffer while answers are written."""
        shared = part.untyped_storage().data_ptr() == self._host.untyped_storage().data_ptr()
        return part.clone() if shared else part


def gather(items: Sequence[Item], rows: torch.Tensor) -> None:
    """Copy items into the rows of a buffer in one call, for which PyTorch gives the interpreter lock back once.

    NumPy gives it back per row, and waits for a busy event loop each time: 32 rows of 12 KB took 1.0 ms so on a saturated CPU,
    a seventh of the batch, and 64 rows of 150 KB beside a GPU 5 ms instead of 1.
    """
    torch.stack([torch.from_numpy(item) for item in items], out=rows)
