"""A start that fails in any way is a failed start: told once with its reason, not live, not ready, and the process's status is 1."""

import asyncio
import sys
import types

import httpx
import pytest
from structlog.testing import capture_logs

from tailgate.service.batching import pipeline
from tailgate.service.batching import start as building
from tailgate.service.batching.service import Phase, Service
from tailgate.service.batching.workers import Workers
from tailgate.service.errors import ConfigurationError
from tailgate.service.http import server
from tailgate.service.http.app import create_app
from tailgate.service.settings import load_settings

OPTIONS = {
    "model": "raising:factory",
    "threads": 1,
    "max_batch_size": 2,
    "executor": "eager",
    "device": "cpu",
}


class Panic(BaseException):
    """As extensions written in Rust raise."""


class Unspeakable(RuntimeError):
    def __str__(self):
        raise ValueError("it has no text")


ERRORS = {
    "an exception": RuntimeError("no such table"),
    "no text": ValueError(),
    "many lines": OSError("disk on fire\nand pages of advice"),
    "an error without a text": Unspeakable(),
    "a panic": Panic("called `Option::unwrap()` on a `None` value"),
    "cancelled": asyncio.CancelledError(),
    "a generator's end": GeneratorExit(),
    "an iterator's end": StopIteration(),
    "exit": SystemExit(0),
    "exit with a text": SystemExit("the licence has expired"),
    "interrupted": KeyboardInterrupt(),
    "memory": MemoryError(),
    "a group": BaseExceptionGroup("several", [Panic("one"), ValueError("two")]),
    "wrong settings": ConfigurationError("TAILGATE_MODEL: not today"),
}


@pytest.fixture(params=ERRORS.values(), ids=ERRORS)
def error(request, monkeypatch):
    def factory():
        raise request.param

    monkeypatch.setitem(sys.modules, "raising", types.SimpleNamespace(factory=factory))
    return request.param


def test_whatever_a_factory_raises_ends_the_process_with_status_1_and_one_line_of_reason(error):
    with capture_logs() as log:
        assert server.run(load_settings({}, port=0, **OPTIONS)) == 1
    (entry,) = [entry for entry in log if entry["event"] == "cannot start"]
    expected = type(error).__name__ if not isinstance(error, ConfigurationError | Unspeakable) else "no"
    assert expected in entry["reason"]
    assert "\n" not in entry["reason"]
    assert (entry.get("exc_info") is None) == isinstance(error, ConfigurationError)


@pytest.mark.parametrize("error", [ERRORS["cancelled"], ERRORS["exit"]], indirect=True)
@pytest.mark.asyncio
async def test_under_another_server_a_failed_start_is_neither_live_nor_ready(error):
    app = create_app(load_settings({}, **OPTIONS))
    await app.state.service.start()
    assert app.state.service.phase is Phase.FAILED
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://tailgate") as client:
        live, ready = [await client.get(f"/health/{probe}") for probe in ("live", "ready")]
        predict = await client.post("/predict", json={"inputs": [1, 2, 3, 4]})
    assert (live.status_code, live.json()["status"]) == (503, "failed")
    assert (ready.status_code, ready.json()) == (503, {"status": "failed"})
    assert predict.status_code == 503


def no_more_threads(*_, **__):
    raise RuntimeError("can't start new thread")


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (building, "_build"),
        (building.threading.Thread, "start"),
        (pipeline, "BatchPolicy"),
        (pipeline, "Forecast"),
        (pipeline, "Dispatcher"),
        (pipeline.Dispatcher, "start"),
        (pipeline, "Workers"),
        (pipeline.Workers, "start"),
        (pipeline, "Crowd"),
        (pipeline, "Admission"),
    ],
)
@pytest.mark.asyncio
async def test_a_start_that_fails_at_any_step_says_so_and_can_be_stopped(monkeypatch, owner, name):
    service = Service(load_settings({}, **OPTIONS | {"model": "tiny_models:doubler"}))
    with capture_logs() as log, monkeypatch.context() as patch:
        patch.setattr(owner, name, no_more_threads)
        await service.start()
    assert (service.phase, service.ready, service.failed.is_set()) == (Phase.FAILED, False, True)
    assert service.hung == "the start has failed, and the log says why"
    (entry,) = [entry for entry in log if entry["event"] == "cannot start"]
    assert entry["reason"] == "RuntimeError: can't start new thread"
    await asyncio.to_thread(service.stop)
    assert service.phase is Phase.FAILED


@pytest.mark.asyncio
async def test_what_is_to_be_done_before_ready_may_fail_too():
    service = Service(load_settings({}, **OPTIONS | {"model": "tiny_models:doubler"}))
    await service.start(no_more_threads)
    assert service.phase is Phase.FAILED
    await asyncio.to_thread(service.stop)


@pytest.mark.parametrize("allowed", [0, 1, 2])
@pytest.mark.asyncio
async def test_where_not_all_threads_can_be_started_those_that_were_can_be_stopped(monkeypatch, allowed):
    started = []
    real = building.threading.Thread.start

    def start(self):
        if len(started) == allowed:
            no_more_threads()
        started.append(self)
        real(self)

    workers = Workers("few", 3, asyncio.get_running_loop())
    with monkeypatch.context() as patch:
        patch.setattr(building.threading.Thread, "start", start)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            workers.start()
    workers.stop()
    for thread in started:
        await asyncio.to_thread(thread.join, 30)
        assert not thread.is_alive()


@pytest.mark.asyncio
async def test_a_start_that_is_cancelled_is_no_failed_start(monkeypatch):
    held = building.threading.Event()
    monkeypatch.setattr(building, "_build", lambda _: held.wait(30))
    service = Service(load_settings({}, **OPTIONS))
    starting = asyncio.create_task(service.start())
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    held.set()
    assert service.phase is Phase.STARTING
