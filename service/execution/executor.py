"""Run one batch on the device: items into one buffer, through the graph, back to the host.

An executor is used by one thread at a time. It does not queue: that is the batcher's. Eager and compiled ones differ in how
the graph is called. A recorded one (:mod:`tailgate.service.execution.cuda`) also has buffers of its own on both ends, and two batches
under way.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from tailgate.service.execution.graph import GraphOutput, ServedGraph
from tailgate.service.models import TensorSpec
from tailgate.service.models.items import Item

GraphCall = Callable[[torch.Tensor], GraphOutput]


class Executor(Protocol):
    """What the batcher's thread calls.

    Attributes:
        name: for people, and as ``TAILGATE_EXECUTOR`` has it.
    """

    name: str

    def plan(self, measured_s: Mapping[int, float]) -> None:
        """Take note of what batches cost, in seconds by size, once that has been measured."""
        ...

    def run(self, items: Sequence[Item]) -> GraphOutput:
        """Return the results of all items, in their order, on the host."""
        ...


class Pending(Protocol):
    """A batch that the device has."""

    def finish(self) -> GraphOutput:
        """Wait for it; return the results of all its items, in their order, on the host. To be called once."""
        ...


@runtime_checkable
class PipelinedExecutor(Executor, Protocol):
    """An executor that need not wait for its device: the next batch can be put together while one runs."""

    def begin(self, items: Sequence[Item]) -> Pending:
        """Hand a batch to the device. Two may be under way; the earlier one is to be finished first."""
        ...


def allow_read_only_items() -> None:
    """Spend PyTorch's one warning a process about arrays that may not be written: items are views of requests' bytes."""
    item = np.empty(0)
    item.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.from_numpy(item)


def eager(graph: ServedGraph, device: torch.device) -> GraphCall:
    """Return the graph as PyTorch runs it: each operator dispatched from Python's thread."""
    return graph.to(device).to(memory_format=torch.channels_last)


class BufferedExecutor:
    """A graph with the buffer that its batches are put together in.

    Args:
        name: ``eager`` or ``compiled``, for people.
        call: runs a batch on the device.
        device: where ``call`` wants its batch.
        item: shape and type of one input.
        max_batch_size: rows of the buffer.
    """

    def __init__(
        self, name: str, call: GraphCall, device: torch.device, item: TensorSpec, max_batch_size: int
    ) -> None:
        allow_read_only_items()
        self.name = name
        self._call = call
        self._device = device
        dtype = torch.from_numpy(np.empty(0, item.dtype)).dtype
        # One buffer for the life of the service, page-locked for CUDA so that the copy to the device is one transfer.
        self._host = torch.empty((max_batch_size, *item.shape), dtype=dtype, pin_memory=device.type == "cuda")

    def plan(self, measured_s: Mapping[int, float]) -> None:
        """Change nothing: a batch of any size runs as it is."""

    def run(self, items: Sequence[Item]) -> GraphOutput:
        """Return the results of all items, in their order, on the host."""
        with torch.inference_mode():
            rows = self._host[: len(items)]
            gather(items, rows)
            batch = rows.to(self._device, non_blocking=True)
            return GraphOutput(*(self._own(part.cpu()) for part in self._call(batch)))

    def _own(self, part: torch.Tensor) -> torch.Tensor:
        """Copy what a model has passed through: the next batch overwrites the buffer while answers are written."""
        shared = part.untyped_storage().data_ptr() == self._host.untyped_storage().data_ptr()
        return part.clone() if shared else part


def gather(items: Sequence[Item], rows: torch.Tensor) -> None:
    """Copy items into the rows of a buffer in one call.

    PyTorch gives the interpreter lock back for the whole of it. NumPy does so for each row and has to get it again from a
    busy event loop: 32 rows of 12 KB cost 1.0 ms so on a CPU at saturation, a seventh of the batch, and 64 rows of 150 KB
    beside a GPU 5 ms instead of 1.
    """
    torch.stack([torch.from_numpy(item) for item in items], out=rows)
