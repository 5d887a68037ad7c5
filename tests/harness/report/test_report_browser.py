"""The HTML report in a real browser: no message on its console, everything drawn, no width too narrow for it."""

import pytest
from browser import Browser, needs_browser
from kinds import KINDS

from tailgate.harness.report.html.page import render

pytestmark = needs_browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("browser")) as started:
        yield started


@pytest.mark.parametrize("kind", KINDS)
def test_a_browser_draws_every_panel_at_every_width_without_a_word_on_its_console(kind, browser, tmp_path):
    result, run = KINDS[kind](tmp_path)
    page = render(result, run)
    place = tmp_path / "report.html"
    place.write_text(page)
    tab = browser.open(place.as_uri())
    tab.until("document.querySelector('footer')")
    tab.looks_right()
    charts = page.count('role="img" aria-label') - page.count('class="track"')
    assert tab.value("document.querySelectorAll('.chart').length") == charts
    assert tab.complaints() == []
    assert tab.requested() == [place.as_uri()]
