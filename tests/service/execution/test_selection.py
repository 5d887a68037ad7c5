"""Which executor is taken and how large its batches are, by a clock that only the models move."""

import numpy as np
import pytest
import tiny_models
import torch
from costly import Clock, Costly
from structlog.testing import capture_logs
from tape import Tape

from tailgate.service.errors import CompileError, ConfigurationError
from tailgate.service.execution import compiled, libraries
from tailgate.service.execution.graph import GraphOutput, ServedGraph
from tailgate.service.execution.trials import parity as precision
from tailgate.service.execution.trials import selection, trial
from tailgate.service.execution.trials.batch_times import Cap
from tailgate.service.execution.trials.selection import select
from tailgate.service.execution.trials.trial import Prepared
from tailgate.service.models import Model
from tailgate.service.settings import LARGEST_CHOSEN_BATCH, load_settings

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
ITEMS = [np.full(4, number, np.float32) for number in range(LARGEST_CHOSEN_BATCH)]


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(trial, "time", clock)
    return clock


def library(clock, cost_s, factor=2.0):
    """Return what a compiled model would be."""

    def call(batch):
        clock.now_s += cost_s(len(batch))
        nothing = batch.new_empty((len(batch), 0))
        return GraphOutput(batch * factor, nothing, nothing)

    return call


def broken_at(size, clock):
    def call(batch):
        if len(batch) == size:
            raise CompileError("the compiled model failed: at this size")
        return library(clock, lambda _: 1e-6)(batch)

    return call


def selected(clock, cost_s, call=None, *, monkeypatch=None, **settings):
    """Select for a model with these costs, beside a compiled one if there is any."""
    model = Model("costly", Costly(clock, cost_s), "none", input=tiny_models.FOUR_FLOATS)
    graph = ServedGraph(model, model.module, torch.float32, 5)
    expected = GraphOutput(torch.from_numpy(np.stack(ITEMS[:8])) * 2, torch.empty(8, 0), torch.empty(8, 0))
    if monkeypatch is not None:
        monkeypatch.setattr(selection, "_library", lambda *_: call)
    with capture_logs() as log:
        found = select(load_settings({}, **settings), Prepared(model, CPU, "fp32", graph, ITEMS, expected))
    return found, log, model.module


@pytest.mark.parametrize(
    ("eager_ms", "compiled_ms", "asked", "taken"),
    [
        (2.0, 1.0, "auto", "compiled"),
        (1.0, 2.0, "auto", "eager"),
        (1.0, 1.0, "auto", "eager"),
        (1.0, 2.0, "compiled", "compiled"),
    ],
)
def test_the_faster_one_is_taken_unless_one_is_asked_for(
    clock, monkeypatch, eager_ms, compiled_ms, asked, taken
):
    call = library(clock, lambda size: compiled_ms / 1e3)
    found, log, _ = selected(clock, lambda _: eager_ms / 1e3, call, monkeypatch=monkeypatch, executor=asked)
    assert found.executor.name == taken
    said = {entry["executor"]: entry for entry in log if entry["event"] == "batch times"}
    assert {name: entry["taken"] for name, entry in said.items()} == {
        name: name == taken for name in ("eager", "compiled")
    }
    assert said["eager"]["milliseconds"][32] == eager_ms
    assert found.times.measured_s[1] == pytest.approx(
        {"eager": eager_ms, "compiled": compiled_ms}[taken] / 1e3
    )


def test_faster_means_over_all_sizes_and_not_at_the_largest_alone(clock, monkeypatch):
    """Twice as fast up to 16 outweighs a third slower at 32."""
    call = library(clock, lambda size: size * (0.5e-3 if size < 32 else 1.3e-3))
    found, _, _ = selected(clock, lambda size: size * 1e-3, call, monkeypatch=monkeypatch)
    assert found.executor.name == "compiled"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (
            lambda clock: library(clock, lambda _: 1e-6, factor=3.0),
            "differs from the model as it came by 0.5 of the largest output",
        ),
        (lambda clock: library(clock, lambda _: 1e-6, factor=2.01), "at most 0.001 is allowed"),
        (
            lambda clock: library(clock, lambda _: 1e-6, factor=np.nan),
            "returns NaN or infinity where fp32 does not",
        ),
        (lambda clock: broken_at(8, clock), "the compiled model failed: at this size"),
        (lambda clock: broken_at(32, clock), "the compiled model failed: at this size"),
        (
            lambda clock: lambda batch: GraphOutput(batch[:, :3], batch, batch),
            "the output for one input is [3] in a batch of 8, expected [4]",
        ),
    ],
    ids=["wrong", "a little off", "NaN", "fails at once", "fails at the largest batch", "another shape"],
)
def test_a_compiled_model_that_cannot_be_used_is_left_out_and_refused_where_it_is_asked_for(
    clock, monkeypatch, make, reason
):
    call = make(clock)
    found, log, _ = selected(clock, lambda _: 1.0, call, monkeypatch=monkeypatch, max_batch_size=32)
    assert found.executor.name == "eager"
    assert found.parity.largest_error == 0
    (warning,) = [entry for entry in log if entry["log_level"] == "warning"]
    assert (warning["event"], warning["executor"]) == ("executor left out", "compiled")
    assert reason in warning["reason"]
    with pytest.raises(ConfigurationError, match="TAILGATE_EXECUTOR: compiled cannot be used") as refusal:
        selected(clock, lambda _: 1.0, call, monkeypatch=monkeypatch, max_batch_size=32, executor="compiled")
    assert reason in str(refusal.value)
    assert "tailgate compile" in str(refusal.value)


def test_a_model_whose_own_answers_are_wrong_is_refused_whatever_is_compiled(clock, monkeypatch):
    monkeypatch.setattr(precision, "compare", lambda *_: precision.Parity(0.5, None, 8))
    with pytest.raises(ConfigurationError, match="TAILGATE_PRECISION: fp32 differs"):
        selected(clock, lambda _: 1e-3, library(clock, lambda _: 1e-6), monkeypatch=monkeypatch)


# CUDA graphs, on a device that is the processor's memory.


class Recorder(Tape):
    """Records by calling again; a replay costs what the test says."""

    def __init__(self, clock, cost_s, error=None):
        super().__init__()
        self.clock, self.cost_s, self.error = clock, cost_s, error

    def record(self, run):
        if self.error is not None:
            raise self.error
        recording = super().record(run)

        def replay():
            before_s = self.clock.now_s
            recording.replay()
            self.clock.now_s = before_s + self.cost_s(len(recording.outputs.outputs))

        return recording._replace(replay=replay)


def selected_with(recorder, clock, monkeypatch, eager_s=lambda _: 1e-3, **settings):
    monkeypatch.setattr(selection, "_cuda", lambda *_: recorder)
    return selected(clock, eager_s, None, monkeypatch=monkeypatch, **settings)


@pytest.mark.parametrize(
    ("graph_ms", "asked", "taken"),
    [(0.5, "auto", "cuda-graph"), (2.0, "auto", "eager"), (2.0, "cuda-graph", "cuda-graph")],
)
def test_recorded_graphs_are_measured_like_the_others(clock, monkeypatch, graph_ms, asked, taken):
    recorder = Recorder(clock, lambda size: graph_ms / 1e3)
    found, log, _ = selected_with(recorder, clock, monkeypatch, executor=asked)
    assert found.executor.name == taken
    said = {entry["executor"]: entry["taken"] for entry in log if entry["event"] == "batch times"}
    assert said == {name: name == taken for name in ("eager", "cuda-graph")}


def test_graphs_are_recorded_for_the_sizes_that_are_timed_and_planned_with(clock, monkeypatch):
    recorder = Recorder(clock, lambda size: (100.0 + size) / 1e3)
    found, _, _ = selected_with(recorder, clock, monkeypatch, executor="cuda-graph", max_batch_size=6)
    assert list(found.times.measured_s) == [1, 2, 4, 6]
    assert sorted(found.executor._recordings) == [1, 2, 4, 6]
    before_s = clock.now_s
    assert len(found.executor.run(ITEMS[:5]).outputs) == 5
    assert clock.now_s - before_s == pytest.approx(0.106)  # padded to the cap


@pytest.mark.parametrize(("fixed_ms", "cost_ms"), [(0.0, 12.0), (100.0, 116.0)], ids=["split", "padded"])
def test_the_measured_times_decide_how_recorded_graphs_are_put_together(
    clock, monkeypatch, fixed_ms, cost_ms
):
    recorder = Recorder(clock, lambda size: (fixed_ms + size) / 1e3)
    found, _, _ = selected_with(recorder, clock, monkeypatch, executor="cuda-graph")
    before_s = clock.now_s
    rows = found.executor.run(ITEMS[:12]).outputs
    assert clock.now_s - before_s == pytest.approx(cost_ms / 1e3)
    assert rows[:, 0].tolist() == [2.0 * number for number in range(12)]


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("operation not permitted when stream is capturing\nand pages of advice"),
        torch.cuda.OutOfMemoryError("tried to allocate 2 GiB"),
    ],
)
def test_a_model_that_cannot_be_recorded_runs_eagerly_and_that_is_said_once_or_refused_where_graphs_are_asked_for(
    clock, monkeypatch, error
):
    recorder = Recorder(clock, lambda _: 1e-6, error)
    found, log, _ = selected_with(recorder, clock, monkeypatch)
    assert found.executor.name == "eager"
    (warning,) = [entry for entry in log if entry["log_level"] == "warning"]
    assert (warning["event"], warning["executor"]) == ("executor left out", "cuda-graph")
    assert str(error).splitlines()[0] in warning["reason"]
    assert "advice" not in warning["reason"]
    with pytest.raises(ConfigurationError, match="TAILGATE_EXECUTOR: cuda-graph cannot be used"):
        selected_with(recorder, clock, monkeypatch, executor="cuda-graph")


def test_graphs_that_are_asked_for_without_cuda_are_refused_and_auto_does_without():
    with pytest.raises(ConfigurationError, match="cuda-graph is asked for, but the model runs on the cpu"):
        selection._cuda(load_settings({}, executor="cuda-graph"), CPU)
    assert selection._cuda(load_settings({}), CPU) is None


@pytest.mark.parametrize("asked", ["auto", "eager"])
def test_an_eager_model_on_cuda_takes_a_batch_while_another_is_under_way(clock, monkeypatch, asked):
    recorder = Recorder(clock, lambda _: 1.0)
    found, _, _ = selected_with(recorder, clock, monkeypatch, executor=asked)
    assert (found.executor.name, found.executor.pipelined) == ("eager", True)
    assert bool(recorder.recorded) == (asked == "auto")
    first, second = found.executor.begin(ITEMS[:3]), found.executor.begin(ITEMS[3:8])
    assert first().outputs[:, 0].tolist() == [0, 2, 4]
    assert second().outputs[:, 0].tolist() == [6, 8, 10, 12, 14]


# Where the device's memory is too small.


def room_for(size):
    """Return a model's cost: a millisecond, as long as the batch fits."""

    def cost_s(count):
        if count > size:
            raise torch.cuda.OutOfMemoryError("tried to allocate 2 GiB")
        return 1e-3

    return cost_s


def test_the_largest_batch_that_fits_bounds_the_chosen_cap(clock):
    found, _, _ = selected(clock, room_for(20), executor="eager")
    assert found.cap == Cap(16, "a larger batch does not fit into the device's memory")


@pytest.mark.parametrize(("room", "settings"), [(20, {"max_batch_size": 32}), (4, {})])
def test_a_batch_that_is_asked_for_and_does_not_fit_stops_the_start_with_what_to_set(clock, room, settings):
    with pytest.raises(ConfigurationError, match="TAILGATE_MAX_BATCH_SIZE: the device's memory is too small"):
        selected(clock, room_for(room), executor="eager", **settings)


@pytest.mark.parametrize("cap", [1, 3, 7])
def test_nothing_larger_than_the_cap_is_run_though_answers_are_compared_for_more_inputs(clock, cap):
    found, _, module = selected(clock, room_for(cap), executor="eager", max_batch_size=cap)
    assert found.parity.inputs == 8
    assert max(module.sizes) == cap


# Where there is no library.


def test_without_a_cache_it_is_eager_and_says_once_how_to_get_more(clock, tmp_path):
    found, log, _ = selected(clock, lambda _: 1e-3, cache_dir=tmp_path / "none")
    assert found.executor.name == "eager"
    (entry,) = [entry for entry in log if entry["event"] == "no compiled model"]
    assert (entry["log_level"], "tailgate compile" in entry["hint"]) == ("info", True)
    assert [entry["executor"] for entry in log if entry["event"] == "batch times"] == ["eager"]


def test_where_eager_is_asked_for_nothing_is_said_of_compiled_models(clock, tmp_path):
    found, log, _ = selected(clock, lambda _: 1e-3, cache_dir=tmp_path, executor="eager")
    assert found.executor.name == "eager"
    assert [entry["event"] for entry in log] == ["batch times", "largest batch"]


def perceptron_selected(**settings):
    model = tiny_models.perceptron()
    graph = ServedGraph(model, model.module, torch.float32, 3)
    with torch.no_grad():
        expected = graph(torch.from_numpy(np.stack(ITEMS[:8])))
    with capture_logs() as log:
        ready = Prepared(model, CPU, "fp32", graph, ITEMS, expected)
        return select(load_settings({}, model="tiny_models:perceptron", **settings), ready), log


def test_a_cache_with_other_models_only_is_warned_of_with_the_command(tmp_path):
    (tmp_path / "0123.so").touch()
    found, log = perceptron_selected(cache_dir=tmp_path, max_batch_size=4)
    assert found.executor.name == "eager"
    (entry,) = [entry for entry in log if entry["log_level"] == "warning"]
    assert f"there is none for this model and these settings in {tmp_path}" in entry["reason"]
    assert "tailgate compile" in entry["reason"]


def test_a_library_of_this_very_model_that_does_not_load_is_warned_of(tmp_path, monkeypatch):
    monkeypatch.setattr(compiled, "cache_key", lambda _: "0123")
    (tmp_path / "text").write_bytes(b"no library")
    path = libraries.keep(tmp_path / "text", tmp_path, "0123")
    found, log = perceptron_selected(cache_dir=tmp_path, max_batch_size=4)
    assert found.executor.name == "eager"
    (entry,) = [entry for entry in log if entry["log_level"] == "warning"]
    assert f"{path.name} does not load" in entry["reason"]


def raises(error):
    def raising(*_, **__):
        raise error

    return raising


@pytest.mark.parametrize(
    ("where", "error"),
    [
        ("pathlib.Path.glob", PermissionError(13, "not yours")),
        ("tailgate.service.execution.libraries.found", PermissionError(13, "not yours")),
        ("tailgate.service.execution.compiled.export", RecursionError("too deep\nand a page of advice")),
        ("tailgate.service.execution.compiled.cache_key", NotImplementedError("no bytes of a sparse tensor")),
        ("tailgate.service.execution.compiled.load_library", ValueError("whatever")),
    ],
)
def test_whatever_fails_on_the_way_to_a_library_leaves_eager_and_is_refused_where_compiled_is_asked_for(
    tmp_path, monkeypatch, where, error
):
    (tmp_path / "0123-00.so").touch()
    if where == "tailgate.service.execution.compiled.load_library":
        monkeypatch.setattr(compiled, "cache_key", lambda _: "0123")
    options = {"cache_dir": tmp_path, "max_batch_size": 4}
    with monkeypatch.context() as patch:
        patch.setattr(where, raises(error))
        found, log = perceptron_selected(**options)
        with pytest.raises(ConfigurationError, match=f"asked for, but .*{type(error).__name__}"):
            perceptron_selected(**options, executor="compiled")
    assert found.executor.name == "eager"
    (entry,) = [entry for entry in log if entry["log_level"] == "warning"]
    assert str(error).splitlines()[0] in entry["reason"]
    assert "advice" not in entry["reason"]


def test_compiled_that_is_asked_for_and_missing_is_refused_with_the_command(tmp_path):
    with pytest.raises(
        ConfigurationError, match=r"compiled is asked for, but there is none .* make it with: "
    ):
        perceptron_selected(cache_dir=tmp_path, executor="compiled", max_batch_size=4)


def test_compiled_is_refused_where_the_device_is_not_the_cpu(tmp_path):
    settings = load_settings({}, executor="compiled", cache_dir=tmp_path)
    with pytest.raises(ConfigurationError, match="compiled models run on the CPU only"):
        selection._library(settings, None, CUDA, ITEMS)
    assert selection._library(load_settings({}, cache_dir=tmp_path), None, CUDA, ITEMS) is None


def test_a_slow_eager_model_is_compared_over_the_sizes_that_both_have(clock, monkeypatch):
    call = library(clock, lambda size: size * 0.1)
    found, _, _ = selected(clock, lambda size: size * 0.2, call, monkeypatch=monkeypatch)
    assert found.executor.name == "compiled"
    assert list(found.times.measured_s) == [1, 2, 4, 8, 16]


@pytest.mark.parametrize(
    ("settings", "cap"),
    [
        ({}, 32),
        ({"max_batch_size": 6}, 6),
        ({"latency_objective_ms": 51.0}, 16),
        ({"latency_objective_ms": 50.0, "max_batch_size": 32}, 32),
    ],
)
def test_the_cap_is_the_one_that_is_set_or_the_largest_that_pays_and_keeps_the_objective(
    clock, settings, cap
):
    found, _, _ = selected(clock, lambda size: 9e-3 + size * 1e-3, executor="eager", **settings)
    assert found.cap.size == cap
    assert found.times.predict_s(cap) == pytest.approx(9e-3 + cap * 1e-3)


def test_the_chosen_executor_has_room_for_every_batch(clock):
    found, _, _ = selected(clock, lambda _: 1e-3, executor="eager")
    rows = found.executor.run(ITEMS).outputs
    assert rows.tolist() == [[2.0 * number] * 4 for number in range(LARGEST_CHOSEN_BATCH)]
