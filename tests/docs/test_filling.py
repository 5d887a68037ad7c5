"""What pages take from declarations and results is what these say today."""

import re

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from docs.__main__ import main
from docs.declared import DECLARED, prose
from docs.filling import ROOT, FillError, Sources, Tables, filled, pages
from docs.measured import MEASURED
from tailgate.harness.measures import built_in_measures
from tailgate.harness.plugins import hookspecs

PAGES = list(pages())
TABLES = {**DECLARED, **MEASURED}


@pytest.fixture(scope="module")
def sources():
    return Sources(Tables(TABLES))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_page_is_filled_in_as_it_would_be_now(page, sources):
    text = page.read_text()
    assert text == filled(text, sources), f"{page.relative_to(ROOT)} is out of date: run `make figures`"


def test_every_table_stands_on_a_page():
    text = "".join(page.read_text() for page in PAGES)
    assert [name for name in TABLES if f"{{tables[{name}]}}" not in text] == []


def test_the_tables_of_the_reference_have_a_row_for_each_of_what_there_is():
    told = DECLARED["measures"]()
    assert re.findall(r"`(\S+?)`", "".join(row.split("|")[1] for row in told.splitlines()[2:])) == [
        measure.name for measure in built_in_measures()
    ]
    hooks = re.findall(r"^### (\w+)$", DECLARED["hooks"](), re.MULTILINE)
    assert hooks == [name for name in vars(hookspecs) if name.startswith("tailgate_")]
    assert "`tailgate_requests_total{outcome}` | counter" in DECLARED["metrics"]()
    assert "`tailgate_request_seconds{outcome}` | histogram" in DECLARED["metrics"]()
    assert "| `--perf-inconclusive` | `perf_inconclusive` | `fail` |" in DECLARED["options"]()
    assert "| `TAILGATE_MAX_BATCH_SIZE` |  |" in DECLARED["settings"]()


def test_a_docstring_becomes_markdown():
    assert prose("Return ``x`` of\n    :mod:`a.b`.\n\n    Or not.") == "Return `x` of `a.b`.\n\nOr not."


# A field


@pytest.fixture
def results(tmp_path):
    """Return the sources of one file of results."""
    head = {"started": "2026-11-05T20:09:40Z", "revision": "7065fbb", "benchmark": "serving"}
    document = {
        **head,
        "machine": {"processor": "AMD EPYC", "processors": 2, "gpu": None},
        "cells": [
            {"workload": "noop", "at": 1, "p50_s": {"median": 0.00196, "low": 0.001, "high": 0.003}},
            {"workload": "noop", "at": 64, "p50_s": {"value": 0.0123, "low": 0.01, "high": 0.02}},
        ],
        "targets": [{"what": "h: cost of a request", "measured": 22.4182}],
        "lines": [{"on": "no stalls", "of": "the mean", "at": n, "spread": n / 100} for n in (2, 4)],
        "share": 0.90284,
        "rates": {"64": 46999.7},
    }
    (tmp_path / "serving.json").write_bytes(orjson.dumps(document))
    return Sources(Tables({"two": lambda: "| a |\n| - |", "word": lambda: "a"}), tmp_path)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("{serving[rates][64]}", "47,000"),
        ("{serving[rates][64]:,.1f}/s", "46,999.7/s"),
        ("{serving[targets][h: cost of a request][measured]} µs", "22.4 µs"),
        ("{serving[cells][noop 1][p50_s]:ms}", "1.96"),
        ("{serving[cells][noop 64][p50_s]:ms .1f}", "12.3"),
        ("{serving[cells][0][p50_s]:ms range}", "1 to 3"),
        ("{serving[lines][no stalls, the mean, 4][spread]:% .1f} %", "4.0 %"),
        ("{serving[share]:% .0f} %", "90 %"),
        ("{serving:date}, {serving:machine}", "5 November 2026, 2 processors of an AMD EPYC"),
        ("{serving[revision]}", "7065fbb"),
        ("{tables[word]}", "a"),
    ],
)
def test_a_field_is_written_as_its_format_says(results, field, text):
    once = filled(f"x <!-- {field} -->old<!-- end -->.", results)
    assert once == f"x <!-- {field} -->{text}<!-- end -->."
    assert filled(once, results) == once


def test_a_table_has_empty_lines_around_it(results):
    page = "<!-- {tables[two]} --><!-- end -->\n"
    assert filled(page, results) == "<!-- {tables[two]} -->\n\n| a |\n| - |\n\n<!-- end -->\n"


@pytest.mark.parametrize(
    ("field", "error"),
    [
        ("{nothing[a]}", "there is no nothing.json"),
        ("{tables[a]}", "there is no such table; there are: two, word"),
        ("{serving[a]}", "serving[a]: there is no such key; there are: started, revision"),
        ("{serving[cells][noop][p50_s]}", "serving[cells][noop]: expected words that choose one of 2, got 2"),
        ("{serving[cells][noop 2][p50_s]}", "got 0"),
        ("{serving[cells]}", "serving[cells]: expected a number or a text, got list"),
        ("{serving[share]:ms q}", "Unknown format code"),
        ("{serving[share]:date}", ""),
    ],
)
def test_a_field_that_cannot_be_filled_in_is_named_with_the_reason(results, field, error):
    with pytest.raises(FillError) as refused:
        filled(f"<!-- {field} --><!-- end -->", results)
    assert f"<!-- {field} -->: " in str(refused.value)
    assert error in str(refused.value)


@pytest.mark.parametrize("rest", ["", " <!-- {tables[word]} -->a<!-- end -->"])
def test_a_field_without_an_end_is_refused(results, rest):
    with pytest.raises(FillError, match="has no <!-- end -->"):
        filled("<!-- {serving[share]} -->1" + rest, results)


@given(st.text())
def test_a_page_without_fields_is_left_alone(text):
    assert "<!-- {" in text or filled(text, {}) == text


def test_the_command_writes_what_has_changed_and_stops_at_what_cannot_be(monkeypatch, tmp_path, capsys):
    page = tmp_path / "page.md"
    monkeypatch.setattr("docs.__main__.pages", lambda: [page])
    monkeypatch.setattr("docs.__main__.ROOT", tmp_path)
    monkeypatch.setattr("docs.__main__.DECLARED", {"word": lambda: "new"})
    page.write_text("<!-- {tables[word]} -->old<!-- end -->")
    assert [main(), main()] == [0, 0]
    assert page.read_text() == "<!-- {tables[word]} -->new<!-- end -->"
    assert capsys.readouterr().out == "page.md\n"
    page.write_text("<!-- {tables[none]} -->old<!-- end -->")
    assert main() == 1
    assert "page.md: <!-- {tables[none]} -->: " in capsys.readouterr().err


# What has no source

FIGURE = re.compile(r"\d[\d,]*(?:\.\d+)?\s?(?:×(?!\s?\w)|times\b(?! in \d)|requests/s|/s\b|µs\b|ms\b)")
MONTHS = "January February March April May June July August September October November December"
SOURCE = re.compile(rf"\b\d{{1,2}} (?:{MONTHS.replace(' ', '|')}) 20\d\d\b|<!-- [^>]*\{{")
NOT_PROSE = re.compile(r"^```.*?^```$|<!-- [^>]*\{.*?<!-- end -->|`[^`\n]*`", re.MULTILINE | re.DOTALL)

# Tutorials and how-tos have figures as examples, the reference and the glossary as definitions.
CLAIMING = [
    page
    for page in PAGES
    if not set(page.parts) & {"tutorials", "how-to", "reference", "verdicts", "glossary.md"}
]
# Sections whose figures are what the code does, not what was measured: limits, defaults, sizes of what is sent.
SPECIFIED = {
    "docs/explanation/comparison.md": {"Comparing head with base", "The load", "Verdicts"},
    "docs/explanation/intervals.md": {"Confidence intervals"},
    "docs/explanation/load-generation.md": {"Clients that do not wait", "What makes a run INVALID"},
    "docs/explanation/service.md": {"Connections"},
    "benchmarks/README.md": {"Benchmarks", "The comparison (`serving/`)"},
}


def sections(text):
    """Yield the heading of each section with what stands below it."""
    parts = re.split(
        r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), flags=re.MULTILINE
    )
    yield "", parts[0]
    yield from zip(parts[1::2], parts[2::2], strict=True)


@pytest.mark.parametrize("page", CLAIMING, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_figure_that_was_measured_says_when_or_is_filled_in(page):
    specified = SPECIFIED.get(str(page.relative_to(ROOT)), set())
    bare = {
        heading
        for heading, body in sections(page.read_text())
        if FIGURE.search(NOT_PROSE.sub("", body)) and not SOURCE.search(body)
    }
    assert bare - specified == set(), (
        "say the day, machine and command; or add it to SPECIFIED if nobody measured it"
    )
