"""The HTML report in a real browser, headless: no message on its console, everything drawn, no width too narrow for it.

The page itself runs no script. It is put into a frame of another page, whose script looks at it.
"""

import base64
import html
import json
import os
import re
import shutil
import subprocess

import drawn_runs
import pytest

from tailgate.harness.report.html.page import render

BROWSERS = ("chromium", "chromium-headless-shell", "google-chrome", "chrome")
BROWSER = os.environ.get("TAILGATE_BROWSER") or next(filter(None, map(shutil.which, BROWSERS)), None)
PATIENCE_S = 120
WIDTHS = (320, 375, 768, 1280, 1920)
# Looks at the page at every width: what is wider than it, what is drawn, and which colours it has.
LOOKING = """
<!doctype html><meta charset="utf-8"><body><pre id="told"></pre><script>
const page = new TextDecoder().decode(Uint8Array.from(atob("%s"), c => c.charCodeAt(0))), told = {};
async function look() {
  for (const width of %s) {
    const frame = document.createElement("iframe");
    frame.style.cssText = `border:0;height:900px;width:${width}px`;
    frame.srcdoc = page;
    await new Promise(done => { frame.onload = done; document.body.append(frame); });
    const inside = frame.contentDocument, root = inside.documentElement;
    inside.querySelectorAll("details").forEach(one => one.open = true);
    const box = one => one.getBoundingClientRect();
    const wide = [...inside.querySelectorAll("body *")].filter(
      one => !one.closest(".scroll, svg, .skip, thead") && box(one).right > width + 1);
    const charts = [...inside.querySelectorAll(".chart")];
    told[width] = {
      scrolls: root.scrollWidth > root.clientWidth,
      wide: wide.map(one => `${one.tagName}.${one.className}: ${one.textContent.slice(0, 40)}`),
      charts: charts.length,
      empty: charts.filter(one => box(one.querySelector(".plot")).height < 40 || box(one.querySelector(".plot")).width < 100).length,
      unpainted: [...inside.querySelectorAll(".plot .line, .plot .dot path")].filter(
        one => inside.defaultView.getComputedStyle(one).stroke === "none").length,
      background: inside.defaultView.getComputedStyle(inside.body).backgroundColor,
      small: [...inside.querySelectorAll(".chart span, .legend li")].filter(
        one => parseFloat(inside.defaultView.getComputedStyle(one).fontSize) < 11).length,
    };
    frame.remove();
  }
  document.getElementById("told").textContent = JSON.stringify(told);
}
look();
</script>
"""

pytestmark = pytest.mark.skipif(
    BROWSER is None,
    reason=f"no browser: none of {', '.join(BROWSERS)} is on the path, and TAILGATE_BROWSER names none",
)


def seen(text, folder, *, dark):
    """Return what the browser saw of a page at every width, and what it wrote to its console."""
    place = folder / "looking.html"
    place.write_text(LOOKING % (base64.b64encode(text.encode()).decode(), json.dumps(WIDTHS)))
    arguments = (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        f"--user-data-dir={folder / 'profile'}",
        f"--blink-settings=preferredColorScheme={0 if dark else 1}",
        "--virtual-time-budget=60000",
        "--dump-dom",
        place.as_uri(),
    )
    ended = subprocess.run(
        [BROWSER, *arguments], capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )
    (told,) = re.findall(r'<pre id="told">(\{.*?\})</pre>', ended.stdout, re.DOTALL)
    return json.loads(html.unescape(told)), [line for line in ended.stderr.splitlines() if "CONSOLE" in line]


@pytest.fixture(scope="module", params=["checked", "compared"])
def page(request, tmp_path_factory):
    """Return a page of every kind of panel."""
    folder = tmp_path_factory.mktemp("drawn")
    if request.param == "compared":
        return render(*drawn_runs.compared_run(folder))
    return render(
        *drawn_runs.write_run(folder, [drawn_runs.failing(), drawn_runs.ramp(), drawn_runs.overload()])
    )


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_browser_draws_every_panel_at_every_width_without_a_word_on_its_console(page, tmp_path, dark):
    told, console = seen(page, tmp_path, dark=dark)
    assert console == []
    assert set(told) == {str(width) for width in WIDTHS}
    for width, one in told.items():
        assert not one["scrolls"], width
        assert one["wide"] == [], width
        assert one["charts"] == page.count('role="img" aria-label') - page.count('class="track"')
        assert (one["empty"], one["unpainted"], one["small"]) == (0, 0, 0), width
        assert one["background"] == ("rgb(15, 19, 24)" if dark else "rgb(246, 247, 249)")
