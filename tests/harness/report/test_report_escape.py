"""What others say is shown as text: in the terminal, in Markdown, in JUnit, in every field of a result."""

import dataclasses
import enum
import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping

import pytest
from calibration_rows import quiet_blocks
from compared_results import compared, with_stages
from comparison_rows import rows
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console

from tailgate.harness.compare.calibration.calibration import calibrate
from tailgate.harness.compare.lens import LENSES
from tailgate.harness.report import calibration, escape, junit, markdown, terminal
from tailgate.harness.results.failure import Failure
from tailgate.harness.results.fault import Cause, Fault
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.session.outcome import explain
from tailgate.harness.testing import criterion_result, run_result

HOSTILE = [
    "\x1b]0;title\x07\x1b[2J\x1b[1;1H\x1b[32mPASS: 29 of 29 criteria hold\x1b[0m",
    "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "\x9b31m\x90q\x9c \u202eevil\u2066 \u200b\ufeff\u2028\u2029\x85\x7f\x08\x0d",
    "![t](https://evil.example/track.png)",
    "[PASS](https://evil.example) [x][y] [y]: https://evil.example",
    "<img src=x onerror=alert(1)> <script>alert(1)</script> <!-- &lt; &#64;",
    "<https://evil.example> https://evil.example www.evil.example a@evil.example",
    "@everyone @org/team #1 org/repo#2 GH-3 deadbeef1",
    "``` ~~~\n```\n# heading\n- list\n> quote\n---\n===\n| a | b |",
    "`` ` `` ``` \\` \\| | a \\",
    "**bold** __bold__ ~~gone~~ :smile: $x$ [^1]",
    "1. first 2) second",
    "[bold]rich[/bold] [/nothing]",
    "\n::error file=a.py,line=1::forged\n##[error]forged ##vso[task.complete]forged",
    "\ud800",
]
# Any text, and any of these among any text.
TEXTS = st.text(max_size=40) | st.lists(st.sampled_from(HOSTILE) | st.text(max_size=8), max_size=4).map(
    "".join
)
RUN = run_result(
    [criterion_result(), criterion_result("p99", verdict=Verdict.FAIL, reason="too slow", note="noted")],
    reasons=("one", "two"),
)
RUN = dataclasses.replace(
    RUN,
    scenarios=(
        dataclasses.replace(
            RUN.scenarios[0],
            failures={"head": (Failure("client_error", 404, 3, "said"),)},
            notes=("a note",),
            faults=(Fault(Cause.NOISE, "a fault"),),
        ),
    ),
)
COMPARED = compared(with_stages(rows(12, worse=1.25, sigma=0.2), 0.002), notes=("a note",), stopped="by hand")
MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
ACTIVE = {"image", "link_open", "html_inline", "html_block", "s_open", "em_open", "strong_open"}
# What GitHub makes more of than text, where it stands in no code.
LIVELY = re.compile(r"@\w|#\d|://|www\.|:\w+:|GH-\d|&\w+;|&#", re.IGNORECASE)


def with_texts(value, change):
    """Return a result in which every text is another."""
    if isinstance(value, str) and not isinstance(value, enum.Enum):
        return change(value)
    if dataclasses.is_dataclass(value):
        fields = {
            field.name: with_texts(getattr(value, field.name), change) for field in dataclasses.fields(value)
        }
        return dataclasses.replace(value, **fields)
    if isinstance(value, Mapping):
        # Of facts, whose names are anybody's too; other mappings go by names of ours.
        facts = any(isinstance(one, str) for one in value.values())
        return {
            change(name) + name if facts else name: with_texts(one, change) for name, one in value.items()
        }
    return tuple(with_texts(one, change) for one in value) if isinstance(value, tuple) else value


def shown(result, **options):
    file = io.StringIO()
    terminal.render(result, Console(file=file, width=80, **options), terminal.Detail.EVERYTHING)
    return file.getvalue()


def inline(tokens):
    """Return all inline tokens."""
    return [child for token in tokens for child in token.children or ()]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TEXTS)
@example("x")
def test_markdown_shows_any_text_as_it_is_and_as_nothing_else(text):
    line = escape.visible(" ".join(text.split()))
    for mark, before in (("-", "x "), ("-", ""), ("#", "")):
        tokens = inline(MARKDOWN.parse(f"{mark} {before}{escape.markdown(text)}"))
        assert {token.type for token in tokens} <= {"text", "code_inline"}
        told = "".join(token.content for token in tokens)
        assert " ".join(told.split()) == " ".join((before + line).split())
        assert not any(LIVELY.search(token.content) for token in tokens if token.type == "text")


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TEXTS)
def test_a_cell_holds_any_text_and_ends_where_it_should(text):
    source = f"| a | b |\n| --- | --- |\n| {escape.cell(text)} | end |"
    tokens = MARKDOWN.parse(source)
    assert [token.type for token in tokens].count("td_open") == 2
    assert not ACTIVE & {token.type for token in inline(tokens)}
    first, last = [token for token in tokens if token.type == "inline"][2:]
    assert last.content == "end"
    told = "".join(child.content for child in first.children or ())
    assert told.split() == escape.visible(" ".join(text.replace("|", " | ").split())).split() or "|" in text


@settings(deadline=None)
@given(TEXTS)
def test_a_code_block_ends_where_it_should(text):
    tokens = MARKDOWN.parse("\n".join([*escape.fenced(text, "sh"), "after"]))
    assert [token.type for token in tokens] == ["fence", "paragraph_open", "inline", "paragraph_close"]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TEXTS, st.sampled_from([RUN, COMPARED]))
def test_no_field_of_a_result_is_more_than_text_in_markdown(text, result):
    # What stands behind a line's end is the end of a log, and code.
    harmless = "x\ny" if "\n" in text else "x y"
    plain = MARKDOWN.parse(markdown.render(with_texts(result, lambda _: harmless)))
    tokens = MARKDOWN.parse(markdown.render(with_texts(result, lambda _: f"x {text} y")))
    assert [token.type for token in tokens] == [token.type for token in plain]
    assert not ACTIVE & {token.type for token in [*tokens, *inline(tokens)]}
    assert not any(LIVELY.search(token.content) for token in inline(tokens) if token.type == "text")


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TEXTS, st.sampled_from([RUN, COMPARED]))
def test_no_field_of_a_result_writes_control_characters_to_a_terminal(text, result):
    hostile = with_texts(result, lambda _: f"x {text} y")
    for printed in (shown(hostile), escape.terminal(explain(hostile.scenarios[0]))):
        assert all(char.isprintable() or char in "\n\t" for char in printed)
        assert not re.search(r"^\s*::error|##\[", printed, re.MULTILINE)
    coloured = shown(hostile, force_terminal=True, color_system="standard")
    assert all(char.isprintable() or char in "\n\t" for char in re.sub(r"\x1b\[[\d;]*m", "", coloured))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TEXTS)
def test_junit_holds_any_text(text):
    hostile = with_texts(RUN, lambda _: f"x {text}")
    case = ET.Element("case")
    for name, value in junit.properties(hostile, hostile.scenarios[0]):
        ET.SubElement(case, "property", name=name, value=value)
    assert ET.fromstring(ET.tostring(case, "unicode")).tag == "case"


@pytest.mark.parametrize("text", HOSTILE)
def test_a_calibration_of_kept_blocks_is_text_too(text):
    found = calibrate(*quiet_blocks(24), LENSES)
    hostile = with_texts(dataclasses.replace(found, voided={f"x {text}": 3}), lambda told: f"{told} {text}")
    file = io.StringIO()
    calibration.render(hostile, Console(file=file, width=80))
    assert all(char.isprintable() or char in "\n\t" for char in file.getvalue())
    assert "[bold]rich" in file.getvalue() or "[bold]rich" not in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain (text) of 12.5 ms, 3 %: yes", "plain (text) of 12.5 ms, 3 %: yes"),
        ("error_rate (client) is high", "`error_rate` (client) is high"),
        ("two `ticks` here", "two `` `ticks` `` here"),
        ("[a] [b] c", "`[a] [b]` c"),
        ("- not a list", "`-` not a list"),
        ("", ""),
    ],
)
def test_ordinary_sentences_stay_readable(text, expected):
    assert escape.markdown(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("café – ≥ 5 %", "café – ≥ 5 %"),
        ("a\tb\nc", "a\tb\nc"),
        ("\x1b[2J\x9b\x07", "\\x1b[2J\\x9b\\x07"),
        ("a\u202eb\u200bc\ufe0f", "a\\u202eb\\u200bc\\ufe0f"),
        ("::error::x", ":\\:error::x"),
        ("##vso[task.complete]", "#\\#vso[task.complete]"),
        ("##teamcity[x]", "#\\#teamcity[x]"),
        ("a ::std b::c ##[group]", "a :\\:std b::c #\\#[group]"),
    ],
)
def test_a_terminal_gets_what_shows_something(text, expected):
    assert escape.terminal(text) == expected


def test_the_words_of_a_log_keep_their_lines_and_a_label_does_not():
    result = run_result(faults=[Fault(Cause.INTEGRITY, "it died\nits log ends:\nTraceback")])
    arm = dataclasses.replace(result.arms[0], facts={"model": "a\nPASS: forged"})
    lines = shown(dataclasses.replace(result, arms=(arm,))).splitlines()
    assert "  Traceback" in [line.rstrip() for line in lines]
    assert any("model=a\\nPASS: forged" in line for line in lines)
