"""The real application over a tiny model, without a socket or with one; and readers of what it says."""

import asyncio
import os
import signal
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from tailgate.service.batching.service import Service
from tailgate.service.http import server
from tailgate.service.http.app import create_app
from tailgate.service.settings import load_settings

PATIENCE_S = 30


@dataclass(frozen=True, slots=True)
class Running:
    """A started application, its service, and a client of it."""

    app: FastAPI
    service: Service
    client: httpx.AsyncClient

    async def predict(self, inputs, **headers):
        """Send one tensor."""
        return await self.client.post("/predict", json={"inputs": inputs}, headers=headers)

    async def outcomes(self):
        """Return the counter of ended requests, without zeros."""
        samples = metric_samples((await self.client.get("/metrics")).text)
        return {
            dict(labels)["outcome"]: count
            for (name, labels), count in samples.items()
            if name == "tailgate_requests_total" and count
        }


@asynccontextmanager
async def running(model="tiny_models:doubler", **settings):
    """Start the application with a model, and stop it at the end."""
    settings = {"threads": 1, "max_batch_size": 8, "executor": "eager"} | settings
    app = create_app(load_settings({}, model=model, **settings))
    service = app.state.service
    await service.start()
    if service.failure is not None:
        raise service.failure
    transport = httpx.ASGITransport(app)
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://tailgate") as client:
            yield Running(app, service, client)
    finally:
        await asyncio.to_thread(service.stop)


def serve_and(visit, monkeypatch, **settings):
    """Run the server in this process, beside a coroutine that visits it and ends it by a signal."""
    serve = server.Server.serve

    async def both(self):
        serving = asyncio.create_task(serve(self))
        await asyncio.sleep(0)  # it hears signals from here on
        try:
            await visit(self, self.service, self._listener.getsockname())
        except BaseException:
            # A server that is left open would keep the event loop from closing, and the test from failing.
            os.kill(os.getpid(), signal.SIGTERM)
            await serving
            raise
        return await serving

    monkeypatch.setattr(server.Server, "serve", both)
    return server.run(load_settings({}, port=0, **settings))


async def until(condition):
    """Let the event loop go on until something holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0)


def metric_samples(text):
    """Return each sample's value by its name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
