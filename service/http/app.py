"""The application: FastAPI for everything that people read, and a plain ASGI endpoint for the model."""

import asyncio
import multiprocessing
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Route

from tailgate import __version__
from tailgate.service.batching.requests.traces import require_traces
from tailgate.service.batching.service import Service
from tailgate.service.codec.accept import preferred
from tailgate.service.errors import FAILED, ConfigurationError, Outcome, RequestError
from tailgate.service.execution.profiling import require_folder
from tailgate.service.http.asgi import AddHeaders, ModelEndpoint, echoed
from tailgate.service.http.limits import Guard
from tailgate.service.http.pages.exposition import Exposition
from tailgate.service.http.pages.openapi import add_tokens, predict_path
from tailgate.service.http.pages.people import add_people_pages
from tailgate.service.http.pages.protocol import add_protocol_pages
from tailgate.service.http.site import SECURITY_HEADERS
from tailgate.service.http.tokens import RequireToken, load_tokens
from tailgate.service.memory import spare_collector
from tailgate.service.metrics import CONTENT_TYPES, TEXT
from tailgate.service.settings import Settings, load_settings

# The paths of :mod:`tailgate.service.http.doors`, as Starlette writes them.
MODEL_PATHS = ("/predict", "/invocations", "/v2/models/{model:path}/infer", "/v1/models/{model:path}:predict")
DESCRIPTION = "One model behind dynamic batching: send an image, get its labels."


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the application; the model is loaded when the server starts it, not here.

    Args:
        settings: None reads them from the environment and adds the security headers, as for
            ``uvicorn --factory tailgate.service.http.app:create_app``; :mod:`tailgate.service.http.server` gives both.

    Raises:
        ConfigurationError: a setting is wrong, the tokens cannot be read, traces cannot be sent or recorded, or this is a worker process.
    """
    if multiprocessing.parent_process() is not None:
        raise ConfigurationError(
            "this process was started by another, as uvicorn's --workers and --reload do; one process owns the model "
            "and its batches, so start it with one worker, and more replicas where more is needed"
        )
    alone = settings is None
    settings = settings or load_settings(os.environ)
    tokens = load_tokens(settings)
    service = _service_of(settings)

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
        docs_url=None,
        redoc_url=None,
        # A redirect names a scheme and a host, which a proxy in front of the service may have replaced.
        redirect_slashes=False,
    )
    app.state.service = service
    app.state.tokens = tokens
    app.state.guard = Guard(settings, service.metrics)
    endpoint = ModelEndpoint(service)
    app.router.routes[:0] = [
        Route(path, endpoint, methods=["POST"], include_in_schema=False) for path in MODEL_PATHS
    ]
    _add_observation(app, service)
    add_protocol_pages(app, service)
    secure = SECURITY_HEADERS if alone else {}  # which our own server adds itself
    _add_errors(app, service, secure)
    if tokens is not None:
        app.add_middleware(
            RequireToken, tokens=tokens, metrics=service.metrics, metrics_open=settings.metrics_open
        )
    if settings.pages:
        add_people_pages(app)
    app.add_middleware(AddHeaders, common=secure)
    app.openapi = partial(  # type: ignore[method-assign]
        _documented, app.openapi, settings.overload_status, with_tokens=tokens is not None
    )
    return app


def _service_of(settings: Settings) -> Service:
    """Return the service; ConfigurationError where its traces cannot be sent, or its recordings not be written."""
    if settings.traces:
        require_traces(os.environ)
    require_folder(settings.profile_dir)
    return Service(settings)


def _add_observation(app: FastAPI, service: Service) -> None:
    async def live() -> JSONResponse:
        """Answer 200 as long as the process answers at all, unless its start has failed or a batch does not end."""
        hung = service.hung
        if hung is None:
            return JSONResponse({"status": "live"})
        return JSONResponse({"status": service.status, "reason": hung}, status_code=503)

    async def ready() -> JSONResponse:
        """Answer 200 only between the end of warm-up and the signal to stop."""
        return JSONResponse({"status": service.status}, status_code=200 if service.ready else 503)

    async def about() -> dict[str, Any]:
        """Say what is served, and how."""
        engine = service.pipeline and service.pipeline.engine
        return {
            "name": "tailgate",
            "version": __version__,
            "phase": service.phase.value,
            "engine": engine and engine.facts,
            "batch_times": engine and engine.times.facts(),
            "precision_offer": engine and engine.offer and engine.offer.facts(),
        }

    exposition = Exposition(lambda media_type: asyncio.to_thread(service.metrics.render, media_type))

    async def metrics(request: Request) -> Response:
        """Answer in Prometheus's text format, or in OpenMetrics, with exemplars, where ``Accept`` likes that better."""
        accept = ",".join(request.headers.getlist("accept"))
        media_type = preferred(accept, CONTENT_TYPES) or TEXT
        text = await exposition.text(media_type)
        return Response(text, headers={"content-type": CONTENT_TYPES[media_type], "vary": "accept"})

    _add_page(app, "/health/live", live, not_so="the start has failed, or a batch does not end")
    _add_page(app, "/health/ready", ready, not_so="starting, leaving, draining, hung or failed")
    for path, answer in {"/healthz": live, "/livez": live, "/readyz": ready}.items():
        app.add_api_route(path, answer, methods=["GET", "HEAD"], include_in_schema=False)
    _add_page(app, "/", about)
    _add_page(app, "/metrics", metrics, response_class=Response)


def _add_page(
    app: FastAPI,
    path: str,
    answer: Callable[..., Awaitable[Any]],
    not_so: str | None = None,
    response_class: type[Response] = JSONResponse,
) -> None:
    """Answer GET, and HEAD as GET without the body, which the server leaves out (RFC 9110, section 9.1); monitors ask so.

    The route that answers both says so where another method is refused; a document has an operation for each method, and
    FastAPI would give the two of one route one name. ``not_so`` says when the answer is 503, None where it never is.
    """
    responses: dict[int | str, dict[str, Any]] = {} if not_so is None else {503: {"description": not_so}}
    app.add_api_route(path, answer, methods=["GET", "HEAD"], include_in_schema=False)
    app.get(path, tags=["health"], responses=responses, response_class=response_class)(answer)
    app.head(path, tags=["health"], responses=responses, response_class=Response)(answer)


def _add_errors(app: FastAPI, service: Service, headers: Mapping[str, str]) -> None:
    """Answer errors as everywhere else: ``{"error": …}``; ``headers`` are for those that no middleware sees."""

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        path, text, more = request.scope["path"], str(error.detail), dict(error.headers or {})
        if path == "*":  # of OPTIONS alone: the whole server (RFC 9110, section 9.3.7)
            return Response(status_code=204, headers={"Allow": "GET, HEAD, OPTIONS, POST"})
        if error.status_code == 404:
            service.metrics.count(Outcome.UNKNOWN_PATH)
            text = f"there is nothing at {path}; POST /predict is the model, /openapi.json says more"
        elif error.status_code == 405:
            service.metrics.count(Outcome.BAD_INPUT)
            more["Allow"] = ", ".join(sorted(more["Allow"].split(", ")))
            text = f"{path} does not take {request.method}, only {more['Allow']}"
        return JSONResponse({"error": text}, status_code=error.status_code, headers=more)

    @app.exception_handler(RequestError)
    async def refusal(_: Request, error: RequestError) -> JSONResponse:
        service.metrics.count(error.outcome)
        more = {name.decode(): value.decode() for name, value in error.headers()}
        return JSONResponse({"error": str(error)}, status_code=error.status, headers=more)

    @app.exception_handler(Exception)
    async def fault(request: Request, __: Exception) -> JSONResponse:
        # The server logs what it was; a stranger learns nothing of it.
        service.metrics.count(Outcome.ERROR)
        told = {name.decode(): value.decode() for name, value in echoed(request.scope["headers"], 500)}
        return JSONResponse({"error": FAILED}, status_code=500, headers={**headers, **told})


def _documented(
    generate: Callable[[], dict[str, Any]], overload_status: int, *, with_tokens: bool
) -> dict[str, Any]:
    """Return the generated document with the endpoint, which FastAPI does not see, and the tokens, where there are any."""
    document = generate()
    document.setdefault("paths", {})["/predict"] = predict_path(overload_status)
    if with_tokens:
        add_tokens(document)
    return document
