"""The pages of the Open Inference Protocol, and the few that platforms ask for; inference goes through :mod:`.doors`.

What is not offered answers 501 and says so, so that a client of Triton tells its user what is missing.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from starlette.routing import Route

from tailgate import __version__
from tailgate.service.batching.service import Service
from tailgate.service.codec.oip import pages
from tailgate.service.codec.oip.paths import Address, address_of, require_model, unquoted
from tailgate.service.errors import NotOffered, Unavailable
from tailgate.service.models.spec import Served

Page = Callable[[Request], Awaitable[JSONResponse]]
# By path: what it would do. Starlette writes the paths.
NOT_OFFERED = {
    "/v2/repository/models/{rest:path}": "loading and unloading models: one process serves one model",
    "/v2/trace/setting": "tracing",
    "/v2/models/{rest:path}/trace/setting": "tracing",
    "/v2/logging": "log settings: they are read at the start",
    "/v2/systemsharedmemory/{rest:path}": "shared memory; send tensors in the body",
    "/v2/cudasharedmemory/{rest:path}": "shared memory; send tensors in the body",
    "/v2/models/{rest:path}/generate": "generation",
    "/v2/models/{rest:path}/generate_stream": "generation",
}


class ProtocolPages:
    """What the protocol says of one service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def server(self, _: Request) -> JSONResponse:
        """Answer with ``$metadata_server_response``."""
        return JSONResponse(pages.server(__version__))

    async def live(self, _: Request) -> JSONResponse:
        """Answer 200 as long as the process serves, as ``/health/live`` does."""
        live = self._service.hung is None
        return JSONResponse({"live": live}, status_code=200 if live else 503)

    async def ready(self, _: Request) -> JSONResponse:
        """Answer 200 as long as requests are taken. The specification calls its member ``live``, and servers ``ready``."""
        ready = self._service.ready
        return JSONResponse({"live": ready, "ready": ready}, status_code=200 if ready else 503)

    async def index(self, _: Request) -> JSONResponse:
        """Answer with ``$repository_index_response``."""
        pipeline = self._service.pipeline
        if pipeline is None:
            return JSONResponse([])
        reason = None if self._service.ready else f"the service is {self._service.status}"
        return JSONResponse(pages.index(pipeline.served.name, reason))

    async def stats(self, _: Request) -> JSONResponse:
        """Answer with the statistics of all models: of the one."""
        pipeline = self._service.pipeline
        if pipeline is None:
            return JSONResponse({"model_stats": []})
        return JSONResponse(pages.stats(pipeline.served, self._service.metrics))

    async def model(self, request: Request) -> JSONResponse:
        """Answer what is asked about a model; KServe's first version asks only whether it is ready."""
        address = address_of(_path(request))
        if address is None:
            raise HTTPException(404)
        served, max_batch_size = self._known(address)
        if address.about == ("" if address.first else "ready"):
            ready = self._service.ready
            return JSONResponse({"name": served.name, "ready": ready}, status_code=200 if ready else 503)
        if address.about == "config":
            settings = self._service.settings
            return JSONResponse(pages.config(served, max_batch_size, settings.max_wait_s))
        if address.about == "stats":
            return JSONResponse(pages.stats(served, self._service.metrics))
        if address.about == "":
            return JSONResponse(pages.model(served))
        raise HTTPException(405, "Method Not Allowed", {"Allow": "POST"})

    async def first_models(self, _: Request) -> JSONResponse:
        """Answer with the models of KServe's first version."""
        pipeline = self._service.pipeline
        return JSONResponse({"models": [] if pipeline is None else [pipeline.served.name]})

    def not_offered(self, what: str) -> Page:
        """Return a page that says that something is not there."""

        async def page(_: Request) -> JSONResponse:
            raise NotOffered(f"unsupported: this service does not offer {what}")

        return page

    def _known(self, address: Address) -> tuple[Served, int]:
        pipeline = self._service.pipeline
        if pipeline is None:
            raise Unavailable(f"the service is {self._service.status}; try again later, or another replica")
        require_model(address, pipeline.served.name)
        return pipeline.served, pipeline.engine.max_batch_size


def _path(request: Request) -> str:
    raw = request.scope.get("raw_path")
    return unquoted(raw) if raw else str(request.scope["path"])


def add_protocol_pages(app: FastAPI, service: Service) -> None:
    """Add the pages; the protocol has a document of its own, so ours does not repeat them."""
    there = ProtocolPages(service)
    routes: list[tuple[str, Any, list[str]]] = [
        ("/v2", there.server, ["GET"]),
        ("/v2/", there.server, ["GET"]),
        ("/v2/health/live", there.live, ["GET"]),
        ("/v2/health/ready", there.ready, ["GET"]),
        ("/v2/models/stats", there.stats, ["GET"]),
        ("/v2/repository/index", there.index, ["POST"]),
        *((path, there.not_offered(what), ["GET", "POST"]) for path, what in NOT_OFFERED.items()),
        ("/v2/models/{rest:path}", there.model, ["GET"]),
        ("/v1/models", there.first_models, ["GET"]),
        ("/v1/models/{rest:path}", there.model, ["GET"]),
        ("/ping", there.ready, ["GET"]),
    ]
    app.router.routes += [
        Route(path, page, methods=methods, include_in_schema=False) for path, page, methods in routes
    ]
