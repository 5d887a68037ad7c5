"""Pages for people: who gets them, and that they load, run and tell nothing but what they should."""

import itertools
import re
from importlib import resources

import pytest
from browser import Markup, leads_elsewhere
from serving import running
from test_tokens import TOKEN

from tailgate import look
from tailgate.service.http.pages.people import POLICY, prefers_page

pytestmark = pytest.mark.asyncio
BROWSERS = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
PAGES = {"/": BROWSERS, "/docs": BROWSERS}
FILES = {"/docs/swagger-ui-bundle.js": "text/javascript", "/docs/swagger-ui.css": "text/css"}
# What makes markup or a program of a text.
MAKES_MARKUP = (
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|\beval\(|Function\("
)


PREFERRED = [
    (BROWSERS, True),
    ("text/html", True),
    ("TEXT/HTML;q=0.9", True),
    ("text/html, application/json", True),
    ("application/json, text/html", False),
    ("application/json", False),
    ("*/*", False),
    ("text/*", False),
    ("text/htmlx", False),
    ("", False),
]


async def test_a_browser_gets_the_page_and_a_program_what_is_served():
    async with running() as server:
        for (accept, page), method in itertools.product(PREFERRED, ("GET", "HEAD")):
            assert prefers_page(accept) is page
            answer = await server.client.request(method, "/", headers={"accept": accept})
            assert answer.status_code == 200
            kind = "text/html; charset=utf-8" if page else "application/json"
            assert answer.headers["content-type"] == kind, accept
            assert (POLICY in answer.headers) is page


async def test_who_says_nothing_about_what_it_takes_gets_json():
    async with running() as server:
        del server.client.headers["accept"]
        assert (await server.client.get("/")).json()["name"] == "tailgate"


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_loads_nothing_from_elsewhere_and_its_policy_says_so(path):
    async with running() as server:
        answer = await server.client.get(path, headers={"accept": PAGES[path]})
    policy = dict(part.strip().split(" ", 1) for part in answer.headers[POLICY].split(";"))
    assert leads_elsewhere(answer.text) == []
    assert policy["default-src"] == "'none'"
    assert {policy[name] for name in ("base-uri", "form-action", "frame-ancestors")} == {"'none'"}
    for name, sources in policy.items():
        assert re.fullmatch(r"('none'|'self'|'unsafe-inline'|'sha256-[\w+/=]+'|data:|blob:| )+", sources), (
            name
        )
    (script,) = Markup(answer.text).scripts
    assert set(policy["script-src"].split()) - {"'self'"} == {look.hash_of(script)}


async def test_the_files_of_the_documentation_come_from_here_and_no_public_server_is_asked_about_the_api():
    async with running() as server:
        assert '"validatorUrl": null' in (await server.client.get("/docs")).text
        for path, kind in FILES.items():
            answer = await server.client.get(path)
            assert answer.status_code == 200
            assert answer.headers["content-type"].partition(";")[0] == kind
            if path.endswith(".css"):
                assert leads_elsewhere(answer.text) == []


async def test_without_pages_every_answer_is_for_programs():
    async with running(pages=False) as server:
        answers = {
            path: await server.client.get(path, headers={"accept": BROWSERS}) for path in [*PAGES, *FILES]
        }
    assert {path: answer.status_code for path, answer in answers.items()} == {"/": 200} | dict.fromkeys(
        ["/docs", *FILES], 404
    )
    assert {answer.headers["content-type"] for answer in answers.values()} == {"application/json"}


async def test_a_stranger_gets_the_empty_page_and_no_figure():
    async with running(token=TOKEN) as server:
        page = await server.client.get("/", headers={"accept": BROWSERS})
        others = [
            await server.client.get(path) for path in ("/", "/metrics", "/docs", "/openapi.json", *FILES)
        ]
    async with running() as server:
        assert (await server.client.get("/", headers={"accept": BROWSERS})).text == page.text
    assert page.status_code == 200
    assert {answer.status_code for answer in others} == {401}


async def test_who_looks_at_the_page_is_no_request_of_the_model():
    async with running() as server:
        for path in ("/", "/docs", *FILES):
            await server.client.get(path, headers={"accept": BROWSERS})
        assert await server.outcomes() == {}


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("tailgate.look", "live.js"),
        ("tailgate.service.http.pages", "live.js"),
        ("tailgate.harness.gate", "run.js"),
    ],
)
async def test_a_script_makes_no_markup_of_a_text(package, name):
    script = resources.files(package).joinpath(name).read_text()
    assert re.findall(MAKES_MARKUP, script) == []
    assert re.findall(r"https?://[^\"]+", script) in ([], ["http://www.w3.org/2000/svg"])
    assert "</script" not in script.lower()
