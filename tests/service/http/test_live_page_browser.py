"""The service's page in a real browser: it draws what the service does, classifies a picture, and believes no text."""

import asyncio
import os
import signal
import sys
import types

import pytest
from browser import Browser, needs_browser
from PIL import Image
from serving import serve_and, until
from test_tokens import TOKEN
from tiny_models import MeanColour

from tailgate.service.batching.service import Phase
from tailgate.service.models import ImageInput, Model

pytestmark = needs_browser
HOSTILE = ("<img src=x onerror=alert(1)>", "</script><script>alert(2)</script>", "'\"><svg onload=alert(3)>")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture
def served(monkeypatch):
    """Return a function that serves a model of colours with hostile labels while another looks at it, beside it."""
    image = ImageInput(8, 1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    model = Model(HOSTILE[0], MeanColour(), "none", image=image, labels=HOSTILE)
    monkeypatch.setitem(sys.modules, "hostile", types.SimpleNamespace(factory=lambda: model))

    def serve(look, **settings):
        async def visit(_, service, address):
            try:
                await until(lambda: service.phase is Phase.READY)
                await asyncio.to_thread(look, "http://{}:{}/".format(*address))
            finally:
                os.kill(os.getpid(), signal.SIGTERM)

        options = {"threads": 1, "max_batch_size": 8, "executor": "eager", "drain_timeout_s": 0} | settings
        assert serve_and(visit, monkeypatch, model="hostile:factory", **options) == 0

    return serve


@pytest.fixture
def red(tmp_path):
    """Return a picture whose name is hostile, too."""
    path = tmp_path / "'\"><b>red.png"
    Image.new("RGB", (32, 32), (255, 0, 0)).save(path, "PNG")
    return path


def test_the_page_draws_what_the_service_does_and_classifies_a_picture(browser, served, red):
    def look(address):
        tab = browser.open(address)
        tab.until("document.querySelector('h1').textContent === 'Ready'")
        tab.give(".zone input", red)
        tab.until("document.querySelector('.answer .bars')")
        assert tab.value("document.querySelector('.answer dt').textContent") == HOSTILE[0]
        assert "compute" in tab.value("document.querySelector('.answer').textContent")
        tab.until("document.querySelector('#latency .line').getAttribute('d')")
        tab.until("document.querySelector('#batches .bars')")
        assert HOSTILE[0] in tab.value("document.querySelector('.why').textContent")
        assert tab.value("document.querySelectorAll('script').length") == 1
        assert tab.value("document.querySelectorAll('[onerror], [onload], svg svg').length") == 0
        tab.looks_right()
        assert tab.complaints() == []
        assert all(one.startswith((address, "blob:", "data:")) for one in tab.requested())

    served(look)


def test_what_is_no_picture_is_answered_with_the_services_own_words(browser, served, tmp_path):
    path = tmp_path / "text.png"
    path.write_text("no picture")

    def look(address):
        tab = browser.open(address)
        tab.until("document.querySelector('h1').textContent === 'Ready'")
        tab.give(".zone input", path)
        tab.until("document.querySelector('.answer .error')")
        assert "415" in tab.value("document.querySelector('.answer').textContent")

    served(look)


def test_the_page_asks_for_a_token_and_brings_it(browser, served):
    def look(address):
        tab = browser.open(address)
        tab.until("document.querySelector('h1').textContent === 'A token is needed'")
        for token, title in (("wrong" * 5, "A token is needed"), (TOKEN, "Ready")):
            tab.value(f"document.querySelector('#token input').value = {token!r}")
            tab.value("document.querySelector('#token button').click()")
            tab.until(f"document.querySelector('h1').textContent === {title!r}")
        assert not tab.value("document.querySelector('#token').checkVisibility()")
        assert TOKEN not in tab.value(
            "location.href + document.cookie + JSON.stringify({...localStorage, ...sessionStorage})"
        )

    served(look, token=TOKEN)


def test_an_answer_to_a_former_token_takes_nothing_from_the_one_that_is_known(browser, served):
    def look(address):
        tab = browser.open(address)
        tab.until("document.querySelector('h1').textContent === 'A token is needed'")
        tab.value(
            f"""for (const token of ["{"wrong" * 5}", "{TOKEN}"]) {{
                document.querySelector("#token input").value = token;
                document.querySelector("#token button").click();
            }}"""
        )
        tab.until("readings.length > 2")
        assert tab.value("document.querySelector('h1').textContent") == "Ready"
        assert not tab.value("document.querySelector('#token').checkVisibility()")

    served(look, token=TOKEN)


def test_the_documentation_is_drawn_without_another_address(browser, served):
    def look(address):
        tab = browser.open(f"{address}docs")
        tab.until("document.querySelector('.opblock-summary-path')")
        assert "/predict" in tab.value("document.querySelector('#swagger-ui').innerText")
        assert tab.complaints() == []
        assert all(one.startswith((address, "data:")) for one in tab.requested())

    served(look)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        # Ten values: five up to 0.1, five more up to 0.2.
        ("quantile({edges: [[0.1, 5], [0.2, 10], [Infinity, 10]], count: 10}, 0.5)", 0.1),
        ("quantile({edges: [[0.1, 5], [0.2, 10], [Infinity, 10]], count: 10}, 0.75)", 0.15),
        ("quantile({edges: [[0.1, 5], [0.2, 9], [Infinity, 10]], count: 10}, 0.99)", 0.2),
        ("quantile({edges: [[0.1, 0], [Infinity, 0]], count: 0}, 0.5)", None),
        ("between({edges: [], sum: 0}, {edges: [[1, 2], [Infinity, 3]], sum: 4}).count", 3),
        ("between({edges: [[1, 1], [Infinity, 1]], sum: 1}, {edges: [[1, 2], [Infinity, 3]], sum: 4})",
         {"edges": [[1, 1], [None, 2]], "count": 2, "sum": 3}),
        ("parsed('tailgate_x{a=\"b\\\\\"},c\",d=\"e\"} 2\\n# HELP tailgate_y\\n').get('x')[0].labels", {"a": 'b\\"},c', "d": "e"}),
        ("seconds(0.0123)", "12.3 ms"),
        ("seconds(12)", "12.0 s"),
        ("rate(1234.5)", "1,230/s"),
        ("seconds(null)", "–"),
        ("linear(7, number).ticks.map(one => one[1]).join()", "0,2,4,6,8"),
        ("logarithmic([0.03, 0.04], seconds).ticks.map(one => one[1]).join()", "2 ms,5 ms,10 ms,20 ms,50 ms"),
        ("[59, 60, 90, 119, 120, 150, 7200, 9000].map(span).join()", "59 s,1 min,90 s,119 s,2 min,2.5 min,2 h,2.5 h"),
        ("times(0, 180, {ages: true}).ticks.map(one => one[1]).join()", "3 min ago,2 min ago,1 min ago,now"),
        ("times(0, 100, {ages: false}).ticks.map(one => one[1]).join()", "0 s,20 s,40 s,1 min,80 s,100 s"),
        ("logarithmic([0.003, 0.04], seconds).ticks.map(one => one[1]).join()", "2 ms,5 ms,10 ms,20 ms,50 ms"),
        ("line([[0, 0], [1, null], [1, 1]], {at: x => x}, {at: y => y})", "M0 250h0M1000 0h0"),
    ],
)  # fmt: skip
def test_the_script_computes_what_the_numbers_say(browser, tmp_path, expression, value):
    from importlib import resources

    tab = browser.open("about:blank")
    for package, name in (("tailgate.look", "live.js"), ("tailgate.service.http.pages", "live.js")):
        # Without the lines that look for the page's elements.
        text = resources.files(package).joinpath(name).read_text().partition("\nconst zone =")[0]
        tab.call("Runtime.evaluate", expression=text)
    got = tab.value(f"JSON.parse(JSON.stringify({expression} ?? null))")
    assert got == (pytest.approx(value) if isinstance(value, float) else value)
