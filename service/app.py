"""The application: FastAPI for everything that people read, and a plain ASGI endpoint for the model."""

import asyncio
import multiprocessing
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.routing import Route

from service import __version__
from service.endpoint import PredictEndpoint
from service.errors import ConfigurationError, Outcome
from service.guard import Guard, Limits
from service.headers import SECURITY_HEADERS, AddHeaders
from service.lifecycle import Service
from service.memory import spare_collector
from service.openapi import add_tokens, predict_path
from service.settings import Settings, load_settings
from service.tokens import RequireToken, load_tokens

Answering = Callable[[], Awaitable[JSONResponse]]
DESCRIPTION = "One model behind dynamic batching: send an image, get its labels."


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the application; the model is loaded when the server starts it, not here.

    Args:
        settings: None reads them from the environment and adds the security headers, as for
            ``uvicorn --factory service.app:create_app``; :mod:`service.server` gives both.

    Raises:
        ConfigurationError: a setting is wrong, the tokens cannot be read, or this is a worker process.
    """
    if multiprocessing.parent_process() is not None:
        raise ConfigurationError(
            "this process was started by another, as uvicorn's --workers and --reload do; one process owns the model "
            "and its batches, so start it with one worker, and more replicas where more is needed"
        )
    alone = settings is None
    settings = settings or load_settings(os.environ)
    tokens = load_tokens(settings)
    service = Service(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        starting = asyncio.create_task(service.start(spare_collector))
        yield
        starting.cancel()
        await asyncio.to_thread(service.stop)

    app = FastAPI(
        title="tailgate",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url="/docs" if settings.docs else None,
        redoc_url=None,
    )
    app.state.service = service
    app.state.tokens = tokens
    app.state.guard = Guard(Limits.of(settings), service.metrics)
    app.router.routes.insert(
        0, Route("/predict", PredictEndpoint(service), methods=["POST"], include_in_schema=False)
    )
    _add_observation(app, service)
    _add_errors(app, service, SECURITY_HEADERS if alone else {})
    if tokens is not None:
        app.add_middleware(
            RequireToken, tokens=tokens, metrics=service.metrics, metrics_open=settings.metrics_open
        )
    if alone:
        app.add_middleware(AddHeaders)
    app.openapi = _documented(app.openapi, with_tokens=tokens is not None)  # type: ignore[method-assign]
    return app


def _add_observation(app: FastAPI, service: Service) -> None:
    """Health, readiness, metadata and metrics."""

    @_probe(app, "/health/live", "a batch does not end")
    async def live() -> JSONResponse:
        """Answer 200 as long as the process answers at all and no batch runs beyond TAILGATE_WATCHDOG_S."""
        hung = service.hung
        if hung is None:
            return JSONResponse({"status": "live"})
        return JSONResponse({"status": "hung", "reason": hung}, status_code=503)

    @_probe(app, "/health/ready", "starting, draining, hung or failed")
    async def ready() -> JSONResponse:
        """Answer 200 only between the end of warm-up and the beginning of the stop."""
        status = service.phase.value if service.hung is None else "hung"
        return JSONResponse({"status": status}, status_code=200 if service.ready else 503)

    @app.get("/", tags=["health"])
    async def about() -> dict[str, Any]:
        """Say what is served, and how."""
        return {
            "name": "tailgate",
            "version": __version__,
            "phase": service.phase.value,
            "engine": service.engine.facts if service.engine else None,
            "batch_times": service.engine.times.facts() if service.engine else None,
        }

    @app.get("/metrics", tags=["health"], response_class=Response)
    async def metrics() -> Response:
        """Answer with Prometheus's text format."""
        # Rendering takes milliseconds, in which the event loop has better things to do.
        return Response(await asyncio.to_thread(service.metrics.render), media_type=CONTENT_TYPE_LATEST)


def _probe(app: FastAPI, path: str, when_not: str) -> Callable[[Answering], Answering]:
    """Answer GET, and HEAD as GET without the body, which the server leaves out: some probes ask with that.

    The route that answers both says so where another method is refused; a document has an operation for each method, and
    FastAPI would give the two of one route one name.
    """

    def add(answer: Answering) -> Answering:
        responses: dict[int | str, dict[str, Any]] = {503: {"description": when_not}}
        app.add_api_route(path, answer, methods=["GET", "HEAD"], include_in_schema=False)
        app.get(path, tags=["health"], responses=responses)(answer)
        app.head(path, tags=["health"], responses=responses, response_class=Response)(answer)
        return answer

    return add


def _add_errors(app: FastAPI, service: Service, headers: Mapping[str, str]) -> None:
    """Answer errors as everywhere else: ``{"error": …}``; ``headers`` are for those that no middleware sees."""

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        path, text = request.url.path, str(error.detail)
        if error.status_code == 404:
            service.metrics.count(Outcome.UNKNOWN_PATH)
            text = f"there is nothing at {path}; POST /predict is the model, /openapi.json says more"
        elif error.status_code == 405:
            service.metrics.count(Outcome.BAD_INPUT)
            text = f"{path} does not take {request.method}, only {(error.headers or {}).get('Allow')}"
        return JSONResponse({"error": text}, status_code=error.status_code, headers=error.headers)

    @app.exception_handler(Exception)
    async def fault(_: Request, __: Exception) -> JSONResponse:
        # The server logs what it was; a stranger learns nothing of it.
        service.metrics.count(Outcome.ERROR)
        return JSONResponse({"error": "the service failed on this request"}, status_code=500, headers=headers)


def _documented(generate: Callable[[], dict[str, Any]], *, with_tokens: bool) -> Callable[[], dict[str, Any]]:
    """Add the endpoint, which FastAPI does not see, and the tokens, where there are any, to the generated document."""

    def openapi() -> dict[str, Any]:
        document = generate()
        document.setdefault("paths", {})["/predict"] = predict_path()
        if with_tokens:
            add_tokens(document)
        return document

    return openapi
