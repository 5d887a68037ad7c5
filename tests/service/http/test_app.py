"""Health, readiness, metadata, and paths and methods that are not served."""

import asyncio
import itertools
import multiprocessing

import httpx
import pytest
from serving import running

from tailgate.service.batching.service import Phase
from tailgate.service.errors import ConfigurationError
from tailgate.service.http.app import create_app
from tailgate.service.settings import load_settings

pytestmark = pytest.mark.asyncio
ALIASES = {"/healthz": "/health/live", "/livez": "/health/live", "/readyz": "/health/ready"}


def client_of(app):
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://tailgate")


async def test_before_the_model_is_loaded_the_service_is_live_and_not_ready():
    app = create_app(load_settings({}))
    async with client_of(app) as client:
        live = await client.get("/health/live")
        ready = await client.get("/health/ready")
        refused = await client.post("/predict", content=b"x")
        about = await client.get("/")
    assert (live.status_code, live.json()) == (200, {"status": "live"})
    assert (ready.status_code, ready.json()) == (503, {"status": "starting"})
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert "the service is starting; try again later" in refused.json()["error"]
    assert about.json()["engine"] is None


async def test_after_warm_up_it_is_ready_and_says_what_is_served():
    async with running("tiny_models:perceptron") as server:
        ready = await server.client.get("/health/ready")
        about = (await server.client.get("/")).json()
        metrics = await server.client.get("/metrics")
    assert (ready.status_code, ready.json()) == (200, {"status": "ready"})
    assert about["engine"]["model"] == "perceptron"
    assert about["engine"]["weights"] == "random (seed 0)"
    assert about["batch_times"] == server.service.pipeline.engine.times.facts()
    assert list(about["batch_times"]["measured_s"]) == ["1", "2", "4", "8"]
    assert (about["engine"]["precision"], about["engine"]["input"]) == ("fp32", "float32[4]")
    assert metrics.headers["content-type"].startswith("text/plain")
    assert 'weights="random (seed 0)"' in metrics.text


async def test_an_alias_answers_as_its_path_in_every_phase():
    async with running() as server:
        for alias, path in ALIASES.items():
            answers = []
            for phase in Phase:
                server.service.phase = phase
                answers.append([await server.client.get(each) for each in (alias, path)])
            for one, other in answers:
                assert (one.status_code, one.json()) == (other.status_code, other.json())
            assert {one.status_code for one, _ in answers} == {200, 503}


async def test_while_it_drains_it_answers_what_it_accepted_and_refuses_the_rest(gate):
    async with running("gated:factory") as server:
        gate.opened.clear()
        accepted = asyncio.create_task(server.predict([1, 2, 3, 4]))
        assert await asyncio.to_thread(gate.entered.acquire, timeout=30)
        draining = asyncio.create_task(server.service.drain())
        await asyncio.sleep(0)
        refused = await server.predict([1, 2, 3, 4])
        ready = await server.client.get("/health/ready")
        live = await server.client.get("/health/live")
        assert not draining.done()
        gate.opened.set()
        answer = await accepted
        assert await draining
        outcomes = await server.outcomes()
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert "draining" in refused.json()["error"]
    assert (ready.status_code, live.status_code) == (503, 200)
    assert answer.json()["outputs"] == [2.0, 4.0, 6.0, 8.0]
    assert outcomes == {"ok": 1, "unavailable": 1}
    assert server.service.phase is Phase.STOPPED


async def test_a_drain_ends_when_its_time_is_over(gate):
    async with running("gated:factory", drain_timeout_s=0) as server:
        gate.opened.clear()
        accepted = asyncio.create_task(server.predict([1, 2, 3, 4]))
        assert await asyncio.to_thread(gate.entered.acquire, timeout=30)
        assert not await server.service.drain()
        gate.opened.set()
        assert (await accepted).status_code == 200


async def test_an_unknown_path_is_told_where_the_model_is_and_counted():
    async with running() as server:
        for count, path in enumerate(["/nowhere", "/predict/cat", "/v2/models"], 1):
            answer = await server.client.post(path)
            assert answer.status_code == 404
            assert answer.json() == {
                "error": f"there is nothing at {path}; POST /predict is the model, /openapi.json says more"
            }
            assert await server.outcomes() == {"unknown_path": count}


async def test_a_wrong_method_is_told_the_right_one_and_counted():
    async with running() as server:
        for count, (method, path, allowed) in enumerate(
            [("GET", "/predict", "POST"), ("POST", "/metrics", "GET, HEAD")], 1
        ):
            answer = await server.client.request(method, path)
            assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
            assert answer.json() == {"error": f"{path} does not take {method}, only {allowed}"}
            assert (await server.predict([1, 2, 3, 4])).status_code == 200
            assert await server.outcomes() == {"bad_input": count, "ok": count}


PAGES = ["/", "/metrics", "/health/live", "/health/ready", *ALIASES, "/openapi.json", "/docs"]


async def test_head_is_answered_where_get_is_and_as_get_is():
    async with running() as server:
        for path in PAGES:
            get, head = [await server.client.request(method, path) for method in ("GET", "HEAD")]
            other = await server.client.delete(path)
            assert (get.status_code, head.status_code) == (200, 200), path
            assert head.headers["content-type"] == get.headers["content-type"]
            assert (other.status_code, other.headers["allow"]) == (405, "GET, HEAD"), path


async def test_no_path_is_redirected_to_another():
    """A redirect names a scheme and a host, and the service does not know those of a proxy before it."""
    proxy = {"x-forwarded-proto": "https", "host": "api.example"}
    paths = [*(path + "/" for path in PAGES if path != "/"), "/predict/", "//predict", "/nowhere/"]
    async with client_of(create_app(load_settings({}))) as client:
        for method, path in itertools.product(("GET", "POST"), paths):
            answer = await client.request(method, f"http://tailgate{path}", headers=proxy)
            assert answer.status_code == 404, path
            assert "location" not in answer.headers
            assert f"there is nothing at {path};" in answer.json()["error"]


async def test_a_fault_of_ours_is_a_counted_500_that_tells_nothing(monkeypatch):
    def broken():
        raise FileNotFoundError("/secret/path")

    async with running() as server:
        monkeypatch.setattr(server.service.metrics, "render", broken)
        transport = httpx.ASGITransport(server.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://tailgate") as client:
            answer = await client.get("/metrics")
        monkeypatch.undo()
        outcomes = await server.outcomes()
    assert (answer.status_code, answer.json()) == (500, {"error": "the service failed on this request"})
    assert outcomes == {"error": 1}


async def test_one_of_several_worker_processes_is_refused_with_the_reason(monkeypatch):
    monkeypatch.setattr(multiprocessing, "parent_process", object)
    with pytest.raises(ConfigurationError, match="one process owns the model"):
        create_app(load_settings({}))
