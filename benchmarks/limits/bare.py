"""The bare model: how long its batches take, without a service, on one processor."""

import contextlib
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, TypeAlias

import numpy as np

from benchmarks.environments import CACHE

LOG = CACHE / "logs" / "bare.log"
TIMEOUT_S = 120.0
ROWS = 64  # of the largest batch, at least

Pipe: TypeAlias = "Connection[Any, Any]"


Batches = Callable[..., dict[int, float]]


@contextlib.contextmanager
def bare_model(environment: Mapping[str, str], body: bytes, processor: int) -> Iterator[Batches]:
    """Run the model of a workload in a process; yield :func:`batch_seconds` of it.

    The process lives beside the servers and is asked between their turns, so that both see the same machine.
    """
    LOG.parent.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, dict(environment), body, processor), daemon=True)
    process.start()
    theirs.close()
    try:
        _answer(ours)  # the model is built
        yield partial(batch_seconds, ours)
    finally:
        process.kill()
        process.join()


def batch_seconds(pipe: Pipe, sizes: Sequence[int], seconds: float, pause_s: float = 0.0) -> dict[int, float]:
    """Return the mean seconds per batch of each size, each run for its share of ``seconds``.

    Before each batch the process sleeps for ``pause_s``, as a service sleeps that waits for its only client.
    """
    pipe.send((sizes, seconds / len(sizes), pause_s))
    return _answer(pipe)


def _answer(pipe: Pipe) -> dict[int, float]:
    with contextlib.suppress(EOFError):
        if pipe.poll(TIMEOUT_S):
            answer: dict[int, float] = pipe.recv()
            return answer
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


def serve(pipe: Pipe, environment: Mapping[str, str], body: bytes, processor: int) -> None:
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
