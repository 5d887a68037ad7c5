"""A unit of work that the harness owns, timed beside the run: what "6 yd" in a budget means on this machine.

A budget in yardsticks holds on machines of different speed, and, unlike a multiple of the service's own latency or
capacity, does not shrink when the service gets slower. One repetition is a fixed mix, about 13 ms on one core of a 2023
server: roughly half matrix products of a small convolutional network's shapes, a quarter passes over memory larger than
a core's cache, a quarter interpreted Python. It runs on one thread, in a process of its own that knows nothing of the
service. What counts is the median of the *processor* time of its repetitions: how fast the machine works, and not how
much of it others have just now, which pressure and steal tell (:mod:`harness.machine`). By wall time, medians taken
minutes apart on a shared two-core machine lay between 12 and 34 ms; by processor time, between 12 and 18 ms.

What it is not: a prediction. Two machines of one yardstick may differ by tens of percent for a given model, and a GPU is
not measured by it at all.

``python -m harness.yardstick`` prints one measurement as JSON.
"""

import argparse
import contextlib
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import orjson

from harness import statistics
from harness.errors import MeasurementError

# Part of every result: other work would give every budget in yardsticks another meaning.
YARDSTICK_VERSION = 1
# Rows x inner x columns of a small image network's convolutions as matrix products, from its first layers to its last.
_PRODUCTS = ((3136, 144, 32), (784, 240, 64), (196, 672, 112), (49, 1152, 320))
_PRODUCT_ROUNDS = 5
_MEMORY_FLOATS = 1 << 20  # 4 MiB each way: more than a core's own cache
_MEMORY_ROUNDS = 4
_INTERPRETED_STEPS = 20_000
_WARM_UPS = 5
_LEAST_REPETITIONS = 9
_CONFIDENCE = 0.99
# Medians of an unchanged, shared two-core machine came to lie 1.37 times apart within two minutes. Further than this is
# another machine, or one that is throttled; budgets in yardsticks want a distance of that order from what is usual.
TOLERANCE = 0.6
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Yardstick:
    """One measurement of the yardstick.

    Attributes:
        seconds: median of the repetitions; "1 yd" is this.
        low_s: lower end of the median's interval, one-sided confidence 0.99 (:mod:`harness.statistics`).
        high_s: upper end.
        n: repetitions.
        version: which work was timed.
    """

    seconds: float
    low_s: float
    high_s: float
    n: int
    version: int = YARDSTICK_VERSION


def measure(
    repetitions: int = 60,
    *,
    processor: int | None = None,
    time_limit_s: float = 1.2,
    python: str = sys.executable,
) -> Yardstick:
    """Time the yardstick in a process of its own.

    Args:
        repetitions: at most so many.
        processor: pin it to this one; None leaves it to the scheduler.
        time_limit_s: no repetition starts after this, but for the least number that gives an interval.
        python: the interpreter; it must have the harness installed.

    Raises:
        MeasurementError: the process failed, or timed other work than this one would.
    """
    # -P: a folder called harness in the current directory must not be taken for this one.
    command = [python, "-P", "-m", "harness.yardstick", f"--repetitions={repetitions}"]
    command += [f"--time-limit-s={time_limit_s}"]
    command += [] if processor is None else [f"--processor={processor}"]
    environment = os.environ | dict.fromkeys(_THREADS, "1")
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=True)
        result = Yardstick(**orjson.loads(done.stdout))
    except subprocess.CalledProcessError as error:
        last = error.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise MeasurementError(f"the yardstick failed with status {error.returncode}: {last}") from error
    except (OSError, subprocess.TimeoutExpired, TypeError, ValueError) as error:
        raise MeasurementError(f"the yardstick gave no result: {error}") from error
    if result.version != YARDSTICK_VERSION:
        raise MeasurementError(f"the yardstick is of version {result.version}, expected {YARDSTICK_VERSION}")
    return result


def agreement(before: Yardstick, after: Yardstick) -> float:
    """Return after / before: above 1 the machine has become slower."""
    if before.version != after.version:
        raise MeasurementError(
            f"yardsticks of versions {before.version} and {after.version} cannot be compared"
        )
    return after.seconds / before.seconds


def moved(before: Yardstick, after: Yardstick, tolerance: float = TOLERANCE) -> bool:
    """Tell whether the machine changed: intervals that do not meet, and medians further apart than the tolerance."""
    apart = before.high_s < after.low_s or after.high_s < before.low_s
    return apart and abs(math.log(agreement(before, after))) > math.log1p(tolerance)


def combine(before: Yardstick, after: Yardstick) -> float:
    """Return the unit for a run between two measurements, their geometric mean in seconds."""
    return before.seconds * math.sqrt(agreement(before, after))


def time_repetitions(
    work: Callable[[], object],
    repetitions: int,
    time_limit_s: float,
    clock: Callable[[], float] = time.thread_time,
) -> Yardstick:
    """Warm up, then time one piece of work again and again.

    Repetitions stop at ``repetitions`` or, once there are enough for an interval, at ``time_limit_s``.
    """
    for _ in range(_WARM_UPS):
        work()
    seconds: list[float] = []
    started_s = clock()
    while len(seconds) < max(repetitions, _LEAST_REPETITIONS):
        if len(seconds) >= _LEAST_REPETITIONS and clock() - started_s >= time_limit_s:
            break
        before_s = clock()
        work()
        seconds.append(clock() - before_s)
    values = np.array(seconds)
    low, high = statistics.quantile_interval(values, 0.5, _CONFIDENCE)
    assert low is not None
    assert high is not None
    return Yardstick(statistics.quantile(values, 0.5), low, high, len(seconds))


def make_work() -> Callable[[], float]:
    """Prepare the operands, and return the work as a function that gives the same number each time."""
    rng = np.random.default_rng(YARDSTICK_VERSION)
    products = [
        (rng.random((rows, inner), dtype=np.float32), rng.random((inner, columns), dtype=np.float32))
        for rows, inner, columns in _PRODUCTS
    ]
    memory = rng.random(_MEMORY_FLOATS, dtype=np.float32)
    scratch = np.empty_like(memory)

    def work() -> float:
        trace = 0.0
        for _ in range(_PRODUCT_ROUNDS):
            for left, right in products:
                trace += float((left @ right)[0, 0])
        for _ in range(_MEMORY_ROUNDS):
            np.multiply(memory, np.float32(1.0001), out=scratch)
            np.add(scratch, memory, out=scratch)
            trace += float(scratch.sum())
        state, table = 0, {}
        for step in range(_INTERPRETED_STEPS):
            state = (state * 31 + step) & 0xFFFF
            table[state & 0xFF] = step
        return trace + state + len(table)

    return work


def main() -> None:
    """Run as ``python -m harness.yardstick`` and print a Yardstick as JSON."""
    parser = argparse.ArgumentParser(prog="python -m harness.yardstick", description="Time the yardstick.")
    parser.add_argument("--repetitions", type=int, default=60)
    parser.add_argument("--time-limit-s", type=float, default=1.2)
    parser.add_argument("--processor", type=int)
    options = parser.parse_args()
    if options.processor is not None:
        # Without the right to pin (a container's rule) the scheduler decides, as it does by default.
        with contextlib.suppress(AttributeError, OSError):
            os.sched_setaffinity(0, {options.processor})
    result = time_repetitions(make_work(), options.repetitions, options.time_limit_s)
    sys.stdout.write(orjson.dumps(asdict(result)).decode() + "\n")


if __name__ == "__main__":
    main()
