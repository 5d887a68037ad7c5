"""Pages for people: what happens now, at ``/`` for browsers, and Swagger UI at ``/docs``.

They load nothing from elsewhere. Swagger UI's files come from an installed package, and the policy of each page forbids every
other address.
"""

import asyncio
import re
from importlib import resources

from fastapi import FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tailgate import look
from tailgate.service.codec.accept import preferred

DOCS = "/docs"
_FILES = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
# Swagger UI writes styles into its elements, and has its pictures in its style sheet.
_DOCS_POLICY = (
    "default-src 'none'; script-src 'self' {script}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
POLICY = "content-security-policy"


def add_people_pages(app: FastAPI) -> None:
    """Add both; called when the middleware has been added that asks for tokens."""
    _add_docs(app)
    app.add_middleware(LiveView, page=look.live_page(__package__, "live", "tailgate"))


class LiveView:
    """ASGI middleware that answers browsers at ``/``; programs get what the application says there.

    It stands before the tokens: the page is the same for everybody and holds nothing of the service, and a browser has no token
    to open it with. The page asks for one where its questions are answered 401.
    """

    def __init__(self, app: ASGIApp, page: look.LivePage) -> None:
        self._app = app
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the page, or pass the request on."""
        asked = scope["type"] == "http" and scope["path"] == "/" and scope["method"] in {"GET", "HEAD"}
        if asked and prefers_page(Request(scope).headers.get("accept", "")):
            answer = HTMLResponse(self._page.text, headers={POLICY: self._page.policy})
            await answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def prefers_page(accept: str) -> bool:
    """Tell whether ``Accept`` likes HTML better than JSON: browsers do, and programs that take anything do not."""
    return preferred(accept, ("text/html", "application/json")) == "text/html"


def _add_docs(app: FastAPI) -> None:
    """Add Swagger UI, and its files below it. All addresses are relative, so that a proxy may put a path before them."""
    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title=f"{app.title} API",
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url="data:,",
        # Else it has a public server check the document.
        swagger_ui_parameters={"validatorUrl": None},
    )
    (script,) = _SCRIPT.findall(bytes(page.body).decode())
    page.headers[POLICY] = _DOCS_POLICY.format(script=look.hash_of(script))

    async def docs(_: Request) -> Response:
        return page

    async def file(request: Request) -> Response:
        name = request.scope["path"].rpartition("/")[2]
        path = resources.files("fastapi_swagger.resources").joinpath(name)
        return Response(await asyncio.to_thread(path.read_bytes), media_type=_FILES[name])

    files = [Route(f"{DOCS}/{name}", file, include_in_schema=False) for name in _FILES]
    app.router.routes += [Route(DOCS, docs, include_in_schema=False), *files]
