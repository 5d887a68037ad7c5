"""An executor on trial: its answers in batches of all sizes held against FP32's, and all of them timed in turn."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch

from tailgate.service.errors import ConfigurationError, first_line, gist
from tailgate.service.execution.cuda import bucket_sizes
from tailgate.service.execution.executor import Executor
from tailgate.service.execution.graph import GraphOutput, ServedGraph
from tailgate.service.execution.trials import parity as precision
from tailgate.service.execution.trials.batch_times import Rounds, is_clear, is_settled
from tailgate.service.execution.trials.parity import Parity
from tailgate.service.models import Model
from tailgate.service.models.items import Item
from tailgate.service.settings import LARGEST_CHOSEN_BATCH, Precision, Settings

ROUNDS = 8
# Start-up must end: when so much time has gone no further round begins, as long as there have been five.
FEWEST_ROUNDS, MEASURING_S = 5, 3.0
# And where further rounds cannot change the largest batch, or it is set, and one executor is the fastest in each: three give
# each time a median.
SETTLED_ROUNDS, SETTLED_S = 3, 0.3
# A batch that would take longer is not tried, unless the cap is set.
LONGEST_BATCH_S = 2.0
# An odd number, and a remainder of three of the eight inputs that are compared: sizes that no bucket has.
PARITY_BATCH = 5


@dataclass(frozen=True, slots=True)
class Prepared:
    """A model that is loaded, folded and cast, and runs nowhere yet."""

    model: Model  # as it was loaded
    device: torch.device  # where it will run
    precision: Precision
    graph: ServedGraph  # in that precision, on the CPU
    examples: Sequence[Item]  # inputs of the largest batch, and no fewer than ``expected`` has
    expected: GraphOutput  # results of the first of them, by the model as it came


class Candidate(NamedTuple):
    """An executor that may run."""

    name: str  # as ``TAILGATE_EXECUTOR`` has it
    build: Callable[[], Executor]  # may take long, and may fail
    limit: float  # how far its answers may be from FP32's, as a share of the largest output
    remedy: str = ""  # what to do where it cannot be used


class Trial(NamedTuple):
    """An executor whose answers are right; the batch sizes that it runs, ascending, and why no larger ones."""

    executor: Executor
    parity: Parity
    sizes: Sequence[int]
    none_larger: str


def trial_of(candidate: Candidate, settings: Settings, ready: Prepared) -> Trial:
    """Build a candidate, and hold its answers in batches of all sizes against FP32's.

    Raises:
        ConfigurationError: it fails, or its answers are too far off; for eager, the precision or the device is what is wrong.
    """
    inputs = ready.examples[: len(ready.expected.outputs)]
    size = min(PARITY_BATCH, settings.max_batch_size or PARITY_BATCH)
    try:
        executor = candidate.build()
        held = partial(hold, expected=ready.expected, limit=candidate.limit, chosen=ready.precision)
        parity = held(precision.in_batches(executor.run, inputs, size))
        sizes, none_larger = warm_up(executor, ready.examples, settings.max_batch_size, held)
        return Trial(executor, parity, sizes, none_larger)
    except Exception as error:
        if candidate.name != "eager":
            raise ConfigurationError(
                f"TAILGATE_EXECUTOR: {candidate.name} cannot be used: {first_line(error)}; {candidate.remedy}"
            ) from error
        if isinstance(error, torch.OutOfMemoryError):
            raise ConfigurationError(
                f"TAILGATE_MAX_BATCH_SIZE: the device's memory is too small for the model or a batch of it "
                f"({first_line(error)}); set a smaller one, or a reduced TAILGATE_PRECISION"
            ) from None
        if isinstance(error, ConfigurationError):
            raise
        raise ConfigurationError(
            f"TAILGATE_MODEL: the model runs as it came, but not in {ready.precision} in batches of {size}: {gist(error)}"
        ) from error


def hold(output: GraphOutput, *, expected: GraphOutput, limit: float, chosen: Precision) -> Parity:
    """Compare a batch's answers with as many expected ones; ConfigurationError for another shape, or too large an error."""
    rows = min(len(output.outputs), len(expected.outputs))
    got, wanted = (GraphOutput(*(part[:rows] for part in parts)) for parts in (output, expected))
    for one, other in zip(got.all_outputs, wanted.all_outputs, strict=True):
        if one.shape != other.shape:
            raise ConfigurationError(
                f"TAILGATE_MODEL: the output for one input is {list(one.shape[1:])} in a batch of "
                f"{len(output.outputs)}, expected {list(other.shape[1:])} as in other batches"
            )
    parity = precision.compare(got, wanted)
    precision.require(parity, limit, chosen)
    return parity


def warm_up(
    executor: Executor, examples: Sequence[Item], cap: int | None, hold: Callable[[GraphOutput], object]
) -> tuple[Sequence[int], str]:
    """Run every bucket up to ``cap`` once; return the sizes that run, and why no larger one does.

    Where ``cap`` is None it is to be chosen. ``hold`` raises where the answers of a batch are wrong.

    Raises:
        ConfigurationError: a batch fails, or its answers are wrong.
        OutOfMemoryError: a batch that will be asked for does not fit.
    """
    sizes: list[int] = []
    shortest_s = math.inf  # per request
    for size in bucket_sizes(cap or LARGEST_CHOSEN_BATCH):
        if cap is None and sizes and size * shortest_s > LONGEST_BATCH_S:
            # The first run may have been slow for once: it allocates, and a module may compile itself.
            shortest_s = min(shortest_s, seconds_of(executor, examples[: sizes[-1]]) / sizes[-1])
            if size * shortest_s > LONGEST_BATCH_S:
                return sizes, "a larger batch would take too long to be tried"
        start_s = time.perf_counter()
        try:
            output = executor.run(examples[:size])
        except torch.OutOfMemoryError:
            if cap is not None or not sizes:
                raise
            return sizes, "a larger batch does not fit into the device's memory"
        except Exception as error:
            works = (
                f", and one of {sizes[-1]} works: set TAILGATE_MAX_BATCH_SIZE={sizes[-1]}" if sizes else ""
            )
            raise ConfigurationError(
                f"TAILGATE_MODEL: a batch of {size} fails{works}: {gist(error)}"
            ) from error
        shortest_s = min(shortest_s, (time.perf_counter() - start_s) / size)
        if len(output.outputs) != size:
            raise ConfigurationError(
                f"TAILGATE_MODEL: returned {len(output.outputs)} rows for a batch of {size}"
            )
        hold(output)
        sizes.append(size)
    return sizes, "the largest that is tried"


def seconds_of(executor: Executor, batch: Sequence[Item]) -> float:
    """Run a batch, and return how long it took."""
    start_s = time.perf_counter()
    executor.run(batch)
    return time.perf_counter() - start_s


def measure(
    executors: Sequence[tuple[Executor, Sequence[int]]], examples: Sequence[Item], cap: int | None
) -> list[Rounds]:
    """Time executors, each with its batch sizes, in rounds of one batch of each size.

    They take turns, so that a slow minute of the machine falls on all. Rounds that cost nothing are all run; longer ones
    end when they have said enough: of the largest batch as well, where ``cap`` is None and it is to be chosen.
    """
    rounds_s: list[dict[int, list[float]]] = [{size: [] for size in sizes} for _, sizes in executors]
    began_s = time.perf_counter()
    for number in range(ROUNDS):
        if _suffices(number, time.perf_counter() - began_s, rounds_s, cap):
            break
        for (executor, _), seconds in zip(executors, rounds_s, strict=True):
            for size, taken in seconds.items():
                taken.append(seconds_of(executor, examples[:size]))
    return list(rounds_s)


def _suffices(number: int, spent_s: float, rounds_s: Sequence[Rounds], cap: int | None) -> bool:
    """Tell whether so many rounds, which took so long, are enough."""
    if number >= FEWEST_ROUNDS and spent_s > MEASURING_S:
        return True
    if number < SETTLED_ROUNDS or spent_s <= SETTLED_S or not is_clear(rounds_s):
        return False
    return cap is not None or all(is_settled(each, ROUNDS) for each in rounds_s)
