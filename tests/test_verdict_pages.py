"""The page of INVALID has every reason that a run can have, and no other; reasons are read from the code that raises them."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "verdicts"
# The parts of the harness whose errors and faults make a run INVALID.
ROOMS = (
    "compare/answer.py",
    "load/records/record_file.py",
    "measures",
    "observe",
    "target/asking",
    "verdict",
)
SEEN = ("MeasurementError", "Fault")
# A text that has fewer words of its own passes on another one.
LEAST_WORDS = 3


def text_of(node):
    """Return the text that an expression makes, with … for what is only known when it runs."""
    match node:
        case ast.Constant(value=str(value)):
            return value
        case ast.JoinedStr(values=values):
            return "".join(text_of(value) if isinstance(value, ast.Constant) else "…" for value in values)
        case ast.BinOp(left=left, right=right):
            return text_of(left) + text_of(right)
    return "…"


def reasons():
    """Return every text of an error or a fault of these rooms, with its file."""
    found = {}
    for room in ROOMS:
        place = ROOT / "harness" / room
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") in SEEN:
                    said = text_of(node.args[-1])
                    if len(re.findall(r"\w{2,}", said)) >= LEAST_WORDS:
                        found[said] = file.name
    return found


def every_text():
    """Return all texts of the harness: a quotation must be in one of them."""
    trees = [ast.parse(file.read_text()) for file in sorted((ROOT / "harness").rglob("*.py"))]
    nodes = (node for tree in trees for node in ast.walk(tree))
    return [text_of(node) for node in nodes if isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp)]


def quoted(page):
    """Return what the page's tables quote in their first cell."""
    rows = [line.split(" | ")[0] for line in page.splitlines() if line.startswith("| `")]
    return [one for row in rows for one in re.findall(r"`([^`]+)`", row)]


def pattern(quotation):
    """Return a quotation as a pattern: … is anything, in the quotation and in the code."""
    return re.compile(".*".join(re.escape(part.strip()) for part in quotation.split("…")), re.DOTALL)


QUOTED = quoted((PAGES / "invalid.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("said", "file"), sorted(reasons().items()))
def test_every_reason_of_invalid_is_on_its_page(said, file):
    assert any(pattern(one).search(said) for one in QUOTED), (
        f"{file}: add {said!r} to docs/verdicts/invalid.md"
    )


def test_every_quotation_is_said_by_the_code():
    texts = every_text()
    assert [one for one in QUOTED if not any(pattern(one).search(text) for text in texts)] == []


@pytest.mark.parametrize("name", ["pass", "fail", "inconclusive", "invalid"])
def test_a_verdict_s_page_says_what_it_means_and_what_to_look_at(name):
    page = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# {name.upper()}: what now\n")
    assert "| it means | it does not mean |" in page
    three = page.split("## Look at these three first\n", 1)[1].split("\n## ", 1)[0]
    assert re.findall(r"^(\d)\. ", three, re.MULTILINE) == ["1", "2", "3"]
