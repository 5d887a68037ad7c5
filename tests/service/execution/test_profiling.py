"""Recordings of PyTorch's profiler on demand: what is in them, and that no batch fails or waits for one without need."""

import json
import os
import signal
from types import SimpleNamespace

import pytest
import torch
from edges import PIXELS, Connection, two_edges
from hypothesis import given
from hypothesis import strategies as st
from serving import serve_and, until
from structlog.testing import capture_logs

from tailgate.service.errors import ConfigurationError
from tailgate.service.execution import profiling as profiling_module
from tailgate.service.execution.profiling import (
    MOST_BYTES,
    Profiling,
    Recording,
    more_batches,
    require_folder,
)
from tailgate.service.http.app import create_app
from tailgate.service.settings import load_settings

WEIGHTS = torch.rand(8, 8)


def compute(items):
    return [(torch.full((1, 8), float(item)) @ WEIGHTS).relu() for item in items]


INFERENCE = SimpleNamespace(run=compute, begin=lambda items: lambda: compute(items))


def names_in(path):
    """Return the names of operators and ranges in a recording."""
    events = json.loads(path.read_text())["traceEvents"]
    return [event["name"] for event in events if event.get("cat") in ("cpu_op", "user_annotation")]


def recorded(folder, batches=3, inference=INFERENCE):
    """Return what runs batches, with a recording that has been asked for and begins with the next batch."""
    profiling = Profiling(inference, folder, batches)
    profiling._one.acquire()
    profiling._prepare(folder)
    return profiling


def files(folder):
    (made,) = folder.iterdir()
    return sorted(path.name for path in made.iterdir()), made


def test_the_operators_of_the_next_batches_are_recorded(tmp_path):
    profiling = recorded(tmp_path)
    with capture_logs() as lines:
        for size in (1, 2, 3, 4):
            assert len(profiling.run([0.5] * size)) == size
    names, made = files(tmp_path)
    assert names == ["1.json", "2.json"]
    first, rest = (names_in(made / name) for name in names)
    assert [name for name in first if name.startswith("batch")] == ["batch of 1"]
    assert [name for name in rest if name.startswith("batch")] == ["batch of 2", "batch of 3"]
    assert first.count("aten::mm") == 1
    assert rest.count("aten::mm") == 5
    assert "aten::relu" in rest
    assert made.stat().st_mode & 0o777 == 0o700
    assert [(line["event"], line["batches"]) for line in lines] == [("batches were recorded", 3)]


def test_two_batches_may_be_under_way(tmp_path):
    profiling = recorded(tmp_path, batches=2)
    first = profiling.begin([1.0])
    second = profiling.begin([1.0, 1.0])
    assert [len(first()), len(second())] == [1, 2]
    third = profiling.begin([1.0] * 3)
    fourth = profiling.begin([1.0] * 4)
    assert [len(third()), len(fourth())] == [3, 4]
    names, made = files(tmp_path)
    assert names == ["1.json", "2.json"]
    assert names_in(made / "1.json").count("aten::mm") == 1
    assert names_in(made / "2.json").count("aten::mm") == 3
    assert profiling._one.acquire(blocking=False)


def test_without_a_recording_a_batch_goes_straight_to_the_inference(monkeypatch):
    monkeypatch.setattr(profiling_module, "new_profile", pytest.fail)
    monkeypatch.setattr(profiling_module, "batch_range", pytest.fail)
    profiling = Profiling(INFERENCE, None, 3)
    assert len(profiling.run([1.0])) == len(profiling.begin([1.0])()) == 1


def test_one_recording_is_under_way_at_a_time_and_another_may_follow(tmp_path):
    profiling = recorded(tmp_path, batches=1)
    with capture_logs() as lines:
        profiling.ask()
    assert lines[0]["reason"] == "a recording is under way"
    profiling.run([1.0])
    assert profiling._one.acquire(blocking=False)
    profiling._prepare(tmp_path)
    profiling.run([1.0])
    assert len(list(tmp_path.iterdir())) == 2


def test_without_a_folder_nothing_is_recorded():
    with capture_logs() as lines:
        Profiling(INFERENCE, None, 3).ask()
    assert lines[0]["reason"] == "TAILGATE_PROFILE_DIR is unset"


@pytest.mark.parametrize("step", ["begin", "end"])
def test_a_recording_that_fails_ends_and_no_batch_fails_with_it(tmp_path, monkeypatch, step):
    profiling = recorded(tmp_path)

    def broken(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Recording, step, broken)
    with capture_logs() as lines:
        assert [len(profiling.run([1.0])) for _ in range(3)] == [1, 1, 1]
    assert [line["event"] for line in lines] == ["the recording ends early"]
    assert profiling._one.acquire(blocking=False)


def test_a_folder_that_goes_away_ends_the_recording(tmp_path):
    profiling = recorded(tmp_path)
    (made,) = tmp_path.iterdir()
    made.rmdir()
    with capture_logs() as lines:
        assert len(profiling.run([1.0])) == 1
    assert lines[-1]["event"] == "the recording ends early"
    assert profiling._one.acquire(blocking=False)


def test_a_folder_that_cannot_be_written_is_told_when_it_is_asked_for(tmp_path):
    profiling = Profiling(INFERENCE, tmp_path / "gone", 3)
    profiling._one.acquire()
    with capture_logs() as lines:
        profiling._prepare(tmp_path / "gone")
    assert lines[0]["event"] == "nothing is recorded"
    assert profiling._one.acquire(blocking=False)


@given(st.integers(1, 100), st.lists(st.integers(1, MOST_BYTES), min_size=1))
def test_a_recording_ends_and_takes_no_more_than_its_bytes_where_batches_are_alike(wanted, sizes):
    done = written_bytes = files_ = 0
    each_bytes = sizes[0]
    while count := more_batches(wanted, done, written_bytes):
        done, files_ = done + count, files_ + 1
        written_bytes += count * each_bytes
    assert 1 <= done <= wanted
    assert written_bytes <= MOST_BYTES
    assert files_ <= 2
    assert done == wanted or (done + 1) * each_bytes > MOST_BYTES


@given(st.integers(1, 100), st.lists(st.integers(1, 2 * MOST_BYTES), min_size=100, max_size=100))
def test_a_recording_ends_whatever_its_files_turn_out_to_have(wanted, sizes):
    done = written_bytes = 0
    for each_bytes in sizes:
        count = more_batches(wanted, done, written_bytes)
        if not count:
            break
        done, written_bytes = done + count, written_bytes + each_bytes
    assert not more_batches(wanted, done, written_bytes)
    assert done <= wanted


# In a service.


def test_a_service_records_its_model_while_it_answers(tmp_path, monkeypatch):
    with (
        two_edges(monkeypatch, profile_dir=tmp_path, profile_batches=2) as edges,
        Connection(edges.hot) as client,
    ):
        profiling = edges.service.pipeline.profiling
        edges.loop.call_soon_threadsafe(edges.service.profile)
        edges.until(lambda: profiling._recording is not None)
        for _ in range(4):
            client.send(PIXELS)
            assert client.answer()[0] == 200
        edges.rest()
        assert profiling._recording is None
    names, made = files(tmp_path)
    assert names == ["1.json", "2.json"]
    assert all("aten::mean" in names_in(made / name) for name in names)


def test_a_signal_asks_and_a_service_without_a_folder_goes_on(monkeypatch):
    lines = []

    async def visit(server, service, address):
        await until(lambda: service.phase.value == "ready")
        with capture_logs() as captured:
            os.kill(os.getpid(), signal.SIGUSR2)
            await until(lambda: any(line["event"] == "nothing is recorded" for line in captured))
        lines.extend(captured)
        assert service.ready
        os.kill(os.getpid(), signal.SIGTERM)

    assert serve_and(visit, monkeypatch, model="tiny_models:doubler", executor="eager", threads=1) == 0
    assert any(line.get("reason") == "TAILGATE_PROFILE_DIR is unset" for line in lines)


def test_a_service_that_is_not_ready_says_so():
    service = create_app(load_settings({})).state.service
    with capture_logs() as lines:
        service.profile()
    assert lines[0]["reason"] == "the service is starting"


@pytest.mark.parametrize("kind", ["missing", "a file"])
def test_a_folder_that_cannot_be_written_is_refused_before_anything_starts(tmp_path, kind):
    folder = tmp_path / "x"
    if kind == "a file":
        folder.write_text("")
    with pytest.raises(ConfigurationError, match="TAILGATE_PROFILE_DIR: expected a folder"):
        create_app(load_settings({"TAILGATE_PROFILE_DIR": str(folder)}))


def test_a_folder_that_can_be_written_is_taken_and_stays_empty(tmp_path):
    require_folder(tmp_path)
    require_folder(None)
    assert list(tmp_path.iterdir()) == []
