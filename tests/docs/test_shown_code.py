"""The code and the files that pages show: they parse, what they import is there, and the tutorial's gate runs."""

import ast
import importlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from shown import FENCED

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
]
TUTORIAL = ROOT / "docs" / "tutorials" / "first-gate.md"
# A file that a page shows begins with its name.
NAMED = re.compile(r"\A# ([\w./-]+\.\w+)\n")


def blocks(language):
    """Return the blocks of all pages in a language, each with where it stands."""
    found = []
    for page in PAGES:
        text = page.read_text()
        for block in FENCED.finditer(text):
            if block[2] == language:
                line = text.count("\n", 0, block.start()) + 1
                found.append(pytest.param(block[3], id=f"{page.relative_to(ROOT)}:{line}"))
    return found


@pytest.mark.parametrize("code", blocks("python"))
def test_python_parses_and_imports_what_there_is(code):
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "tailgate":
            module = importlib.import_module(node.module)
            assert [name.name for name in node.names if not hasattr(module, name.name)] == []


@pytest.mark.parametrize("text", blocks("toml"))
def test_toml_parses(text):
    tomllib.loads(text)


@pytest.mark.parametrize("text", blocks("yaml"))
def test_yaml_parses(text):
    assert yaml.safe_load(text)


@pytest.mark.parametrize("text", blocks("json"))
def test_json_parses_line_by_line_or_as_a_whole(text):
    try:
        json.loads(text)
    except json.JSONDecodeError:
        assert [json.loads(line) for line in text.splitlines()]


# What a gate measures of its machine takes longer than this load, and says nothing of the page.
UNMEASURED = """
from tailgate.harness import load
from tailgate.harness.observe.yardstick import YardstickProcess
from tailgate.harness.results.yardstick import Yardstick

load.self_check = lambda _: "fast enough"
YardstickProcess.__enter__ = lambda self: self
YardstickProcess.read = lambda *_: Yardstick(0.010, 0.0099, 0.0101, 60)
"""


def shown_files(page):
    """Return the files that a page shows, by name."""
    named = ((NAMED.match(block[3]), block[3]) for block in FENCED.finditer(page.read_text()))
    return {name[1]: text for name, text in named if name}


@pytest.mark.skipif(
    "test_perf.py" not in shown_files(TUTORIAL), reason="the tutorial shows no test of its own"
)
def test_the_gate_of_the_tutorial_runs_with_a_tenth_of_its_load(tmp_path):
    files = shown_files(TUTORIAL)
    files["test_perf.py"] = files["test_perf.py"].replace("requests=1000", "requests=100")
    files["test_perf.py"] = files["test_perf.py"].replace("Poisson(40.0)", "Poisson(100.0)")
    for name, text in {**files, "conftest.py": UNMEASURED}.items():
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-m", "pytest", "-m", "perf", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    # How fast this machine is decides which verdict it is.
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    assert re.search(r"score: (?:PASS|FAIL|INCONCLUSIVE|INVALID)\b.*100 requests", done.stdout), done.stdout
    assert ", 0 failed" in done.stdout
    assert list(tmp_path.glob(".perf/*/results.json"))
