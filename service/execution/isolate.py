"""Compute a batch so that each item gets its own result or its own error. Knows no requests, threads or queues.

* The model raises: the batch is halved until the failing item stands alone, in at most 2·⌈log2(n)⌉ further runs.
* The device's memory is too small: the batch is run again in halves, and batches stay halved for a while.
* An output is NaN or infinite: that item gets an error, the others their results.
* The device itself fails, after which every call of this process does: nothing is run any more.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import structlog
import torch
from numpy.typing import NDArray

from tailgate.service.errors import DeviceLost, ModelFailure, first_line
from tailgate.service.execution.executor import Executor
from tailgate.service.execution.graph import GraphOutput
from tailgate.service.models.items import Answers, Item, Result, non_finite_rows
from tailgate.service.settings import NonFinite

T = TypeVar("T")
# A halved cap holds so long before it is doubled: what else takes the memory (another process, fragments) goes away.
HOLD_S = 60.0
# Beyond any batch: the cap need not be doubled for ever.
MOST_DOUBLINGS = 12


def cap_after(failed_size: int, elapsed_s: float) -> int:
    """Return the cap so long after a batch did not fit: half of it, but one item, and doubled after each ``HOLD_S``."""
    return max(1, failed_size // 2) << min(MOST_DOUBLINGS, int(elapsed_s // HOLD_S))


class Inference:
    """An executor with the isolation of what goes wrong in a batch. Run by one thread; its counts are read by any.

    ``free_memory`` gives the device's unused memory back before a batch is tried again; ``check_device`` is called after a
    run that failed, and raises where the device answers no more.
    """

    def __init__(
        self,
        executor: Executor,
        non_finite: NonFinite = "error",
        free_memory: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        check_device: Callable[[], None] = lambda: None,
    ) -> None:
        self.broken: str | None = None  # why nothing can be run any more
        self.failed_runs = 0  # the model raised, or returned no output of its batch
        self.out_of_memory = 0  # runs that did not fit into the device's memory
        self.non_finite_outputs = 0  # items whose output held NaN or infinity
        self._executor = executor
        self._non_finite = non_finite
        self._free_memory = free_memory
        self._clock = clock
        self._check_device = check_device
        self._too_large: tuple[int, float] | None = None  # the last batch that did not fit, and when
        self._log = structlog.get_logger("tailgate.inference")

    def run(self, items: Sequence[Item]) -> Answers:
        """Return a result or an error for each item, in their order."""
        answers: Answers = []
        while rest := items[len(answers) :]:
            if self.broken is not None:
                return answers + _lost(len(rest))
            answers += self._run(rest[: self._cap(len(rest))])  # which the last part may have lowered
        return answers

    def _cap(self, size: int) -> int:
        if self._too_large is None:
            return size
        failed_size, failed_s = self._too_large
        return cap_after(failed_size, self._clock() - failed_s)

    @property
    def pipelined(self) -> bool:
        """Whether :meth:`begin` does more than put :meth:`run` off."""
        return self._executor.pipelined

    def begin(self, items: Sequence[Item]) -> Callable[[], Answers]:
        """Hand a batch to the device; call what is returned for what :meth:`run` returns."""
        whole = self._cap(len(items)) >= len(items)
        if self.pipelined and whole and self.broken is None:
            finish = self._tried(partial(self._executor.begin, items), len(items))
            if finish is not None:
                return partial(self._finish, finish, items)
        return partial(self.run, items)

    def _finish(self, finish: Callable[[], GraphOutput], items: Sequence[Item]) -> Answers:
        answers = self._tried(lambda: self.results(finish(), len(items)), len(items))
        return self.run(items) if answers is None else answers

    def _tried(self, attempt: Callable[[], T], size: int) -> T | None:
        """Return None for what fails, and count it: the batch is run again, and its error dealt with there."""
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
        except BaseException as error:  # noqa: BLE001 - a model may raise anything, SystemExit too
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
        """Tell whether the model alone has failed; the device's own first failure is its last, and logged."""
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
        self._too_large = size, self._clock()
        self._free_memory()
        self._log.warning("out of memory: batches are smaller for a while", size=size, now=cap_after(size, 0))

    def results(self, output: GraphOutput, count: int) -> Answers:
        """Return one answer per row of a batch's output; ValueError where these are not ``count``."""
        outputs, *others = (each.numpy() for each in output.all_outputs)
        more = list(zip(*others, strict=True)) if others else [()] * len(outputs)
        rows = zip(outputs, output.probabilities.tolist(), output.classes.tolist(), more, strict=True)
        answers: Answers = [Result(*row) for row in rows]
        if len(answers) != count:
            raise ValueError(f"the model returned {len(answers)} rows for a batch of {count}")
        if self._non_finite != "ignore" and (bad := _non_finite(outputs, *others)):
            if not self.non_finite_outputs:
                self._log.error("an output holds NaN or infinity; further ones are counted only")
            self.non_finite_outputs += len(bad)
            if self._non_finite == "error":
                for row in bad:
                    answers[row] = ModelFailure("the model's output for this input holds NaN or infinity")
        return answers


def _non_finite(*outputs: NDArray[Any]) -> list[int]:
    return sorted({row for each in outputs for row in non_finite_rows(each)})


def _lost(count: int) -> Answers:
    return [DeviceLost("the device has failed; try another replica")] * count
