"""The programs that the tutorials and how-tos show do what the pages say of them."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tailgate.harness.plugins.manager import create_plugin_manager
from tailgate.harness.profiles import PROFILES
from tailgate.harness.testing import run_result
from tailgate.service.execution.build import build_engine
from tailgate.service.settings import load_settings

DOCS = Path(__file__).parents[1] / "docs"
PROGRAM = re.compile(r"```python\n# ([\w/]+\.py)\n(.*?)```", re.DOTALL)


def programs(page):
    """Return by name the programs that a page shows as files."""
    return dict(PROGRAM.findall((DOCS / page).read_text(encoding="utf-8")))


def loaded(page, name):
    """Return a program of a page as a module."""
    shown = ModuleType(Path(name).stem)
    exec(compile(programs(page)[name], name, "exec"), vars(shown))
    return shown


def test_the_model_that_is_shown_is_served_with_both_outputs(monkeypatch):
    monkeypatch.setitem(sys.modules, "flowers", loaded("tutorials/serve-your-model.md", "flowers.py"))
    options = {"device": "cpu", "threads": 1, "max_batch_size": 2, "executor": "eager"}
    served = build_engine(load_settings({}, model="flowers:iris", **options)).served
    assert [output.name for output in served.outputs] == ["species", "size"]
    assert served.labels[0] == "setosa"


def test_the_scenario_that_is_shown_is_brought_by_its_plugin(tmp_path):
    file = tmp_path / "lunch.py"
    file.write_text(programs("how-to/write-a-scenario.md")["lunch.py"])
    assert "lunch" in create_plugin_manager([file]).scenarios(PROFILES["smoke"])


@pytest.mark.parametrize(
    ("page", "name", "test", "scenario"),
    [
        ("tutorials/first-gate.md", "test_perf.py", "test_score_is_fast", "score"),
        ("how-to/write-a-scenario.md", "perf/test_lunch.py", "test_lunch", "lunch"),
    ],
)
def test_a_test_that_is_shown_checks_its_scenario(page, name, test, scenario):
    checked = []
    gate = type("Gate", (), {"check": lambda _, one: checked.append(one.name)})()
    getattr(loaded(page, name), test)(gate)
    assert checked == [scenario]


def test_the_reporter_that_is_shown_passes_the_test_that_is_shown(tmp_path, monkeypatch):
    page = "how-to/write-a-reporter.md"
    monkeypatch.setitem(sys.modules, "textfile", loaded(page, "textfile.py"))
    loaded(page, "test_textfile.py").test_each_criterion_is_a_line(tmp_path)
    file = tmp_path / "textfile.py"
    file.write_text(programs(page)["textfile.py"])
    (reporter,) = [one for one in create_plugin_manager([file]).reporters() if one.name == "textfile"]
    assert reporter.write(run_result(), tmp_path) == tmp_path / "tailgate.prom"
