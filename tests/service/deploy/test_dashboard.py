"""deploy/grafana: the dashboard is what its script makes, and a real Prometheus answers each of its expressions."""

import asyncio
import contextlib
import json
import math
import os
import runpy
import shutil
import signal
import socket
import time

import httpx
import pytest
import yaml
from expressions import DEPLOY, PROMETHEUS, known, labels, names
from serving import serve_and, until

from tailgate.service.families import FAMILIES

PATIENCE_S = 120
GRAFANA = DEPLOY / "grafana"
SCRIPT = runpy.run_path(str(GRAFANA / "dashboard.py"))
DASHBOARD = json.loads((GRAFANA / "tailgate.json").read_text("utf-8"))
EXPRESSIONS = {
    f"{panel['title']} {target['legendFormat']}": target["expr"]
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
}


def test_the_dashboard_is_what_its_script_makes():
    assert (GRAFANA / "tailgate.json").read_text("utf-8") == SCRIPT["text"]()


def test_the_dashboard_is_as_grafanas_own_types_have_it():
    models = pytest.importorskip("grafana_foundation_sdk.models.dashboard")
    plugins = pytest.importorskip("grafana_foundation_sdk.cog.plugins")
    encoder = pytest.importorskip("grafana_foundation_sdk.cog.encoder")
    plugins.register_default_plugins()
    read = json.loads(encoder.JSONEncoder().encode(models.Dashboard.from_json(DASHBOARD)))
    assert within(DASHBOARD, read)


def within(part, whole):
    """Tell whether all of a JSON value is in another, which may have more members."""
    if isinstance(part, dict):
        return all(key in whole and within(value, whole[key]) for key, value in part.items())
    if isinstance(part, list):
        return len(part) == len(whole) and all(map(within, part, whole))
    return part == whole


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_a_panel_asks_for_what_there_is_of_the_job_that_is_chosen(expression):
    assert names(expression) - known() == set()
    assert ("job", "$job") in labels(expression)


def test_panels_stand_side_by_side():
    places = [tuple(panel["gridPos"].values()) for panel in DASHBOARD["panels"]]
    assert len({(x, y) for x, y, _, _ in places}) == len(places)
    assert {x + width <= 24 and x % width == 0 and y % height == 0 for x, y, width, height in places} == {
        True
    }


# By Prometheus itself


class Prometheus:
    """A running Prometheus, asked over its API."""

    def __init__(self, client):
        self._client = client

    async def get(self, path, **query):
        answer = await self._client.get(f"/api/v1/{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    async def values(self, expression):
        """Return the values of all series that an expression has now."""
        told = await self.get("query", query=expression)
        return [float(series["value"][1]) for series in told["result"]]

    async def is_up(self):
        with contextlib.suppress(httpx.TransportError):
            return (await self._client.get("/-/ready")).status_code == 200
        return False

    async def failing(self):
        """Return the rules that have not been evaluated, or not with success."""
        groups = (await self.get("rules"))["groups"]
        return [rule["name"] for group in groups for rule in group["rules"] if rule["health"] != "ok"]


@contextlib.asynccontextmanager
async def prometheus(folder, address):
    """Start Prometheus with the configuration of deploy/, each second, and without waiting for its first answer."""
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text("utf-8"))
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(PROMETHEUS / name) for name in config["rule_files"]]
    config["scrape_configs"][0]["static_configs"] = [{"targets": [f"{address[0]}:{address[1]}"]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            "prometheus",
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--enable-feature=exemplar-storage",
            stdout=log,
            stderr=log,
        )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S) as client:
            yield Prometheus(client)
    finally:
        process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def load(address):
    """Keep the service busy with requests that have ids, one after the other."""

    async def ask():
        async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
            url = f"http://{address[0]}:{address[1]}/predict"
            while True:
                answer = await client.post(
                    url, json={"inputs": [1, 2, 3, 4]}, headers={"x-request-id": "asked"}
                )
                assert answer.status_code == 200
                await asyncio.sleep(0.05)

    task = asyncio.create_task(ask())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def eventually(condition):
    """Ask until something holds."""
    while not await condition():  # noqa: ASYNC110 - what is waited for has no event here
        await asyncio.sleep(0.1)


@pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="Prometheus is not installed (Debian: prometheus)"
)
def test_prometheus_answers_every_panel_of_a_service_under_load(tmp_path, monkeypatch):
    unanswered, exemplars, metadata = dict(EXPRESSIONS), [], {}

    async def visit(served, service, address):
        await until(lambda: served._accepting and service.ready)
        async with prometheus(tmp_path, address) as asked, load(address), asyncio.timeout(PATIENCE_S):
            await eventually(asked.is_up)

            async def all_answer():
                for title, expression in list(unanswered.items()):
                    concrete = expression.replace("$job", ".*").replace("$__rate_interval", "1m")
                    values = await asked.values(concrete)
                    if values and all(map(math.isfinite, values)):
                        del unanswered[title]
                return not unanswered

            async def has_exemplars():
                query = {"query": "tailgate_request_seconds_bucket", "start": 0, "end": time.time() + 60}
                exemplars.extend(await asked.get("query_exemplars", **query))
                return exemplars

            async def rules_hold():
                return not await asked.failing()

            for condition in (all_answer, has_exemplars, rules_hold):
                await eventually(condition)
            metadata.update(await asked.get("metadata"))
            assert await asked.values('ALERTS{alertstate="firing"}') == []
        os.kill(os.getpid(), signal.SIGTERM)

    settings = {"threads": 1, "max_batch_size": 8, "executor": "eager", "latency_objective_ms": 10_000}
    assert serve_and(visit, monkeypatch, model="tiny_models:doubler", **settings) == 0
    assert unanswered == {}
    found = {each["labels"]["request_id"] for series in exemplars for each in series["exemplars"]}
    assert found == {"asked"}
    told = {(name, each[0]["type"], each[0]["help"]) for name, each in metadata.items()}
    declared = {(family.name, family.kind, family.help) for family in FAMILIES.values()}
    assert {each for each in told if each[0].startswith("tailgate")} <= declared
