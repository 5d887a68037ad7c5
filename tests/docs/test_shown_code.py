"""The code and the files that pages show: they parse, and what they import is there."""

import ast
import importlib
import json
import tomllib

import pytest
import yaml
from shown import FENCED, PAGES, ROOT


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
