"""The HTML report in a real browser: no message on its console, everything drawn, no width too narrow for it."""

import drawn_runs
import pytest
from browser import Browser, needs_browser

from tailgate.harness.report.html.page import render

pytestmark = needs_browser


@pytest.fixture(scope="module", params=["checked", "compared"])
def page(request, tmp_path_factory):
    """Return a page of every kind of panel."""
    folder = tmp_path_factory.mktemp("drawn")
    if request.param == "compared":
        return render(*drawn_runs.compared_run(folder))
    return render(
        *drawn_runs.write_run(folder, [drawn_runs.failing(), drawn_runs.ramp(), drawn_runs.overload()])
    )


def test_a_browser_draws_every_panel_at_every_width_without_a_word_on_its_console(page, tmp_path):
    place = tmp_path / "report.html"
    place.write_text(page)
    with Browser(tmp_path) as browser:
        tab = browser.open(place.as_uri())
        tab.until("document.querySelector('footer')")
        tab.looks_right()
        charts = page.count('role="img" aria-label') - page.count('class="track"')
        assert tab.value("document.querySelectorAll('.chart').length") == charts
        assert tab.complaints() == []
        assert tab.requested() == [place.as_uri()]
