"""A real browser without a window, spoken to by the Chrome DevTools Protocol over two pipes; and what every page must be.

Tests that need one are skipped where none is.
"""

import base64
import fcntl
import json
import os
import re
import select
import shutil
import subprocess
import sys
import time
from html.parser import HTMLParser

import pytest

NAMES = ("chromium", "chromium-headless-shell", "google-chrome", "chrome")
BROWSER = os.environ.get("TAILGATE_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)
PATIENCE_S = 120
WIDTHS = (320, 375, 768, 1280, 1920)
# Of the page, light and dark.
BACKGROUNDS = {False: "rgb(246, 247, 249)", True: "rgb(15, 19, 24)"}
ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--hide-scrollbars"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update", "about:blank"),
)
AT_3_AND_4 = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execvp(sys.argv[3], sys.argv[3:])"
# What is wider than the page, but for what scrolls in a box of its own; and what is too small or is not drawn. All is opened.
FAULTS = """(() => {
  document.querySelectorAll("details").forEach(one => { one.open = true; });
  const width = document.documentElement.clientWidth, box = one => one.getBoundingClientRect();
  const seen = [...document.querySelectorAll("body *")].filter(one => box(one).width && !one.closest(".scroll, svg, .skip, thead"));
  const unpainted = [...document.querySelectorAll(".plot .line, .plot .dot path")].filter(
    one => getComputedStyle(one).stroke === "none" && getComputedStyle(one).fill === "none");
  const plots = [...document.querySelectorAll(".plot")].filter(one => box(one).height < 40 || box(one).width < 100);
  const small = [...document.querySelectorAll("main *, header *")].filter(
    one => one.childElementCount === 0 && one.textContent.trim() && !one.closest("[aria-hidden]")
      && parseFloat(getComputedStyle(one).fontSize) < 11);
  return [
    ...(document.documentElement.scrollWidth > width ? ["the page scrolls sideways"] : []),
    ...seen.filter(one => box(one).right > width + 1).map(one => `too wide: ${one.tagName}.${one.className}`),
    ...plots.map(one => `no room to draw: ${one.parentElement.ariaLabel}`),
    ...unpainted.map(one => `not painted: ${one.getAttribute("class")}`),
    ...small.map(one => `too small: ${one.textContent}`),
  ];
})()"""

needs_browser = pytest.mark.skipif(
    BROWSER is None,
    reason=f"no browser: none of {', '.join(NAMES)} is on the path, and TAILGATE_BROWSER names none",
)


class Browser:
    """A browser within a ``with`` block, with its profile in ``folder``."""

    def __init__(self, folder):
        self._folder = folder
        self._number = 0
        self._left = b""
        self.events = []

    def __enter__(self):
        (read_end, self._writes), (self._reads, write_end) = os.pipe(), os.pipe()
        # Out of the way of the two numbers at which the browser expects them.
        reads, writes = (fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (read_end, write_end))
        command = [sys.executable, "-ISc", AT_3_AND_4, str(reads), str(writes), BROWSER]
        self._log = (self._folder / "browser.log").open("wb")
        self._process = subprocess.Popen(
            [*command, f"--user-data-dir={self._folder / 'profile'}", *ARGUMENTS],
            pass_fds=(reads, writes),
            stdout=self._log,
            stderr=self._log,
        )
        for end in (read_end, write_end, reads, writes):
            os.close(end)
        return self

    def __exit__(self, *_):
        self.call("Browser.close")
        self._process.wait(PATIENCE_S)
        os.close(self._reads)
        os.close(self._writes)
        self._log.close()

    def call(self, method, session=None, **parameters):
        """Ask the browser for something, and return what it answers; events that come meanwhile are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        os.write(
            self._writes, json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0"
        )
        deadline_s = time.monotonic() + PATIENCE_S
        while (answer := self._next(deadline_s)).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def _next(self, deadline_s):
        while b"\0" not in self._left:
            ready, _, _ = select.select([self._reads], [], [], max(0.0, deadline_s - time.monotonic()))
            piece = os.read(self._reads, 1 << 20) if ready else b""
            assert piece, f"the browser does not answer: {(self._folder / 'browser.log').read_text()[-2000:]}"
            self._left += piece
        message, _, self._left = self._left.partition(b"\0")
        return json.loads(message)

    def open(self, address, *, width=1280, height=900, dark=False):
        """Return a new page that shows an address."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = Tab(self, session)
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            tab.call(f"{domain}.enable")
        tab.look(width, height, dark=dark)
        tab.call("Page.navigate", url=address)
        return tab


class Tab:
    """One page in a browser."""

    def __init__(self, browser, session):
        self._browser = browser
        self._session = session

    def call(self, method, **parameters):
        return self._browser.call(method, self._session, **parameters)

    def look(self, width, height=900, *, dark=False):
        """Be so wide and so high, in pixels, and of a light or a dark scheme."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def value(self, expression):
        """Return what an expression of JavaScript comes to, once a promise is kept."""
        got = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in got, got["exceptionDetails"]
        return got["result"].get("value")

    def until(self, expression):
        """Wait until an expression holds, in whatever page this then shows."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not self.value(f"document.readyState === 'complete' && Boolean({expression})"):
            assert time.monotonic() < deadline_s, self.value("document.body.innerText")
            self.value("new Promise(done => setTimeout(done, 50))")

    def give(self, selector, path):
        """Choose a file in a field."""
        found = self.call("Runtime.evaluate", expression=f"document.querySelector({selector!r})")["result"][
            "objectId"
        ]
        self.call("DOM.setFileInputFiles", files=[str(path)], objectId=found)

    def press(self, key):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def looks_right(self):
        """Assert that at every width and in both schemes nothing is cut off, too small or left undrawn."""
        for dark, background in BACKGROUNDS.items():
            for width in WIDTHS:
                self.look(width, dark=dark)
                assert self.value(FAULTS) == [], (width, dark)
            assert self.value("getComputedStyle(document.body).backgroundColor") == background

    def picture(self, path):
        """Write a screenshot of the whole page."""
        path.write_bytes(
            base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"])
        )

    def _heard(self, *methods):
        own = [one for one in self._browser.events if one.get("sessionId") == self._session]
        return [one["params"] for one in own if one["method"] in methods]

    def complaints(self):
        """Return what stands on the console, and what no script caught."""
        return self._heard("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")

    def requested(self):
        """Return every address that was asked for."""
        return [one["request"]["url"] for one in self._heard("Network.requestWillBeSent")]


class Markup(HTMLParser):
    """Elements of a page with their attributes, and its scripts."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.scripts = []
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self._inside = tag
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self._inside == "script" and data.strip():
            self.scripts.append(data)

    def handle_endtag(self, tag):
        self._inside = ""


def leads_elsewhere(text):
    """Return all that leads out of a page: addresses with a host or a scheme, styles that load, and handlers in attributes."""
    found = []
    for tag, attributes in Markup(text).elements:
        for name, value in attributes.items():
            if name in {"src", "href", "action", "data", "srcset", "formaction"} and re.match(
                r"\w+:(?!,$)|//", value or ""
            ):
                found.append(f"<{tag} {name}={value}>")
            if name.startswith("on"):
                found.append(f"<{tag} {name}>")
    return found + re.findall(r"url\((?!\s*['\"]?(?:data:|#))[^)]+\)|@import[^;]+", text)
