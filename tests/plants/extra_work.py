"""What the plants are made of: a share of work more, a stall now and then, memory that is kept, a slow start.

Everything here burns processor time and never sleeps, since a sleep would not move the processor seconds of a request.
Answers stay the same to the last bit: what is done on top is thrown away. An ahead-of-time compiler notices that and
leaves it out, so plants are for the eager executor.
"""

import threading
import time

import torch
from torch import Tensor, nn


class Again(nn.Module):
    """A module that does its work several times and answers once."""

    def __init__(self, module: nn.Module, times: int) -> None:
        super().__init__()
        self.module = module
        self.times = times

    def forward(self, batch: Tensor) -> Tensor:
        """Return what the module returns."""
        for _ in range(self.times - 1):
            self.module(batch)
        answer: Tensor = self.module(batch)
        return answer


class Debt:
    """Work that is owed, and burnt when it is asked for: what ends a little late comes off the next time."""

    def __init__(self) -> None:
        self.owed_s = 0.0

    def pay(self, more_s: float) -> float:
        """Owe so much more and burn all that is owed; return the processor time that this took, s."""
        self.owed_s += more_s
        began_s = time.thread_time()
        burn(self.owed_s)
        burnt_s = time.thread_time() - began_s
        self.owed_s -= burnt_s
        return burnt_s


class More(nn.Module):
    """A module that works on for a share of the processor time that it took, whatever the batch and the machine.

    Some of its layers run twice would be work of its own kind, but no known share of it: what a layer costs depends on the
    batch and on the processor. Only the calling thread's time counts, so it is for a model that computes in one.

    Args:
        module: does the work.
        share: how much more, such as 0.05.
    """

    def __init__(self, module: nn.Module, share: float) -> None:
        super().__init__()
        self.module = module
        self.share = share
        self.debt = Debt()

    def forward(self, batch: Tensor) -> Tensor:
        """Return what the module returns."""
        began_s = time.thread_time()
        answer: Tensor = self.module(batch)
        self.debt.pay((time.thread_time() - began_s) * self.share)
        return answer


class MoreOfAll(More):
    """A module that works on for a share of what the whole process has worked since it last did.

    So all that a request costs grows by that share, what it costs outside of the model included.

    Args:
        module: does the work.
        share: how much more, such as 0.05.
    """

    # Processor time of the process, of which the share has been reckoned; None before the first batch.
    reckoned_s: float | None = None

    def forward(self, batch: Tensor) -> Tensor:
        """Return what the module returns."""
        answer: Tensor = self.module(batch)
        now_s = time.process_time()
        worked_s = 0.0 if self.reckoned_s is None else now_s - self.reckoned_s
        # Other threads may work meanwhile, and that counts.
        self.reckoned_s = now_s + self.debt.pay(worked_s * self.share)
        return answer


class StallEvery(nn.Module):
    """A module that works longer for one input in so many, and for those that share its batch.

    Inputs are counted as they come, so which of them stall depends on nothing but their number. Counting begins
    outside of the thread that built the model: warm-up happens in that one, and batch times that are measured there
    stay what they are.

    Args:
        module: does the work.
        inputs: one in so many stalls.
        seconds: processor time of a stall.
    """

    def __init__(self, module: nn.Module, inputs: int, seconds: float) -> None:
        super().__init__()
        self.module = module
        self.inputs = inputs
        self.seconds = seconds
        self.seen = 0
        # The system's number, which is not given to a later thread as Python's own is.
        self.built_in = threading.get_native_id()

    def forward(self, batch: Tensor) -> Tensor:
        """Return what the module returns."""
        if threading.get_native_id() != self.built_in:
            before, self.seen = self.seen, self.seen + len(batch)
            if self.seen // self.inputs > before // self.inputs:
                burn(self.seconds)
        answer: Tensor = self.module(batch)
        return answer


class Leaking(nn.Module):
    """A module that keeps some memory for each input and never gives it back."""

    def __init__(self, module: nn.Module, bytes_per_input: int) -> None:
        super().__init__()
        self.module = module
        self.bytes_per_input = bytes_per_input
        self.kept: list[bytearray] = []

    def forward(self, batch: Tensor) -> Tensor:
        """Return what the module returns."""
        # Not zeros: the system gives no memory for pages that nobody wrote to.
        self.kept.append(bytearray(b"\1") * (self.bytes_per_input * len(batch)))
        answer: Tensor = self.module(batch)
        return answer


def burn(seconds: float) -> None:
    """Multiply small matrices until this thread has used so much processor time."""
    square = torch.full((8, 8), 1 / 8)  # small, so that the weights stay in the cache
    until_s = time.thread_time() + seconds
    while time.thread_time() < until_s:
        square @ square
