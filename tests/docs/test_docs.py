"""The documents tell the truth: what they list is what there is, and what they show runs."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tailgate.harness.options.settings import OPTIONS
from tailgate.harness.plugins.manager import create_plugin_manager
from tailgate.harness.profiles import PROFILES
from tailgate.service.execution.build import build_engine
from tailgate.service.settings import load_settings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md")), *sorted((ROOT / "benchmarks").glob("*.md"))]

# Whatever shows a command line, beside the pages.
SHOWN = [
    *PAGES,
    *(ROOT / name for name in ("Makefile", "tox.ini", "conftest.py", ".github/workflows/ci.yml")),
    *sorted((ROOT / "examples").rglob("*.py")),
    *sorted((ROOT / "scenarios").glob("*.py")),
]


@pytest.mark.parametrize("page", SHOWN, ids=lambda page: page.name)
def test_a_value_stands_behind_an_equals_sign(page):
    """Behind a space pytest takes it for a path with tests, and may find another project's settings."""
    # The table of the options says in words what some mean.
    text = "\n".join(line for line in page.read_text().splitlines() if not line.startswith("| `--perf-"))
    valued = "|".join(sorted((option.name for option in OPTIONS if not option.flag), key=len, reverse=True))
    assert re.findall(rf"--perf-(?:{valued}) +(?![-`|\\]).*", text) == []


def test_the_plugin_that_is_shown_loads_and_brings_its_scenario(tmp_path):
    code = re.search(r"```python\n# lunch.py\n(.*?)```", (REFERENCE / "plugins.md").read_text(), re.DOTALL)
    (tmp_path / "lunch.py").write_text(code[1])
    plugins = create_plugin_manager([tmp_path / "lunch.py"])
    assert "lunch" in plugins.scenarios(PROFILES["smoke"])


def test_the_models_that_are_shown_are_served(monkeypatch):
    code = re.search(r"```python\n(.*?)```", (DOCS / "explanation" / "service.md").read_text(), re.DOTALL)
    shown = ModuleType("shown")
    exec(code[1], vars(shown))
    monkeypatch.setitem(sys.modules, "shown", shown)
    options = {"device": "cpu", "threads": 1, "max_batch_size": 2, "executor": "eager"}
    assert build_engine(load_settings({}, model="shown:iris", **options)).served.labels[0] == "setosa"
    assert build_engine(load_settings({}, model="shown:photographs", **options)).served.labels == (
        "cat",
        "dog",
    )


HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def sections(page):
    """Return the names by which links find a page's headings, as GitHub and the site make them."""
    headings = HEADING.findall(FENCED.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_to_a_section_of_it(page):
    dead = []
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text()):
        name, _, section = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (section and section not in sections(target)):
            dead.append(link)
    assert dead == []
