"""The documents tell the truth: what they list is what there is, and what they show runs."""

import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch

from tailgate.harness.options.reading import options_table
from tailgate.harness.options.settings import OPTIONS
from tailgate.harness.plugins import hookspecs
from tailgate.harness.plugins.manager import create_plugin_manager
from tailgate.harness.profiles import PROFILES
from tailgate.service.batching.forecast import Decoding
from tailgate.service.batching.service import Service
from tailgate.service.execution.build import build_engine
from tailgate.service.execution.gauges import gauges_of
from tailgate.service.execution.isolate import Inference
from tailgate.service.execution.trials.batch_times import BatchTimes
from tailgate.service.execution.trials.parity import Parity
from tailgate.service.settings import load_settings

ROOT = Path(__file__).parents[1]
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


def test_the_page_of_options_lists_every_option_as_it_is_declared():
    text = (REFERENCE / "options.md").read_text()
    assert text.endswith(options_table()), (
        "put in what `python -c 'from tailgate.harness.options.reading import *; print(options_table())'` prints"
    )


def test_the_page_of_plugins_lists_every_hook_and_no_other():
    listed = set(re.findall(r"^\| `(tailgate_\w+)\(", (REFERENCE / "plugins.md").read_text(), re.MULTILINE))
    assert listed == {name for name in vars(hookspecs) if name.startswith("tailgate_")}


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


def test_the_page_of_metrics_lists_every_metric_and_no_other():
    listed = set(re.findall(r"^\|.*$", (REFERENCE / "metrics.md").read_text(), re.MULTILINE))
    names = {name for row in listed for name in re.findall(r"`(tailgate_\w+)", row.split("|")[1])}
    service = Service(load_settings({}))
    parity, times = Parity(0.0, 1.0, 8), BatchTimes({1: 1.0}, 1.0, 0.0)
    gauges = gauges_of(parity, times, Inference(None), torch.device("cpu"))
    service.pipeline = SimpleNamespace(
        engine=SimpleNamespace(gauges=gauges),
        hung=None,
        decoders=SimpleNamespace(decoding=lambda _: Decoding(threads=1)),
        dispatcher=SimpleNamespace(waiting=0),
    )
    endings = {"counter": "_total", "info": "_info"}
    exposed = {family.name + endings.get(family.type, "") for family in service.metrics.collect()}
    exposed |= {"tailgate_gpu_utilization_ratio", "tailgate_gpu_memory_used_bytes"}  # where there is one
    exposed.add("tailgate_log_lines_dropped_total")  # where the log is the service's own
    assert names == exposed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_to_one(page):
    links = re.findall(r"\]\((?!http)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []
