"""Recorded buckets: which are replayed for a batch, in which order, on which rows. CUDA itself is tested where there is some."""

import gc
import weakref

import numpy as np
import pytest
import tiny_models
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tailgate.service.execution.build import build_engine
from tailgate.service.execution.cuda import Cuda, CudaGraphExecutor, Recording
from tailgate.service.execution.executor import eager
from tailgate.service.execution.graph import ServedGraph
from tailgate.service.models import Model
from tailgate.service.settings import load_settings

CPU = torch.device("cpu")
PER_ITEM = {1: 1.0, 2: 2.0, 4: 4.0, 8: 8.0}
needs_cuda = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="records CUDA graphs, and there is no CUDA device"
)


class Tape:
    """A device in the processor's memory: a replay runs the function again and puts its results where they were."""

    def __init__(self):
        self.recorded, self.replayed, self.beside, self.marks, self.waits = [], [], [], 0, 0

    def host_buffer(self, shape, dtype):
        return torch.zeros(tuple(shape), dtype=dtype)

    device_buffer = host_buffer

    def record(self, run):
        outputs = run()
        size = len(outputs.outputs)
        self.recorded.append(size)

        def replay():
            self.replayed.append(size)
            for kept, new in zip(outputs, run(), strict=True):
                kept.copy_(new)

        return Recording(replay, outputs)

    def upload(self, target, source, *, beside):
        self.beside.append(beside)
        target.copy_(source)

    def mark(self):
        self.marks += 1

        def wait():
            self.waits += 1

        return wait


def executor_of(model, max_batch_size=8, device=None):
    graph = ServedGraph(model, model.module, torch.float32, 2)
    tape = device or Tape()
    return CudaGraphExecutor(eager(graph, CPU), tape, model.item, max_batch_size), tape


def rows(count, first=0):
    return [np.full(4, first + number, np.float32) for number in range(count)]


def test_every_bucket_is_recorded_once_the_largest_first():
    _, tape = executor_of(tiny_models.doubler(), 12)
    assert tape.recorded == [12, 8, 4, 2, 1]
    assert tape.replayed == []


@pytest.mark.parametrize(
    ("count", "planned", "replayed"),
    [
        (1, None, [1]),
        (3, None, [4]),  # before anything is measured: padded to the next
        (5, None, [8]),
        (5, PER_ITEM, [4, 1]),
        (7, PER_ITEM, [4, 2, 1]),
        (7, {1: 1.0, 2: 1.0, 4: 1.0, 8: 1.1}, [8]),
        (8, {1: 1.0, 2: 1.1, 4: 1.2}, [4, 4]),  # only what was measured
        (8, {1: 1.0, 2: 1.1, 4: 1.2, 3: 1e-3}, [4, 4]),  # and recorded
    ],
)
def test_a_batch_is_replayed_by_its_cheapest_cover_and_waited_for_once(count, planned, replayed):
    executor, tape = executor_of(tiny_models.doubler())
    if planned is not None:
        executor.plan(planned)
    result = executor.run(rows(count))
    assert result.outputs.tolist() == [[2.0 * number] * 4 for number in range(count)]
    assert (tape.replayed, tape.waits) == (replayed, 1)


@settings(deadline=None)
@given(st.lists(st.integers(1, 8), min_size=1, max_size=12), st.sampled_from([None, PER_ITEM]))
def test_each_result_belongs_to_its_item_whatever_ran_before(counts, planned):
    executor, _ = executor_of(tiny_models.doubler())
    if planned is not None:
        executor.plan(planned)
    for first, count in enumerate(counts):
        result = executor.run(rows(count, 100 * first))
        assert result.outputs[:, 0].tolist() == [2.0 * (100 * first + number) for number in range(count)]


def test_a_batch_is_put_together_while_another_is_under_way_and_neither_takes_the_others_rows():
    executor, tape = executor_of(tiny_models.passing())
    first = executor.begin(rows(3))
    second = executor.begin(rows(5, 50))
    assert (tape.marks, tape.waits) == (2, 0)
    assert first().outputs[:, 0].tolist() == [0, 1, 2]
    third = executor.begin(rows(2, 90))
    assert second().outputs[:, 0].tolist() == [50, 51, 52, 53, 54]
    assert third().outputs[:, 0].tolist() == [90, 91]
    assert executor.run(rows(1, 7)).outputs[:, 0].tolist() == [7]
    assert tape.waits == 4
    assert tape.beside == [False, True, True, False]  # an idle device has nothing to compute meanwhile


def test_a_batch_that_cannot_be_put_together_leaves_room_for_the_next():
    executor, _ = executor_of(tiny_models.passing())
    for _ in range(3):
        with pytest.raises(RuntimeError):
            executor.begin([np.zeros(3, np.float32), np.zeros(4, np.float32)])
    assert executor.run(rows(2)).outputs[:, 0].tolist() == [0, 1]


def test_a_device_that_fails_while_it_is_waited_for_leaves_room_for_the_next():
    class Failing(Tape):
        def mark(self):
            def wait():
                raise RuntimeError("device-side fault")

            return wait if len(self.replayed) < 3 else super().mark()

    executor, _ = executor_of(tiny_models.passing(), device=Failing())
    for _ in range(2):
        with pytest.raises(RuntimeError, match="device-side fault"):
            executor.run(rows(1))
    assert executor.run(rows(1, 7)).outputs[:, 0].tolist() == [7]


def test_items_that_may_only_be_read_are_gathered_without_a_warning():
    executor, _ = executor_of(tiny_models.passing())
    items = [
        np.frombuffer(b"?" + np.full(4, number, np.float32).tobytes(), np.float32, offset=1)
        for number in (3, 4)
    ]
    assert executor.run(items).outputs[:, 0].tolist() == [3, 4]


def test_results_stay_as_they_were_when_the_next_batch_runs():
    executor, _ = executor_of(tiny_models.passing())
    first = executor.run(rows(3))
    executor.run(rows(3, 50))
    assert first.outputs[:, 0].tolist() == [0, 1, 2]


def test_labels_are_copied_back_as_well():
    executor, _ = executor_of(tiny_models.colours(), 4)
    green, red = (np.broadcast_to(np.array(rgb, np.uint8), (8, 8, 3)) for rgb in ([9, 200, 9], [200, 9, 9]))
    assert executor.run([green, red, green]).classes[:, 0].tolist() == [1, 0, 1]


def test_the_model_stays_as_long_as_what_was_recorded_of_it():
    class Forgetting(Tape):
        def record(self, run):
            return Recording(lambda: None, run())  # as CUDA does: addresses, and nothing else

    model = tiny_models.perceptron()
    graph = eager(ServedGraph(model, model.module, torch.float32, 2), CPU)
    weights = weakref.ref(graph)
    executor = CudaGraphExecutor(graph, Forgetting(), model.item, 2)
    del graph
    gc.collect()
    assert weights() is not None
    del executor
    gc.collect()
    assert weights() is None


def test_what_the_model_raises_while_it_is_recorded_comes_through():
    class Refusing(Tape):
        def record(self, run):
            raise RuntimeError("operation not permitted when stream is capturing")

    with pytest.raises(RuntimeError, match="when stream is capturing"):
        executor_of(tiny_models.doubler(), device=Refusing())


# On CUDA.


class Waiting(nn.Module):
    """Asks for a value in the middle, which cannot be recorded."""

    def forward(self, batch):
        return batch * 2 if bool((batch > -1).all()) else batch


@needs_cuda
@pytest.mark.parametrize("model", [tiny_models.unlabelled, tiny_models.perceptron, tiny_models.colours])
def test_a_recorded_model_answers_as_the_eager_one_for_every_batch_size(model):
    model = model()
    cuda = torch.device("cuda")
    call = eager(ServedGraph(model, model.module.eval(), torch.float32, 2), cuda)
    executor = CudaGraphExecutor(call, Cuda(cuda), model.item, 8)
    executor.plan(PER_ITEM)
    generator = np.random.default_rng(0)
    for count in range(1, 9):
        items = list((generator.random((count, *model.item.shape)) * 200).astype(model.item.dtype))
        got = executor.run(items)
        with torch.inference_mode():
            expected = call(torch.from_numpy(np.stack(items)).to(cuda))
        torch.testing.assert_close(got.outputs, expected.outputs.cpu())
        assert torch.equal(got.classes, expected.classes.cpu())


@needs_cuda
def test_on_cuda_auto_measures_both_and_takes_the_faster_one():
    engine = build_engine(load_settings({}, model="tiny_models:perceptron", device="cuda"))
    assert engine.facts["executor"] in ("eager", "cuda-graph")
    engine = build_engine(
        load_settings({}, model="tiny_models:perceptron", device="cuda", executor="cuda-graph")
    )
    assert engine.facts["executor"] == "cuda-graph"
    assert len(engine.inference.run(rows(5))) == 5


@needs_cuda
def test_after_a_recording_that_failed_the_model_runs_eagerly(monkeypatch):
    model = Model("waiting", Waiting(), "none", input=tiny_models.FOUR_FLOATS)
    monkeypatch.setattr(tiny_models, "waiting", lambda: model, raising=False)
    engine = build_engine(load_settings({}, model="tiny_models:waiting", device="cuda"))
    assert engine.facts["executor"] == "eager"
    (result,) = engine.inference.run(rows(1, 3))
    assert result.outputs.tolist() == [6.0] * 4


@needs_cuda
def test_a_batch_beyond_the_memory_of_cuda_is_answered_in_parts():
    free, _ = torch.cuda.mem_get_info()

    class Hungry(nn.Module):
        """Takes two fifths of what is free for each item."""

        def forward(self, batch):
            ballast = torch.empty((len(batch), int(free * 0.4)), dtype=torch.uint8, device=batch.device)
            return batch + ballast[:, :4] * 0

    model = Model("hungry", Hungry(), "none", input=tiny_models.FOUR_FLOATS)
    from tailgate.service.execution.executor import BufferedExecutor
    from tailgate.service.execution.isolate import Inference

    cuda = torch.device("cuda")
    call = eager(ServedGraph(model, model.module, torch.float32, 2), cuda)
    inference = Inference(
        BufferedExecutor("eager", call, cuda, model.item, 8), free_memory=torch.cuda.empty_cache
    )
    answers = inference.run(rows(8))
    assert [answer.outputs[0] for answer in answers] == list(range(8))
    assert inference.out_of_memory == 2
