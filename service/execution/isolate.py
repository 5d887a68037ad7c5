"""Compute a batch so that each item gets its own result or its own error.

Four things go wrong with a batch, and each is answered differently:

* The model raises: the batch is split in half until the item that makes it fail stands alone, and only that one gets the error:
  at most 2·⌈log2(n)⌉ further runs for one bad item.
* The device's memory is too small for so many: the batch is run again in halves, and batches stay halved for a while.
* An output is NaN or infinite: the item that it belongs to gets an error, its mates their results.
* The device itself fails: after an assertion in a kernel, or an access to memory that is not its own, every later call of
  this process fails as well. Nothing is run any more, and ``broken`` says why.

Where the executor can begin a batch and be asked for it later, so can this; a batch that fails so is run again as a whole,
and then as any other.

Nothing here knows about requests, threads or queues.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import structlog
import torch

from tailgate.service.errors import DeviceLost, ModelFailure, first_line
from tailgate.service.execution.executor import Executor, Pending, PipelinedExecutor
from tailgate.service.execution.graph import GraphOutput
from tailgate.service.models.items import Item, Result, non_finite_rows
from tailgate.service.settings import NonFinite

T = TypeVar("T")
Answers = list[Result | ModelFailure]
# How long a halved cap holds before it is doubled: what else takes the memory (another process, fragments) comes and goes.
HOLD_S = 60.0
# Beyond any batch: the cap need not be doubled for ever.
MOST_DOUBLINGS = 12


@dataclass(frozen=True, slots=True)
class BatchLimit:
    """A cap that was lowered at some time, and doubles after each minute without another failure.

    Attributes:
        size: items in a batch at first.
        since_s: when it was lowered.
    """

    size: int
    since_s: float

    def at(self, now_s: float) -> int:
        """Return the cap of the moment; ``now_s`` on the clock of ``since_s``."""
        return self.size << min(MOST_DOUBLINGS, int((now_s - self.since_s) // HOLD_S))


def halved(failed_size: int, now_s: float) -> BatchLimit:
    """Return the limit after a batch of ``failed_size`` items did not fit; one item is always allowed to try."""
    return BatchLimit(max(1, failed_size // 2), now_s)


class Inference:
    """An executor with the isolation of what goes wrong in a batch. Run by one thread; its counts are read by any.

    Args:
        executor: runs batches.
        non_finite: what an output with NaN or infinity is.
        free_memory: gives the device's unused memory back, before a batch is tried again.
        clock: seconds.
        check_device: raises where the device answers nothing any more; called after a run that failed.

    Attributes:
        broken: why nothing can be run any more, None while it can.
        failed_runs: runs in which the model raised, or returned what is no output of its batch.
        out_of_memory: runs that did not fit into the device's memory.
        non_finite_outputs: items whose output held NaN or infinity.
    """

    def __init__(
        self,
        executor: Executor,
        non_finite: NonFinite = "error",
        free_memory: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        check_device: Callable[[], None] = lambda: None,
    ) -> None:
        self.broken: str | None = None
        self.failed_runs = 0
        self.out_of_memory = 0
        self.non_finite_outputs = 0
        self._executor = executor
        self._pipelined = executor if isinstance(executor, PipelinedExecutor) else None
        self._non_finite = non_finite
        self._free_memory = free_memory
        self._clock = clock
        self._check_device = check_device
        self._limit: BatchLimit | None = None
        self._log = structlog.get_logger("tailgate.inference")

    def run(self, items: Sequence[Item]) -> Answers:
        """Return a result or an error for each item, in their order."""
        answers: Answers = []
        while rest := items[len(answers) :]:
            if self.broken is not None:
                return answers + _lost(len(rest))
            # Asked anew each time: the last part may have lowered it.
            size = len(rest) if self._limit is None else self._limit.at(self._clock())
            answers += self._run(rest[:size])
        return answers

    @property
    def pipelined(self) -> bool:
        """Whether :meth:`begin` does more than to put off :meth:`run`."""
        return self._pipelined is not None

    def begin(self, items: Sequence[Item]) -> Callable[[], Answers]:
        """Hand a batch to the device; what is returned waits for it and returns the answers, as :meth:`run` does."""
        whole = self._limit is None or self._limit.at(self._clock()) >= len(items)
        if self._pipelined is not None and whole and self.broken is None:
            pending = self._tried(partial(self._pipelined.begin, items), len(items))
            if pending is not None:
                return partial(self._finish, pending, items)
        return partial(self.run, items)

    def _finish(self, pending: Pending, items: Sequence[Item]) -> Answers:
        answers = self._tried(lambda: self.results(pending.finish(), len(items)), len(items))
        return self.run(items) if answers is None else answers

    def _tried(self, attempt: Callable[[], T], size: int) -> T | None:
        """Return None for what fails, and count it: it is to be run again, and its error dealt with there."""
        try:
            return attempt()
        except torch.OutOfMemoryError:
            pass  # counted when it is run again
        except BaseException as error:  # noqa: BLE001 - as in _run
            self.failed_runs += 1
            self._log.warning("a batch failed and is run again", size=size, error=repr(error))
        return None

    def _run(self, items: Sequence[Item]) -> Answers:
        try:
            return self.results(self._executor.run(items), len(items))
        except torch.OutOfMemoryError:
            pass  # dealt with below: while an exception is handled, its frames keep the batch's tensors alive
        except BaseException as error:  # noqa: BLE001 - a model may raise anything, SystemExit too, and must not take its batch along
            self.failed_runs += 1
            if not self._device_works():
                return _lost(len(items))
            if len(items) == 1:
                self._log.error("the model failed on an item", error=repr(error))
                return [ModelFailure("the model failed on this input")]
            return self._halves(items)
        self._note_out_of_memory(len(items))
        if len(items) == 1:
            return [ModelFailure("this input does not fit into the device's memory")]
        return self._halves(items)

    def _halves(self, items: Sequence[Item]) -> Answers:
        half = len(items) // 2
        return self.run(items[:half]) + self.run(items[half:])

    def _device_works(self) -> bool:
        """Ask the device whether the model alone has failed; its first failure is its last, and logged."""
        try:
            self._check_device()
        except BaseException as error:  # noqa: BLE001 - whatever it is, there is no device to run anything
            self.broken = (
                f"the device has failed ({first_line(error)}), and works again only in a new process"
            )
            self._log.error("not live", reason=self.broken)
        return self.broken is None

    def _note_out_of_memory(self, size: int) -> None:
        self.out_of_memory += 1
        self._limit = halved(size, self._clock())
        self._free_memory()
        self._log.warning("out of memory: batches are smaller for a while", size=size, now=self._limit.size)

    def results(self, output: GraphOutput, count: int) -> Answers:
        """Return the rows of a batch's output, one an item.

        Raises:
            ValueError: another number of rows than ``count``.
        """
        outputs = output.outputs.numpy()
        rows = zip(range(count), outputs, output.probabilities.tolist(), output.classes.tolist(), strict=True)
        answers: Answers = [Result(*row) for _, *row in rows]
        if self._non_finite != "ignore" and (bad := non_finite_rows(outputs)):
            if not self.non_finite_outputs:
                self._log.error("an output holds NaN or infinity; further ones are counted only")
            self.non_finite_outputs += len(bad)
            if self._non_finite == "error":
                for row in bad:
                    answers[row] = ModelFailure("the model's output for this input holds NaN or infinity")
        return answers


def _lost(count: int) -> Answers:
    return [DeviceLost("the device has failed; try another replica")] * count
