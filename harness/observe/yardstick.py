"""A unit of work that the harness owns, timed beside the run: what "6 yd" in a budget means on this machine.

A budget in yardsticks holds on machines of different speed, and, unlike a multiple of the service's own latency or
capacity, does not shrink when the service gets slower. One repetition is about 12 ms on one core of a 2023 server: roughly
half matrix products of a small convolutional network's shapes, a quarter passes over memory larger than a core's cache, a
quarter interpreted Python, on one thread. What counts is the median *processor* time: how fast the machine works, and not
how much of it others have just now. By wall time, medians taken minutes apart on a shared two-core machine lay between 12
and 34 ms; by processor time, between 12 and 18 ms. It is no prediction: two machines of one yardstick may differ by tens of
percent for a given model, and no GPU is measured. Run as a program, it prints one measurement as JSON.
"""

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import orjson

from tailgate.harness import statistics
from tailgate.harness.errors import MeasurementError
from tailgate.harness.results.yardstick import YARDSTICK_VERSION, Yardstick

# Rows x inner x columns of a small image network's convolutions as matrix products, from its first layers to its last.
_PRODUCTS = ((3136, 144, 32), (784, 240, 64), (196, 672, 112), (49, 1152, 320))
_PRODUCT_ROUNDS = 5
_MEMORY_FLOATS = 1 << 20  # 4 MiB each way: more than a core's own cache
_MEMORY_ROUNDS = 4
_INTERPRETED_STEPS = 20_000
_WARM_UPS = 5
_LEAST_REPETITIONS = 9
_CONFIDENCE = 0.99
# Of an answer: a hundred times what a long reading takes.
ANSWER_TIMEOUT_S = 60.0
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Length:
    """How long a reading takes."""

    repetitions: int  # at most
    time_limit_s: float  # no repetition starts after this, but for the least number that gives an interval


# A run begins with a long reading; between phases a short one is enough to tell whether the machine changed.
LONG, SHORT = Length(60, 1.2), Length(24, 0.4)


class YardstickProcess:
    """A process of its own that times the yardstick when it is asked, and uses no processor in between; a context manager.

    One process serves a whole run: two starts of a program settle at levels that differ by a few percent.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start it."""
        try:
            self._process = subprocess.Popen(
                # -P: a folder called harness in the current directory must not be taken for this one.
                [sys.executable, "-P", "-m", "tailgate.harness.observe.yardstick", "--answer"],
                env=os.environ | dict.fromkeys(_THREADS, "1"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # In a group of its own, so that Ctrl-C is left to whoever asks.
                process_group=0,
            )
        except OSError as error:
            raise MeasurementError(f"the yardstick cannot be started: {error}") from error
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def read(self, length: Length = SHORT) -> Yardstick:
        """Time the yardstick."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        answer: bytes | None = b""
        try:
            process.stdin.write(orjson.dumps(length) + b"\n")
            process.stdin.flush()
            answered, _, _ = select.select([process.stdout], [], [], ANSWER_TIMEOUT_S)
            answer = process.stdout.readline() if answered else None
            result = Yardstick(**orjson.loads(answer or b""))
        except (OSError, TypeError, ValueError):
            raise MeasurementError(f"the yardstick gave no result: {_why(process, answer)}") from None
        if result.version != YARDSTICK_VERSION:
            raise MeasurementError(
                f"the yardstick is of version {result.version}, expected {YARDSTICK_VERSION}"
            )
        return result


def _why(process: subprocess.Popen[bytes], answer: bytes | None) -> str:
    if answer is None:
        process.kill()
        return f"no answer within {ANSWER_TIMEOUT_S:g} s"
    if answer:
        process.kill()
        return f"its process answered {answer[:100]!r}"
    # Its output has ended, and so does it in a moment.
    _, told = process.communicate()
    last = " ".join(told.decode(errors="replace").strip().splitlines()[-1:])
    return f"its process ended with status {process.returncode}: {last}"


def time_repetitions(
    work: Callable[[], object],
    length: Length,
    clock: Callable[[], float] = time.thread_time,
) -> Yardstick:
    """Warm up, then time one piece of work again and again, up to a number or, once there are enough for an interval, a time."""
    for _ in range(_WARM_UPS):
        work()
    seconds: list[float] = []
    started_s = clock()
    while len(seconds) < max(length.repetitions, _LEAST_REPETITIONS):
        if len(seconds) >= _LEAST_REPETITIONS and clock() - started_s >= length.time_limit_s:
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
    """Print one measurement as JSON; with ``--answer`` one per line of standard input, which is a length as JSON."""
    lengths = (Length(**orjson.loads(line)) for line in sys.stdin.buffer)
    work = make_work()
    for length in lengths if "--answer" in sys.argv else [LONG]:
        result = time_repetitions(work, length)
        sys.stdout.write(orjson.dumps(result).decode() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
