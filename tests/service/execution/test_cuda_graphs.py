"""Recorded buckets: which are replayed for a batch, in which order, on which rows; on a stand-in for the device."""

import gc
import weakref

import numpy as np
import pytest
import tiny_models
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from tape import Tape

from tailgate.service.execution.cuda import CudaGraphExecutor, Recording
from tailgate.service.execution.executor import eager
from tailgate.service.execution.graph import ServedGraph

CPU = torch.device("cpu")
PER_ITEM = {1: 1.0, 2: 2.0, 4: 4.0, 8: 8.0}


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


@pytest.mark.parametrize(
    ("room", "recorded"), [(12, [12, 8, 4, 2, 1]), (8, [8, 4, 2, 1]), (3, [2, 1]), (1, [1])]
)
def test_a_batch_too_large_to_be_recorded_is_replayed_in_parts_and_that_is_said(room, recorded):
    with capture_logs() as log:
        executor, tape = executor_of(tiny_models.doubler(), 12, Tape(room))
    assert tape.recorded == recorded
    too_large = [size for size in (12, 8, 4, 2) if size > room]
    assert [entry["sizes"] for entry in log] == ([too_large] if too_large else [])
    executor.plan(dict.fromkeys((1, 2, 4, 8, 12), 1.0))
    for count in (1, 5, 12):
        rows_of = executor.run(rows(count)).outputs
        assert rows_of[:, 0].tolist() == [2.0 * number for number in range(count)]
    assert max(tape.replayed) <= room


def test_a_device_without_room_for_one_item_is_no_place_for_recordings():
    with pytest.raises(torch.OutOfMemoryError):
        executor_of(tiny_models.doubler(), device=Tape(room=0))


def test_what_the_model_raises_while_it_is_recorded_comes_through():
    class Refusing(Tape):
        def record(self, run):
            raise RuntimeError("operation not permitted when stream is capturing")

    with pytest.raises(RuntimeError, match="when stream is capturing"):
        executor_of(tiny_models.doubler(), device=Refusing())
