"""Executors on CUDA: two batches may be under way, the next one put together and copied beside the running one.

An eager model of 150 operators is 150 launches that each take the interpreter lock. A CUDA graph is one: the kernels of each
batch bucket are recorded once at warm-up. Shapes and addresses must not change, so each bucket has a recording over buffers
that live as long as the service, and each batch under way has its own buffers up to the recorded ones.
NVIDIA, "CUDA C++ Programming Guide", section "CUDA Graphs"; PyTorch, "CUDA semantics".
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import structlog
import torch

from tailgate.service.execution.executor import GraphCall, allow_read_only_items, gather
from tailgate.service.execution.graph import GraphOutput, torch_type
from tailgate.service.models import TensorSpec
from tailgate.service.models.items import Item

# Before recording: libraries choose their algorithms and allocate their workspaces in the first runs.
WARM_UP_RUNS = 3
BATCHES_UNDER_WAY = 2


class Recording(NamedTuple):
    """One bucket: ``replay`` runs it on its input, and ``outputs`` hold its results until any recording runs."""

    replay: Callable[[], None]
    outputs: GraphOutput


class Cuda:
    """All that touches CUDA. The recordings share one pool of memory, so that the largest bucket's serves the others."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()
        # The processor only copies from now on. With more threads PyTorch shares out every row, and they spin in between:
        # 14 processors busy with nothing, and a third less throughput.
        torch.set_num_threads(1)
        self._copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]

    def host_buffer(self, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
        """Return page-locked zeros: copies from and to other memory are neither one transfer nor asynchronous."""
        return torch.zeros(tuple(shape), dtype=dtype, pin_memory=True)

    def device_buffer(self, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
        """Return zeros on the device."""
        return torch.zeros(tuple(shape), dtype=dtype, device=self._device)

    def record(self, run: Callable[[], GraphOutput]) -> Recording:
        """Warm ``run`` up on a stream of its own, as recording demands, and record it."""
        aside = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP_RUNS):
                run()
        torch.cuda.current_stream(self._device).wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        # thread_local: what other threads ask of CUDA meanwhile, such as the memory in use, does not spoil the recording.
        recording = torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local")
        # Inside the present stream: after a recording that fails, PyTorch 2.11 leaves its own as the current one.
        with torch.cuda.stream(torch.cuda.current_stream(self._device)), recording:
            outputs = run()
        return Recording(graph.replay, outputs)

    def upload(self, target: torch.Tensor, source: torch.Tensor, *, beside: bool) -> None:
        """Copy in turn; or ``beside`` what is computed, on a stream whose end the computing stream waits for."""
        if not beside:  # an idle device would only wait for the other stream
            target.copy_(source, non_blocking=True)
            return
        with torch.cuda.stream(self._copies):
            target.copy_(source, non_blocking=True)
            self._copied.record(self._copies)
        torch.cuda.current_stream(self._device).wait_event(self._copied)

    def download(self, part: torch.Tensor) -> torch.Tensor:
        """Return a page-locked copy, whose numbers are there once the device has come to this point."""
        return part.to("cpu", non_blocking=True)

    def mark(self) -> Callable[[], None]:
        """Return a function that sleeps until the device has come to this point, without the interpreter lock."""
        # Blocking: spinning would answer some microseconds sooner, and take a processor from the event loop.
        done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        done.record(torch.cuda.current_stream(self._device))
        wait: Callable[[], None] = done.synchronize
        return wait


@dataclass(slots=True)
class _Buffers:
    """What one batch has to itself."""

    given: torch.Tensor  # inputs on the host, page-locked
    sent: torch.Tensor  # inputs on the device
    taken: Sequence[torch.Tensor] = ()  # results on the host, page-locked, where their shapes are known


class _Pipelined(ABC):
    """Batches of which two may be under way."""

    pipelined = True

    def __init__(self, device: Cuda, item: TensorSpec, max_batch_size: int) -> None:
        allow_read_only_items()
        self._device = device
        shape, dtype = (max_batch_size, *item.shape), torch_type(item)
        with torch.inference_mode():
            self._free = [
                _Buffers(device.host_buffer(shape, dtype), device.device_buffer(shape, dtype))
                for _ in range(BATCHES_UNDER_WAY)
            ]

    @abstractmethod
    def _ask(self, buffers: _Buffers, count: int) -> Sequence[torch.Tensor]:
        """Ask the device for the results of so many inputs; return what will hold them on the host."""

    def run(self, items: Sequence[Item]) -> GraphOutput:
        """Return the results of all items, in their order, on the host."""
        return self.begin(items)()

    def begin(self, items: Sequence[Item]) -> Callable[[], GraphOutput]:
        """Put a batch together and ask the device for all of it; two may be under way."""
        buffers, count = self._free.pop(), len(items)
        try:
            with torch.inference_mode():
                gather(items, buffers.given[:count])
                self._device.upload(buffers.sent[:count], buffers.given[:count], beside=not self._free)
                taken = self._ask(buffers, count)
                return partial(self._finish, buffers, taken, self._device.mark())
        except BaseException:
            self._free.append(buffers)
            raise

    def _finish(
        self, buffers: _Buffers, taken: Sequence[torch.Tensor], wait: Callable[[], None]
    ) -> GraphOutput:
        try:
            wait()
            # Copied: a later batch overwrites the buffers while these are written into answers. By NumPy, whose copy
            # offers the interpreter lock once, and for some hundred numbers never; PyTorch does so at each call.
            return GraphOutput(*(torch.from_numpy(part.numpy().copy()) for part in taken))
        finally:
            self._free.append(buffers)


class CudaEagerExecutor(_Pipelined):
    """A graph that PyTorch launches operator by operator."""

    name = "eager"

    def __init__(self, call: GraphCall, device: Cuda, item: TensorSpec, max_batch_size: int) -> None:
        super().__init__(device, item, max_batch_size)
        self._call = call

    def plan(self, measured_s: Mapping[int, float]) -> None:
        """Change nothing: a batch of any size runs as it is."""

    def _ask(self, buffers: _Buffers, count: int) -> Sequence[torch.Tensor]:
        return [self._device.download(part) for part in self._call(buffers.sent[:count])]


class CudaGraphExecutor(_Pipelined):
    """A graph recorded for each bucket, with page-locked buffers for its results.

    Building it records every bucket that fits into the device's memory; a larger batch is replayed in parts. What else the
    model raises then comes through: an operator that waits for the device, a shape that depends on values.
    """

    name = "cuda-graph"

    def __init__(self, call: GraphCall, device: Cuda, item: TensorSpec, max_batch_size: int) -> None:
        super().__init__(device, item, max_batch_size)
        # Kept: a recording reads the model's weights where they lie, and does not keep them there.
        self._call = call
        with torch.inference_mode():
            self._input = device.device_buffer((max_batch_size, *item.shape), torch_type(item))
            # The largest first: the smaller ones then fit into memory that is reserved already.
            self._recordings = self._recorded(bucket_sizes(max_batch_size)[::-1])
            recorded = next(iter(self._recordings.values())).outputs
            for buffers in self._free:
                buffers.taken = [
                    device.host_buffer((max_batch_size, *part.shape[1:]), part.dtype) for part in recorded
                ]
        # Until times are known a batch is padded to the next bucket: a replay costs one, a row next to nothing.
        self._covers = cheapest_covers(max_batch_size, {size: 1 + size * 1e-6 for size in self._recordings})

    def _recorded(self, sizes: Sequence[int]) -> dict[int, Recording]:
        recordings, too_large = {}, []
        for size in sizes:
            try:
                recordings[size] = self._device.record(partial(self._call, self._input[:size]))
            except torch.OutOfMemoryError:
                if size == min(sizes):
                    raise
                too_large.append(size)
        if too_large:
            structlog.get_logger("tailgate.cuda").warning(
                "too little memory to record large batches, which are replayed in parts", sizes=too_large
            )
        return recordings

    def plan(self, measured_s: Mapping[int, float]) -> None:
        """Split and pad from now on as the measured seconds of the buckets say."""
        known = {size: seconds for size, seconds in measured_s.items() if size in self._recordings}
        self._covers = cheapest_covers(len(self._input), known)

    def _ask(self, buffers: _Buffers, count: int) -> Sequence[torch.Tensor]:
        sent, taken = buffers.sent[:count], [part[:count] for part in buffers.taken]
        first = 0
        for bucket in self._covers[count]:
            self._run_bucket(bucket, sent[first : first + bucket], [part[first:] for part in taken])
            first += bucket
        return taken

    def _run_bucket(self, bucket: int, sent: torch.Tensor, taken: Sequence[torch.Tensor]) -> None:
        """Ask for one replay, without waiting. Rows beyond the last hold earlier inputs, whose results stay there."""
        recording, count = self._recordings[bucket], len(sent)
        self._input[:count].copy_(sent, non_blocking=True)
        recording.replay()
        for part, output in zip(taken, recording.outputs, strict=True):
            part[:count].copy_(output[:count], non_blocking=True)


def bucket_sizes(largest: int) -> tuple[int, ...]:
    """Return 1, 2, 4, … up to ``largest``, which is always one itself."""
    return tuple(sorted({2**power for power in range(largest.bit_length())} | {largest}))


def cheapest_covers(largest: int, cost_s: Mapping[int, float]) -> tuple[tuple[int, ...], ...]:
    """Return for each batch size from 0 to ``largest`` the buckets that run it in the least time.

    Buckets descend, all but the last are full, and none is empty. Among equal costs the fewest buckets win, then the least
    padding. This is the unbounded knapsack problem in its covering form: ``best(n) = min over buckets b of cost(b) +
    best(max(0, n - b))`` (Kellerer, Pferschy and Pisinger, "Knapsack Problems", 2004, chapter 8).
    """
    # By cost, number of buckets, rows computed; then the buckets themselves.
    best: list[tuple[float, int, int, tuple[int, ...]]] = [(0.0, 0, 0, ())]
    for count in range(1, largest + 1):
        options = []
        for bucket, seconds in cost_s.items():
            cost, buckets, rows, cover = best[max(0, count - bucket)]
            options.append((cost + seconds, buckets + 1, rows + bucket, (*cover, bucket)))
        best.append(min(options))
    return tuple(tuple(sorted(cover, reverse=True)) for *_, cover in best)
