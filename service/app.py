"""The application: FastAPI for everything that people read, and a plain ASGI endpoint for the model."""

import asyncio
import multiprocessing
import os
from collections.abc import AsyncIterator, Callable
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
from service.lifecycle import Phase, Service
from service.openapi import predict_path
from service.settings import Settings, load_settings

DESCRIPTION = "One model behind dynamic batching: send an image, get its labels."


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the application; the model is loaded when the server starts it, not here.

    Args:
        settings: None reads them from the environment, as for ``uvicorn --factory service.app:create_app``.

    Raises:
        ConfigurationError: a setting is wrong, or this is a worker process.
    """
    if multiprocessing.parent_process() is not None:
        raise ConfigurationError(
            "this process was started by another, as uvicorn's --workers and --reload do; one process owns the model "
            "and its batches, so start it with one worker, and more replicas where more is needed"
        )
    service = Service(settings or load_settings(os.environ))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        starting = asyncio.create_task(service.start())
        yield
        starting.cancel()
        await asyncio.to_thread(service.stop)

    app = FastAPI(title="tailgate", version=__version__, description=DESCRIPTION, lifespan=lifespan)
    app.state.service = service
    app.router.routes.insert(
        0, Route("/predict", PredictEndpoint(service), methods=["POST"], include_in_schema=False)
    )
    _add_observation(app, service)
    _add_errors(app, service)
    app.openapi = _documented(app.openapi)  # type: ignore[method-assign]
    return app


def _add_observation(app: FastAPI, service: Service) -> None:
    """Health, readiness, metadata and metrics."""

    @app.get("/health/live", tags=["health"])
    async def live() -> dict[str, str]:
        """Answer 200 as long as the process answers at all."""
        return {"status": "live"}

    @app.get(
        "/health/ready", tags=["health"], responses={503: {"description": "starting, draining or failed"}}
    )
    async def ready() -> JSONResponse:
        """Answer 200 only between the end of warm-up and the beginning of the stop."""
        is_ready = service.phase is Phase.READY
        return JSONResponse({"status": service.phase.value}, status_code=200 if is_ready else 503)

    @app.get("/", tags=["health"])
    async def about() -> dict[str, Any]:
        """Say what is served, and how."""
        return {
            "name": "tailgate",
            "version": __version__,
            "phase": service.phase.value,
            "engine": service.engine.facts if service.engine else None,
        }

    @app.get("/metrics", tags=["health"], response_class=Response)
    async def metrics() -> Response:
        """Answer with Prometheus's text format."""
        # Rendering takes milliseconds, in which the event loop has better things to do.
        return Response(await asyncio.to_thread(service.metrics.render), media_type=CONTENT_TYPE_LATEST)


def _add_errors(app: FastAPI, service: Service) -> None:
    """Answer errors as everywhere else: ``{"error": …}``."""

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        path, text = request.url.path, str(error.detail)
        if error.status_code == 404:
            service.metrics.count(Outcome.UNKNOWN_PATH)
            text = f"there is nothing at {path}; POST /predict is the model, /docs says more"
        elif error.status_code == 405:
            service.metrics.count(Outcome.BAD_INPUT)
            text = f"{path} does not take {request.method}, only {(error.headers or {}).get('Allow')}"
        return JSONResponse({"error": text}, status_code=error.status_code, headers=error.headers)


def _documented(generate: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    """Add the endpoint, which FastAPI does not see, to the generated document."""

    def openapi() -> dict[str, Any]:
        document = generate()
        document.setdefault("paths", {})["/predict"] = predict_path()
        return document

    return openapi
