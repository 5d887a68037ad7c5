"""The bare model: how long its batches take, without a service, on one processor.

:class:`Bare` starts this file as a program that builds the service's own engine, and asks it for measurements between
those of the servers, so that both see the same machine.
"""

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Self

import numpy as np
import orjson

from benchmarks.environments import ROOT, cache

TIMEOUT_S = 120.0
ROWS = 64  # of the largest batch, at least


class Bare:
    """A process that runs the model of a workload; a context manager."""

    def __init__(self, environment: Mapping[str, str], body: bytes, processor: int) -> None:
        self._environment = environment
        self._body = body
        self._processor = processor

    def __enter__(self) -> Self:
        """Start it and wait until the model is built."""
        (cache() / "logs").mkdir(exist_ok=True)
        with (cache() / "logs" / "bare.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["taskset", "--cpu-list", str(self._processor), sys.executable, "-m", "benchmarks.bare"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
                env={**os.environ, **self._environment},
            )
        self._tell({"body": self._body.hex()})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it: it leaves at the end of its input."""
        self._process.kill()
        self._process.communicate()

    def batch_seconds(self, sizes: Sequence[int], seconds: float, pause_s: float = 0.0) -> dict[int, float]:
        """Return the mean seconds of a batch of each size, each run for its share of ``seconds``.

        ``pause_s`` is slept before each, as a service sleeps that waits for its only client.
        """
        told = self._tell({"sizes": list(sizes), "seconds": seconds, "pause_s": pause_s})
        return {int(size): value for size, value in told.items()}

    def _tell(self, command: Mapping[str, object]) -> dict[str, float]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(orjson.dumps(command) + b"\n")
        self._process.stdin.flush()
        readable, _, _ = select.select([self._process.stdout], [], [], TIMEOUT_S)
        line = self._process.stdout.readline() if readable else b""
        if not line:
            raise RuntimeError("the bare model ended or hangs; see .bench/logs/bare.log")
        answer: dict[str, float] = orjson.loads(line)
        return answer


def fit(seconds: Mapping[int, float]) -> tuple[float, float]:
    """Return a and b of t(n) = a·n + b by least squares of the relative error, so that small batches count too."""
    sizes, times = np.array(list(seconds)), np.array(list(seconds.values()))
    design = np.stack([sizes / times, 1 / times], axis=1)
    (slope, offset), *_ = np.linalg.lstsq(design, np.ones(len(times)))
    return float(slope), float(offset)


def mean_s(run: Callable[[], object], share_s: float, pause_s: float) -> float:
    """Return the mean seconds of a run, as many as fit into a time, but one at least; pauses before each don't count."""
    runs, spent_s, end_s = 0, 0.0, time.perf_counter() + share_s
    while not runs or time.perf_counter() < end_s:
        if pause_s:
            time.sleep(pause_s)
        start_s = time.perf_counter()
        run()
        spent_s += time.perf_counter() - start_s
        runs += 1
    return spent_s / runs


def main() -> None:
    """Answer one line of JSON with one line of JSON until the input ends."""
    from benchmarks.predictor import build_predictor  # noqa: PLC0415 - the parent does without PyTorch

    out = os.dup(1)  # the engine's log goes to standard output: give it the standard error instead
    os.dup2(2, 1)
    with os.fdopen(out, "wb", buffering=0) as answers:
        predictor = build_predictor()
        body = bytes.fromhex(orjson.loads(sys.stdin.readline())["body"])
        # Each in memory of its own, as requests are: one row copied many times would come from the nearest cache.
        rows = [predictor.item(bytes(bytearray(body))) for _ in range(ROWS)]
        answers.write(b"{}\n")
        for line in sys.stdin:
            command = orjson.loads(line)
            share_s = command["seconds"] / len(command["sizes"])
            measured = {}
            for size in command["sizes"]:
                items = rows[:size]
                predictor.compute(items)
                measured[str(size)] = mean_s(partial(predictor.compute, items), share_s, command["pause_s"])
            answers.write(orjson.dumps(measured) + b"\n")


if __name__ == "__main__":
    main()
