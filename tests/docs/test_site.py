"""The documents become a site without a warning, and the site needs no network."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What a browser loads by itself; a link that a reader may follow is none.
LOADED = {"link": "href", "use": "href", "object": "data", "form": "action"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return the folder of the built site, and what Sphinx said."""
    folder = tmp_path_factory.mktemp("site")
    flags = ["--fail-on-warning", "--keep-going", "--quiet", "--doctree-dir", str(folder / "doctrees")]
    command = [sys.executable, "-m", "sphinx", *flags, "docs", str(folder / "html")]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert (built.returncode, built.stderr) == (0, "")
    return folder / "html"


class Addresses(HTMLParser):
    """Collects what a page loads."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        """Note the addresses of one tag."""
        names = {"src", "srcset", "poster", LOADED.get(tag)}
        self.found += [value for name, value in attributes if name in names and value]


def outside(address):
    return re.match(r"(?:\w+:)?//", address.strip()) is not None


def test_every_page_of_the_documents_is_a_page_of_the_site(site):
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    assert pages <= {path.relative_to(site) for path in site.rglob("*.html")}


def test_no_page_loads_anything_from_elsewhere(site):
    loaded = {}
    for path in site.rglob("*.html"):
        parser = Addresses()
        parser.feed(path.read_text())
        loaded[path.name] = [address for address in parser.found if outside(address)]
    assert {name: found for name, found in loaded.items() if found} == {}


def test_no_style_loads_anything_from_elsewhere(site):
    text = "".join(path.read_text() for path in site.rglob("*.css"))
    addresses = re.findall(r"""(?:url\(|@import)\s*["']?([^"')\s;]+)""", text)
    assert [address for address in addresses if outside(address)] == []


def test_a_page_leads_to_every_other(site):
    index = (site / "index.html").read_text()
    for path in (ROOT / "docs").rglob("*.md"):
        assert (
            f'href="{path.relative_to(ROOT / "docs").with_suffix(".html")}"' in index or path.stem == "index"
        )
