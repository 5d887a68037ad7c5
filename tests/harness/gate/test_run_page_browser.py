"""The page of a run in a real browser: it draws the run, believes no text, and has the report when the run is gone."""

import json

import numpy as np
import pytest
from browser import Browser, needs_browser

from tailgate.harness.gate.run_page import Progress, RunServer
from tailgate.harness.observe.beside.under_way import PhaseLoad, Seen
from tailgate.harness.report.html import REPORT
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.scenario.plan import PlannedPhase
from tailgate.harness.secrecy import Secrets
from tailgate.harness.testing import criterion_result, run_result

pytestmark = needs_browser
HOSTILE = "<img src=x onerror=alert(1)></script><script>alert(2)</script>"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


def phase_of(folder, name):
    return PhaseLoad(
        HOSTILE, 0, PlannedPhase(name, np.arange(60) * 10**9, np.zeros(60, np.uint16)), 1.0, folder
    )


def noted(progress, folder, seconds, name=HOSTILE):
    for second in range(1, seconds + 1):
        slow_s = 0.02 + 0.002 * second
        quantiles = {"p50": 0.01, "p95": slow_s, "p99": 2 * slow_s}
        now = Seen(float(second), second, 20.0, 19.0, quantiles, second, {HOSTILE: second})
        progress.note(phase_of(folder, name), now, 1.0, 1.0)


def test_the_page_draws_the_run_and_has_the_report_when_the_run_is_gone(browser, tmp_path):
    progress = Progress(HOSTILE, 2, Secrets.of([]))
    (tmp_path / REPORT).write_text("<!doctype html><title>it</title><p style='color: red'>the report")
    with RunServer(progress, 0) as server:
        address = server.address
        tab = browser.open(address)
        tab.until("document.querySelector('.why').textContent=== 'Scenario 1 of 2. Getting ready.'")
        progress.tell(HOSTILE)
        tab.until(
            f"document.querySelector('.why').textContent === {json.dumps(f'Scenario 1 of 2. {HOSTILE}')}"
        )
        progress.tell_verdict(run_result([criterion_result(value=0.3, verdict=Verdict.FAIL)]))
        with progress.watching(phase_of(tmp_path, HOSTILE)):
            noted(progress, tmp_path, 30)
            tab.until("document.querySelector('.why').textContent.includes('Scenario 2 of 2')")
            tab.until("document.querySelector('#latency .line').getAttribute('d')")
            assert HOSTILE in tab.value("document.querySelector('.said').textContent")
            assert tab.value("document.querySelector('#verdicts .badge').textContent").endswith("FAIL")
            assert tab.value("document.querySelectorAll('script').length") == 1
            assert tab.value("document.querySelectorAll('img, [onerror]').length") == 0
            tab.looks_right()
        progress.finish(run_result(), tmp_path)
        tab.until("document.querySelector('#report a')")
    assert tab.value("document.querySelector('h1').textContent") == "PASS"
    assert tab.complaints() == []
    assert all(one.startswith((address, "blob:", "data:")) for one in tab.requested())
    # The server is gone; the page has the report all the same, with its styles.
    tab.value("location.href = document.querySelector('#report a').href, null")
    tab.until("document.title === 'it'")
    assert tab.value("getComputedStyle(document.querySelector('p')).color") == "rgb(255, 0, 0)"
