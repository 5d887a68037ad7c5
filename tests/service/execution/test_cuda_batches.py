"""Both executors on CUDA, on a stand-in for the device and on the device itself where there is one."""

import subprocess
import sys
from collections import deque

import numpy as np
import pytest
import tiny_models
import torch
from tape import Tape
from torch import nn

from tailgate.service.errors import DeviceLost
from tailgate.service.execution.build import build_engine
from tailgate.service.execution.cuda import Cuda, CudaEagerExecutor, CudaGraphExecutor
from tailgate.service.execution.executor import eager
from tailgate.service.execution.graph import GraphOutput, ServedGraph
from tailgate.service.execution.isolate import Inference
from tailgate.service.execution.trials.parity import compare
from tailgate.service.models import Model
from tailgate.service.settings import load_settings

EXECUTORS = [CudaEagerExecutor, CudaGraphExecutor]
BY_NAME = [executor.name for executor in EXECUTORS]
LARGEST = 8
BATCHES = {"cpu": 40, "cuda": 300}
ON_CUDA = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


def on_cuda(test):
    for mark in ON_CUDA:
        test = mark(test)
    return test


@pytest.fixture(params=["stand-in", pytest.param("cuda", marks=ON_CUDA)])
def place(request):
    """Where it runs, and what is asked there."""
    if request.param == "cuda":
        return torch.device("cuda"), Cuda(torch.device("cuda"))
    return torch.device("cpu"), Tape()


def call_of(model, where, dtype=torch.float32):
    return eager(ServedGraph(model, model.module.eval().to(dtype), dtype, 2), where)


def items_of(model, count, seed=0):
    numbers = np.random.default_rng(seed).random((count, *model.item.shape)) * 200
    return list(numbers.astype(model.item.dtype))


def rows(count, first=0):
    return [np.full(4, first + number, np.float32) for number in range(count)]


@pytest.mark.parametrize("executor", EXECUTORS, ids=BY_NAME)
@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float16, torch.bfloat16], ids=["fp32", "fp16", "bf16"]
)
@pytest.mark.parametrize("factory", [tiny_models.perceptron, tiny_models.colours, tiny_models.unlabelled])
def test_of_many_batches_two_under_way_each_gets_the_models_own_answers(place, executor, dtype, factory):
    where, device = place
    model = factory()
    call = call_of(model, where, dtype)
    tested = executor(call, device, model.item, LARGEST)
    tested.plan({1: 1.0, 2: 2.0, 4: 4.0, 8: 8.0})
    rng = np.random.default_rng(1)
    under_way = deque()

    def finish():
        items, end = under_way.popleft()
        with torch.inference_mode():
            expected = call(torch.from_numpy(np.stack(items)).to(where))
        parity = compare(end(), GraphOutput(*(part.cpu() for part in expected)))
        assert parity.inputs == len(items)
        assert parity.largest_error < (1e-5 if dtype is torch.float32 else 0.02)

    for number in range(BATCHES[where.type]):
        items = items_of(model, int(rng.integers(1, LARGEST + 1)), seed=number)
        under_way.append((items, tested.begin(items)))
        while len(under_way) == 2 or (under_way and rng.random() < 0.2):
            finish()
    while under_way:
        finish()


@pytest.mark.parametrize("executor", EXECUTORS, ids=BY_NAME)
def test_results_of_a_model_that_passes_its_input_on_stay_while_the_next_batches_run(place, executor):
    where, device = place
    model = tiny_models.passing()
    tested = executor(call_of(model, where), device, model.item, LARGEST)
    first, second = tested.begin(rows(3)), tested.begin(rows(3, 50))
    kept = first()
    third = tested.begin(rows(3, 90))
    assert kept.outputs[:, 0].tolist() == [0, 1, 2]
    assert second().outputs[:, 0].tolist() == [50, 51, 52]
    assert third().outputs[:, 0].tolist() == [90, 91, 92]


@pytest.mark.parametrize("executor", EXECUTORS, ids=BY_NAME)
def test_nothing_is_waited_for_before_both_batches_are_asked_for(executor):
    tape = Tape()
    model = tiny_models.passing()
    tested = executor(call_of(model, torch.device("cpu")), tape, model.item, LARGEST)
    ends = [tested.begin(rows(2)), tested.begin(rows(2))]
    assert (tape.marks, tape.waits, tape.beside) == (2, 0, [False, True])
    for end in ends:
        end()
    assert tape.waits == 2


class Lost(Tape):
    """A device that fails for good while the batch ``last`` is under way."""

    def __init__(self, last):
        super().__init__()
        self.last = last

    def mark(self):
        wait = super().mark()
        lost = self.marks >= self.last
        return self.check if lost else wait

    def check(self):
        if self.marks >= self.last:
            raise RuntimeError("device-side assert triggered")


@pytest.mark.parametrize("executor", EXECUTORS, ids=BY_NAME)
def test_a_device_that_is_lost_answers_both_batches_with_that_and_takes_no_further_one(executor):
    device = Lost(last=2)
    model = tiny_models.passing()
    tested = executor(call_of(model, torch.device("cpu")), device, model.item, LARGEST)
    inference = Inference(tested, check_device=device.check)
    first, second = inference.begin(rows(3)), inference.begin(rows(2))
    assert [answer.outputs[0] for answer in first()] == [0, 1, 2]
    assert [type(answer) for answer in second()] == [DeviceLost] * 2
    assert "device-side assert triggered" in inference.broken
    marks = device.marks
    assert [type(answer) for answer in inference.begin(rows(3))()] == [DeviceLost] * 3
    assert device.marks == marks


# On the device alone.


class Waiting(nn.Module):
    """Asks for a value in the middle, which cannot be recorded."""

    def forward(self, batch):
        return batch * 2 if bool((batch > -1).all()) else batch


class Hungry(nn.Module):
    """Takes a share of the memory that was free at first for each item."""

    def __init__(self, share):
        super().__init__()
        free, _ = torch.cuda.mem_get_info()
        self.each = int(free * share)

    def forward(self, batch):
        ballast = torch.empty((len(batch), self.each), dtype=torch.uint8, device=batch.device)
        return batch + ballast[:, :4] * 0


class Slow(nn.Module):
    """Keeps the device busy for about a second."""

    def forward(self, batch):
        torch.cuda._sleep(2_000_000_000)
        return batch * 2


def vector_model(module):
    return Model("vector", module, "none", input=tiny_models.FOUR_FLOATS)


@on_cuda
@pytest.mark.parametrize("executor", EXECUTORS, ids=BY_NAME)
def test_a_batch_is_asked_for_while_the_device_is_busy_with_another(executor):
    cuda = torch.device("cuda")
    model = vector_model(Slow())
    tested = executor(call_of(model, cuda), Cuda(cuda), model.item, 2)
    first = tested.begin(rows(2))
    second = tested.begin(rows(2, 50))
    after_both = torch.cuda.Event()
    after_both.record()
    busy = not after_both.query()
    assert first().outputs[:, 0].tolist() == [0, 2]
    assert second().outputs[:, 0].tolist() == [100, 102]
    assert busy


@on_cuda
def test_on_cuda_auto_measures_both_and_takes_the_faster_one():
    engine = build_engine(load_settings({}, model="tiny_models:perceptron", device="cuda"))
    assert engine.facts["executor"] in BY_NAME
    for name in BY_NAME:
        engine = build_engine(load_settings({}, model="tiny_models:perceptron", device="cuda", executor=name))
        assert engine.facts["executor"] == name
        assert len(engine.inference.run(rows(5))) == 5


@on_cuda
def test_after_a_recording_that_failed_the_model_runs_eagerly_on_the_stream_of_before(monkeypatch):
    monkeypatch.setattr(tiny_models, "waiting", lambda: vector_model(Waiting()), raising=False)
    before = torch.cuda.current_stream()
    engine = build_engine(load_settings({}, model="tiny_models:waiting", device="cuda"))
    assert engine.facts["executor"] == "eager"
    assert torch.cuda.current_stream() == before
    (result,) = engine.inference.run(rows(1, 3))
    assert result.outputs.tolist() == [6.0] * 4


@on_cuda
def test_a_batch_beyond_the_memory_of_cuda_is_answered_in_parts():
    cuda = torch.device("cuda")
    model = vector_model(Hungry(0.4))
    executor = CudaEagerExecutor(call_of(model, cuda), Cuda(cuda), model.item, 8)
    inference = Inference(executor, free_memory=torch.cuda.empty_cache)
    answers = inference.begin(rows(8))()
    assert [answer.outputs[0] for answer in answers] == list(range(8))
    assert inference.out_of_memory == 2


@on_cuda
def test_a_batch_that_does_not_fit_while_it_is_recorded_is_replayed_in_parts():
    cuda = torch.device("cuda")
    model = vector_model(Hungry(0.3))
    executor = CudaGraphExecutor(call_of(model, cuda), Cuda(cuda), model.item, 4)
    assert sorted(executor._recordings) == [1, 2]
    assert executor.run(rows(4)).outputs[:, 0].tolist() == [0, 1, 2, 3]


# A failed assertion on the device stays with the process, so it has one of its own.
LOOK_UP = """
import os, sys
import numpy as np
from tailgate.service.execution.build import build_engine
from tailgate.service.settings import load_settings
engine = build_engine(load_settings({}, model="look_up:model", device="cuda", executor=sys.argv[1], precision="fp32"))
good, bad = np.zeros(1, np.int64), np.full(1, 10**6)
kinds = [[type(answer).__name__ for answer in engine.inference.begin(batch)()] for batch in ([good], [bad, good], [good])]
print(kinds, "assert" in engine.inference.broken, flush=True)
os._exit(0)
"""
MODULE = """
import numpy as np, torch
from tailgate.service.models import Model, TensorSpec
def model():
    return Model("look-up", torch.nn.Embedding(4, 3), "none", input=TensorSpec((1,), np.dtype(np.int64)))
"""


@on_cuda
@pytest.mark.parametrize("executor", BY_NAME)
def test_an_assertion_that_fails_on_the_device_loses_it_for_all_that_come_after(tmp_path, executor):
    (tmp_path / "look_up.py").write_text(MODULE)
    command = [sys.executable, "-c", LOOK_UP, executor]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    expected = "[['Result'], ['DeviceLost', 'DeviceLost'], ['DeviceLost']] True"
    assert done.stdout.strip() == expected, done.stderr[-2000:]
