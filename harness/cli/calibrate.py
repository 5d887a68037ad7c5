"""``tailgate calibrate``: the working tree against itself, to say what a comparison can see here and in how long.

Blocks are measured as a comparison measures them and never looked at before the end. Any comparison of code with itself
that was kept can be calibrated from again (``--from``), without measuring.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path

import orjson
import typer
from rich.console import Console

from tailgate.harness.cli import Status
from tailgate.harness.cli.run import run_gate, split_sides
from tailgate.harness.cli.told import as_json as tell
from tailgate.harness.cli.told import output_to_errors
from tailgate.harness.compare.blocks.row import BlockRow, append_rows, read_rows
from tailgate.harness.compare.calibration import calibration, proposal
from tailgate.harness.compare.calibration.calibration import Calibration
from tailgate.harness.compare.calibration.noise import pairs_of
from tailgate.harness.compare.calibration.proposal import Subject
from tailgate.harness.compare.decision.design import NEVER
from tailgate.harness.errors import MeasurementError, UsageError
from tailgate.harness.plugins.manager import create_plugin_manager
from tailgate.harness.profiles import PROFILES
from tailgate.harness.report.calibration import render
from tailgate.harness.results import file as results_file
from tailgate.harness.results import ledger, yardstick
from tailgate.harness.results.folder import reading
from tailgate.harness.results.run import RunResult, ScenarioResult
from tailgate.harness.scenario.ref import refs
from tailgate.harness.session.command import GateCommand

NAME = "calibration"


def calibrate(
    words: Sequence[str], minutes: float, kept: Sequence[Path], into: Path | None, *, as_json: bool = False
) -> None:
    """Measure for so many minutes of blocks, or take the folders that were kept, and write what they tell."""
    if kept and words:
        raise UsageError(f"--from measures nothing, so {words[0]!r} cannot be combined with it")
    with output_to_errors() if as_json else contextlib.nullcontext():
        folders = kept or [_measure(minutes, words)]
    with contextlib.ExitStack() as stack:
        for folder in folders:
            stack.enter_context(reading(folder))
        _calibrate(folders, into, as_json=as_json)


def _calibrate(folders: Sequence[Path], into: Path | None, *, as_json: bool) -> None:
    results = [results_file.read(folder / results_file.RESULTS) for folder in folders]
    scenarios = [_unchanged(result) for result in results]
    if len({(one.name, result.arms[0].target) for one, result in zip(scenarios, results, strict=True)}) > 1:
        raise UsageError("--from: the runs differ in scenario or target; calibrate each by itself")
    rows: list[BlockRow] = []
    pairs: list[BlockRow] = []
    for folder, result, scenario in zip(folders, results, scenarios, strict=True):
        assert scenario.comparison is not None
        rows += read_rows(folder / scenario.comparison.rows)
        pairs += pairs_of(result, scenario.name)
    if len({row.processors for row in rows}) > 1:
        raise UsageError(
            "--from: in some blocks both servers shared processors and in others not, or not as many; their noise is "
            "not the same: calibrate each by itself"
        )
    last = scenarios[-1].comparison
    assert last is not None
    lenses = [result.lens for result in last.decision.results]
    found = calibration.calibrate(rows, pairs, lenses)
    folder = into or folders[-1]
    subject = _subject(results[-1], scenarios[-1])
    _write(found, subject, rows, pairs, folder)
    if as_json:
        tell(**_document(found, subject), folder=str(folder))
        return
    render(found, Console(highlight=False))
    typer.echo(
        f"proposal: {folder / NAME}.toml (budgets stay as they are); all figures: {folder / NAME}.json"
    )


def _measure(minutes: float, arguments: Sequence[str]) -> Path:
    sides, words = split_sides(arguments)
    if sides:
        raise UsageError(
            f"a calibration compares the working tree with itself, so {sides[0]!r} has no meaning"
        )
    # Nothing is judged, so that no verdict fails the test.
    ours = ["--perf-against=.", f"--perf-time-limit={minutes:g}", "--perf-inconclusive=pass"]
    command = GateCommand(alone=True, looks=(NEVER,), tells=True, reports=False)
    status = run_gate(command, [*words, *ours])
    if status is not Status.PASS or command.directory is None:
        raise typer.Exit(status)
    return command.directory


def _unchanged(result: RunResult) -> ScenarioResult:
    """Return the comparison of a run whose sides were the same code."""
    compared = [scenario for scenario in result.scenarios if scenario.comparison is not None]
    if len(compared) != 1:
        raise UsageError(f"run {result.run_id} holds {len(compared)} comparisons; a calibration is of one")
    sides = {(arm.target, arm.facts.get("revision")) for arm in result.arms}
    if len(sides) > 1:
        raise UsageError(f"run {result.run_id} compared two different sides, which does not show noise alone")
    if compared[0].faults:
        raise MeasurementError(f"run {result.run_id} is INVALID: {compared[0].faults[0].text}")
    return compared[0]


def _subject(result: RunResult, scenario: ScenarioResult) -> Subject:
    known = create_plugin_manager().scenarios(PROFILES["default"]).get(scenario.name)
    before, after = result.yardstick_before, result.yardstick_after
    return Subject(
        scenario=scenario.name,
        budget_keys=() if known is None else tuple(sorted(refs(known))),
        date=result.started_at,
        machine=ledger.short(result.machine),
        target=result.arms[0].target,
        yardstick_s=None if before is None or after is None else yardstick.combine(before, after),
    )


def _document(found: Calibration, subject: Subject) -> dict[str, object]:
    return {"subject": subject, "calibration": found, "advice": proposal.advice(found)}


def _write(
    found: Calibration, subject: Subject, rows: Sequence[BlockRow], pairs: Sequence[BlockRow], folder: Path
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{NAME}.toml").write_text(proposal.toml(found, subject), encoding="utf-8")
    document = {name: results_file.to_json(value) for name, value in _document(found, subject).items()}
    (folder / f"{NAME}.json").write_bytes(
        orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    )
    for kind, kept in (("blocks", rows), ("pairs", pairs)):
        path = folder / f"{NAME}-{kind}.jsonl"
        path.unlink(missing_ok=True)
        append_rows(path, kept)
