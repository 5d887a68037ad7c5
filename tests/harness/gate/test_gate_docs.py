"""What the pages on verdicts and comparisons say in figures is what the code says."""

import re
from pathlib import Path

import pytest

from tailgate.harness.compare.lens import LENSES
from tailgate.harness.measures.dependence import requests_needed
from tailgate.harness.options.settings import OPTIONS
from tailgate.harness.profiles import PROFILES
from tailgate.harness.results.yardstick import TOLERANCE
from tailgate.harness.verdict.judging import fail_confidence

DOCS = Path(__file__).parents[3] / "docs"
VERDICTS = (DOCS / "reference" / "verdicts.md").read_text()
TOLD = " ".join(VERDICTS.split())
COMPARISON = (DOCS / "explanation" / "comparison.md").read_text()
(CONFIDENCE,) = (option.default for option in OPTIONS if option.name == "confidence")


def cells(text, header):
    """Return the cells of each line of the table with this header."""
    lines = text.split(header)[1].splitlines()[2:]
    kept = lines[: next(index for index, line in enumerate(lines) if not line.startswith("|"))]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in kept]


@pytest.mark.parametrize("row", cells(VERDICTS, "| the server is busy | one request is worth | p95 | p99 |"))
def test_the_requests_that_it_takes_are_those_that_the_judge_says(row):
    _, worth, *needed = row
    said = [requests_needed(share, CONFIDENCE, 1_000, 1_000 * float(worth)) for share in (0.95, 0.99)]
    assert [int(cell.replace(",", "")) for cell in needed] == said


def test_the_requests_of_each_profile_are_told():
    for name in ("default", "smoke", "thorough"):
        assert re.search(rf"`{name}`[^.]*? {PROFILES[name].requests:,}\b", TOLD)


def test_the_figures_of_the_verdicts_are_told():
    assert f"more than {1 + TOLERANCE:g} times apart" in TOLD
    assert f"`--perf-confidence` holds for the run, {CONFIDENCE:g} unless set" in TOLD
    assert (
        f"With four scenarios of five criteria each, a criterion fails at {fail_confidence(CONFIDENCE, 4, 5):g}"
        in TOLD
    )


def test_the_page_of_comparisons_lists_every_lens_with_its_margin_and_tolerance():
    told = {}
    for names, _, margin, tolerance, _ in cells(
        COMPARISON,
        "| lens | compares | margin: FAIL if surely worse by more | tolerance: PASS if surely worse by less | verdict counts |",
    ):
        figures = [float(one.split()[0]) / 100 for one in tolerance.split(",")]
        for name, figure in zip(names.replace("`", "").split(", "), figures, strict=True):
            told[name] = (float(margin.split()[0]) / 100, pytest.approx(figure))
    assert told == {lens.name: (lens.margin, lens.tolerance) for lens in LENSES}
