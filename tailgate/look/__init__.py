"""The look that all pages share: the report of a run, a run in progress, and the service's own page.

Service and harness never import each other, so what both show lies here: the style sheet, and the script that draws charts. A
live page is one text that loads nothing: its policy allows its own script, requests to where it came from, and nothing else.
"""

import base64
import hashlib
from dataclasses import dataclass
from importlib import resources

# Styles may stand in the page, as in the report; no text from elsewhere becomes markup that could bring one.
_POLICY = (
    "default-src 'none'; script-src {script}; style-src 'unsafe-inline'; img-src data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}<script>{script}</script>
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class LivePage:
    """A page that shows what happens now."""

    text: str
    policy: str  # the value of its header Content-Security-Policy


def style() -> str:
    """Return the style sheet of the report, on which live pages build."""
    return _read(__name__, "style.css")


def live_page(package: str, name: str, title: str) -> LivePage:
    """Return the page whose body is NAME.html in a package, and whose script NAME.js draws with the shared one."""
    script = _read(__name__, "live.js") + _read(package, f"{name}.js")
    text = _PAGE.format(
        title=title,
        style=style() + _read(__name__, "live.css"),
        body=_read(package, f"{name}.html"),
        script=script,
    )
    return LivePage(text, _POLICY.format(script=hash_of(script)))


def hash_of(script: str) -> str:
    """Return the source expression that allows one script by its hash (Content Security Policy, level 3)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _read(package: str, name: str) -> str:
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")
