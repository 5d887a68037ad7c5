"""What GitHub shows of a run beside its summary: annotations, and the data of a badge."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from tailgate.harness.options.table import Enforce, OnInconclusive
from tailgate.harness.report.escape import visible
from tailgate.harness.results.criterion import CriterionResult
from tailgate.harness.results.run import RunResult, ScenarioResult
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.verdict.waivers import is_waived, lets_pass, verdict_word, waived

_COLOURS = {
    Verdict.PASS: "brightgreen",
    Verdict.FAIL: "red",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.INVALID: "lightgrey",
}
# A line of budgets as TOML may write it: a table of its own, or a key of an inline table.
_HEADER = re.compile(r"^\s*\[(?:tool\.tailgate\.budgets\.?)?(?P<key>\"[^\"]+\"|'[^']+'|[\w.:*-]*)\]")
_KEY = re.compile(r"^\s*(?P<key>\"[^\"]+\"|'[^']+'|[\w:*-]+)\s*=")


def annotations(result: RunResult, budgets: Path | None, workspace: Path) -> Iterator[str]:
    """Yield workflow commands: one for each criterion that does not hold, at the line of its budget, else one per scenario.

    ``budgets`` is the file that the run's budgets stand in, None without one. ``workspace`` is the folder that names of files
    start from.
    """
    text = (
        ""
        if budgets is None or not budgets.is_file()
        else budgets.read_text(encoding="utf-8", errors="replace")
    )
    for scenario in result.scenarios:
        if scenario.verdict is Verdict.PASS:
            continue
        if lets_pass(scenario):
            yield from (_command("notice", f"{scenario.name}: {told}") for told in waived(scenario))
            continue
        bad = [one for one in scenario.criteria if one.verdict is scenario.verdict]
        if scenario.reason or not bad:
            said = f"{scenario.name}: {scenario.verdict.value}: {scenario.reason or 'nothing was judged'}"
            yield _command(_level(result, scenario), said)
            continue
        for one in bad:
            place = {}
            if budgets is not None:
                place["file"] = os.path.relpath(budgets, workspace)
                if line := line_of(text, scenario.name, one):
                    place["line"] = str(line)
            said = f"{scenario.name}: {one.name}: {one.reason}"
            yield _command(_level(result, scenario), said, title=f"tailgate: {one.verdict.value}", **place)
    if not result.scenarios:
        yield _command("error", "nothing was measured")


def _level(result: RunResult, scenario: ScenarioResult) -> str:
    """Return how loud: an error for what fails the test."""
    undecided = scenario.verdict is Verdict.INCONCLUSIVE
    let_pass = undecided and result.settings.get("inconclusive") in {
        OnInconclusive.WARN.value,
        OnInconclusive.PASS.value,
    }
    enforced = (
        result.settings.get("enforce") != Enforce.MEASUREMENT.value or scenario.verdict is Verdict.INVALID
    )
    return "error" if enforced and not let_pass else "warning"


def _command(level: str, message: str, *, title: str = "tailgate", **place: str) -> str:
    properties = {**place, "title": title}
    written = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::{level} {written}::{_data(visible(message))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(visible(text)).replace(":", "%3A").replace(",", "%2C")


def line_of(text: str, scenario: str, criterion: CriterionResult) -> int | None:
    """Return the line of a budgets file that limits a criterion, from 1; None where it is not found.

    A line that names the scenario beats one for all, and one with the measure beats one without.
    """
    found: dict[tuple[bool, bool], int] = {}
    header = ""
    measure = re.compile(rf"(?<![\w-]){re.escape(criterion.measure)}\s*=")
    for number, line in enumerate(text.splitlines(), start=1):
        if table := _HEADER.match(line):
            header = table["key"].strip("\"'")
        key = _KEY.match(line)
        named = header or ("" if key is None else key["key"].strip("\"'"))
        of = named.partition(":")[0]
        if of in {scenario, "*"}:
            found.setdefault((of == scenario, bool(measure.search(line))), number)
    return next((found[rank] for rank in ((True, True), (False, True), (True, False)) if rank in found), None)


def badge(result: RunResult) -> dict[str, str | int]:
    """Return the document that a badge service draws: the newest verdict."""
    return {
        "schemaVersion": 1,
        "label": "tailgate",
        "message": verdict_word(result),
        "color": "yellowgreen" if is_waived(result) else _COLOURS[result.verdict],
    }
