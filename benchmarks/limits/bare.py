"""The bare model: how long its batches take, without a service, on one processor."""

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

import numpy as np

from benchmarks.environments import CACHE

LOG = CACHE / "logs" / "bare.log"
TIMEOUT_S = 120.0
ROWS = 64  # of the largest batch, at least


class Bare:
    """A process that runs the model of a workload; a context manager.

    It lives beside the servers and is asked between their turns, so that both see the same machine.
    """

    def __init__(self, environment: Mapping[str, str], body: bytes, processor: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, self._theirs = context.Pipe()
        arguments = (self._theirs, dict(environment), body, processor)
        self._process = context.Process(target=serve, args=arguments, daemon=True)

    def __enter__(self) -> Self:
        """Start it and wait until the model is built."""
        LOG.parent.mkdir(parents=True, exist_ok=True)
        self._process.start()
        self._theirs.close()
        self._answer()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self._process.kill()
        self._process.join()

    def batch_seconds(self, sizes: Sequence[int], seconds: float, pause_s: float = 0.0) -> dict[int, float]:
        """Return the mean seconds per batch of each size, each run for its share of ``seconds``.

        Before each batch the process sleeps for ``pause_s``, as a service sleeps that waits for its only client.
        """
        self._pipe.send((sizes, seconds / len(sizes), pause_s))
        return self._answer()

    def _answer(self) -> dict[int, float]:
        try:
            if self._pipe.poll(TIMEOUT_S):
                answer: dict[int, float] = self._pipe.recv()
                return answer
        except EOFError:
            pass
        raise RuntimeError("the bare model ended or hangs; see .bench/logs/bare.log")


def fit(seconds: Mapping[int, float]) -> tuple[float, float]:
    """Return a and b of t(n) = a·n + b, by least squares of the relative error, so that small batches count too."""
    sizes, times = np.array(list(seconds)), np.array(list(seconds.values()))
    design = np.stack([sizes / times, 1 / times], axis=1)
    (slope, offset), *_ = np.linalg.lstsq(design, np.ones(len(times)))
    return float(slope), float(offset)


def mean_s(run: Callable[[], object], share_s: float, pause_s: float = 0.0) -> float:
    """Return the mean seconds of as many runs as fit into a time, at least one; the pauses before them don't count."""
    runs, spent_s, end_s = 0, 0.0, time.perf_counter() + share_s
    while not runs or time.perf_counter() < end_s:
        if pause_s:
            time.sleep(pause_s)
        start_s = time.perf_counter()
        run()
        spent_s += time.perf_counter() - start_s
        runs += 1
    return spent_s / runs


def serve(pipe: "Connection[Any, Any]", environment: Mapping[str, str], body: bytes, processor: int) -> None:
    """Build the model, then answer each request for measurements until this process is killed."""
    os.sched_setaffinity(0, {processor})
    os.environ.update(environment)
    with LOG.open("wb") as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())

    from benchmarks.peers.predictor import build_predictor  # noqa: PLC0415 - the parent needs no PyTorch

    predictor = build_predictor()
    # Each row has its own memory, as requests do: one row copied many times would come from the nearest cache.
    rows = [predictor.item(bytes(bytearray(body))) for _ in range(ROWS)]
    pipe.send({})
    while True:
        sizes, share_s, pause_s = pipe.recv()
        measured = {}
        for size in sizes:
            items = rows[:size]
            predictor.compute(items)
            measured[size] = mean_s(partial(predictor.compute, items), share_s, pause_s)
        pipe.send(measured)
