"""What anybody sees in any answer, on both edges and under another server: no origin let in, nothing of our insides."""

import asyncio
import json
import re
from functools import partial
from pathlib import Path

import httpx
import pytest
import uvicorn
from edges import GET_LIVE, HOST, PIXELS, POISON_PIXEL, Connection, pixels, post, two_edges
from serving import PATIENCE_S, until
from tiny_models import doubler
from uvicorn.server import ServerState

from tailgate.service.batching.service import Phase
from tailgate.service.errors import Cut
from tailgate.service.http.app import create_app
from tailgate.service.http.connection import Connection as ServerConnection
from tailgate.service.http.site import SECURITY_HEADERS, Site
from tailgate.service.settings import Settings, load_settings

TOKEN = "open-sesame-open-sesame"
ORIGIN = b"Origin: https://elsewhere.example\r\n"


def request(method, path):
    return b"%b %b HTTP/1.1\r\n" % (method, path) + HOST + b"\r\n"


# One of each kind of answer, and its status.
REQUESTS = {
    "a result": (PIXELS, 200),
    "health": (GET_LIVE, 200),
    "facts": (request(b"GET", b"/"), 200),
    "metrics": (request(b"GET", b"/metrics"), 200),
    "the document": (request(b"GET", b"/openapi.json"), 200),
    "a preflight": (request(b"OPTIONS", b"/predict"), 405),
    "a wrong method": (request(b"GET", b"/predict"), 405),
    "a method on health": (post(b"", path=b"/health/live"), 405),
    "another path": (request(b"GET", b"/../../etc/passwd"), 404),
    "documentation": (request(b"GET", b"/docs"), 200),
    "the page": (request(b"GET", b"/").replace(HOST, HOST + b"Accept: text/html\r\n"), 200),
    "a wrong type": (post(b"x", b"text/plain"), 415),
    "a wrong shape": (post(b"x"), 422),
    "a broken image": (post(b"x", b"image/png"), 415),
    "an input that makes the model fail": (post(pixels(first=POISON_PIXEL)), 500),
    "the whole server": (request(b"OPTIONS", b"*"), 204),
    "another version": (GET_LIVE.replace(b"1.1", b"2.0"), 505),
    "a wrong host": (GET_LIVE.replace(HOST, b"Host: <script>\r\n"), 400),
    "no HTTP": (b"nonsense\r\n\r\n", 400),
}
INSIDES = ("Traceback", ".py", "/service/", "site-packages", "poison", "RuntimeError", "torch.", "0x7")


@pytest.fixture(scope="module")
def edges():
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        two_edges(monkeypatch) as edges,
    ):
        yield edges


@pytest.mark.parametrize(("request_", "status"), REQUESTS.values(), ids=REQUESTS)
def test_no_answer_lets_another_origin_in_or_tells_of_our_insides(edges, request_, status):
    with Connection(edges.hot) as connection:
        connection.send(request_.replace(HOST, HOST + ORIGIN))
        answer = connection.answer()
    assert answer[0] == status
    names = {header.partition(b":")[0] for header in answer[1]}
    assert [name for name in names if name.startswith(b"access-control") or name == b"server"] == []
    if status >= 400:
        assert list(json.loads(answer[2])) == ["error"]
    if b"GET / " not in request_ and b"/metrics" not in request_:
        assert [word for word in INSIDES if word in answer[2].decode()] == []


@pytest.mark.asyncio
@pytest.mark.parametrize("alone", [False, True], ids=["our server", "another server"])
async def test_every_answer_has_the_security_headers_once_also_without_our_server(monkeypatch, alone):
    """Ours gives them to each answer; under another, which knows nothing of them, the application does."""
    monkeypatch.setenv("TAILGATE_TOKEN", TOKEN)
    monkeypatch.setattr("tailgate.service.execution.build.load_model", lambda _: doubler())
    app = create_app() if alone else create_app(load_settings({"TAILGATE_TOKEN": TOKEN}))
    loop = asyncio.get_running_loop()
    if alone:
        config = uvicorn.Config(app, http="httptools", log_config=None)
        config.load()
        state = ServerState()
        make = partial(config.http_protocol_class, config, state, {})
    else:
        make = partial(ServerConnection, Site(app, loop))
    listener = await loop.create_server(make, "127.0.0.1", 0)
    await app.state.service.start()
    assert app.state.service.phase is Phase.READY
    monkeypatch.setattr(app.state.service.metrics, "render", lambda: (_ for _ in ()).throw(RuntimeError("x")))
    url = "http://{}:{}".format(*listener.sockets[0].getsockname())
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_S) as client:
        answers = [await client.get(path) for path in ("/health/live", "/")]
        client.headers["authorization"] = f"Bearer {TOKEN}"
        answers += [await client.get(path) for path in ("/", "/nowhere", "/predict", "/metrics")]
        answers.append(await client.post("/predict", json={"inputs": [1, 2, 3, 4]}))
        answers.append(await client.post("/predict", json={"inputs": [1]}))
    listener.close()
    connections = state.connections if alone else app.state.guard._open
    for connection in tuple(connections):
        connection.transport.close()
    await until(lambda: not connections)
    await asyncio.to_thread(app.state.service.stop)
    assert [answer.status_code for answer in answers] == [200, 401, 200, 404, 405, 500, 200, 422]
    for answer in answers:
        for name, value in SECURITY_HEADERS.items():
            assert answer.headers.get_list(name) == [value], (answer.request.url, name)


# The page that promises all this.

ROOT = Path(__file__).parents[3]
PAGES = ROOT / "docs"


def test_the_page_of_security_names_settings_and_tests_that_there_are():
    text = (PAGES / "explanation" / "security.md").read_text()
    names = {name.lower() for name in re.findall(r"TAILGATE_(\w+)", text)}
    assert len(names) > 10
    assert names <= set(Settings.model_fields)
    tests = set(re.findall(r"test_\w+\.py", text))
    assert len(tests) > 10
    assert tests <= {path.name for path in (ROOT / "tests" / "service").rglob("test_*.py")}


def test_the_page_of_metrics_names_every_reason_for_which_a_connection_is_ended():
    text = (PAGES / "reference" / "metrics.md").read_text()
    table = text.partition("| reason | ")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == {reason.value for reason in Cut}
