"""``tailgate drill``: a comparison whose answer is known, entered into a ledger that accuses a gate which breaks its word."""

import dataclasses
import datetime as dt
import time
from collections.abc import Sequence
from pathlib import Path

import typer

from tailgate import __version__
from tailgate.harness.cli import Status
from tailgate.harness.cli.run import run_gate, split_sides
from tailgate.harness.drill import ledger
from tailgate.harness.drill.case import Case, find_case, is_drawn, next_case
from tailgate.harness.drill.evidence import Standing, standings
from tailgate.harness.drill.ledger import Drill
from tailgate.harness.drill.target import VARIABLE, Planting
from tailgate.harness.errors import UsageError
from tailgate.harness.results.ledger import short
from tailgate.harness.results.run import RunResult
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.session.command import GateCommand
from tailgate.harness.target.checkout.revision import code_of


def drill(words: Sequence[str], share: float, case: str | None, kept: Path) -> Status:
    """Run the drill of the present commit, if it is drawn; FAIL where a promise of the gate is broken by now.

    Args:
        words: options of the gate.
        share: of all commits, that get a drill.
        case: a drill of this case, whatever the commit says.
        kept: the ledger of the drills so far.
    """
    sides, options = split_sides(words)
    if sides:
        raise UsageError(f"a drill compares the working tree with itself, so {sides[0]!r} has no meaning")
    code = code_of(Path.cwd())
    if code is None:
        raise UsageError(
            "the commit decides which drill runs, and there is no git repository with a commit here"
        )
    chosen = None if case is None else find_case(case)
    before = ledger.read(kept)
    if chosen is None and not is_drawn(code.commit, share):
        typer.echo(f"drill: {code.commit[:10]} is not drawn; {share:.0%} of all commits are")
        return _told(before)
    chosen = chosen or next_case(code.commit, [one.case for one in before])
    typer.echo(f"drill: {code.commit[:10]} is drawn: {chosen.name}, {chosen.what}")
    began_s = time.monotonic()
    command = GateCommand(alone=True, tells=True, plugins={"drill": Planting()} if chosen.planted else {})
    status = run_gate(command, [*options, *_ours(chosen)])
    if status in {Status.USAGE, Status.INTERRUPTED}:
        # The gate was not asked, or not to the end: nothing is known of it.
        return status
    done = _drill(chosen, code.commit, command.result, (time.monotonic() - began_s) / 60)
    ledger.append(done, kept)
    _tell(done, chosen)
    return _told((*before, done))


def _ours(case: Case) -> list[str]:
    """Return the options that make the gate compare base with base, and plant the case into one of them."""
    ours = ["--perf-against=.", "--perf-head=.", "--perf-inconclusive=pass", "--perf-enforce=budgets"]
    if case.planted:
        ours += [f"--perf-base-env={VARIABLE}=unchanged", f"--perf-head-env={VARIABLE}={case.name}"]
    return ours


def _drill(case: Case, commit: str, result: RunResult | None, minutes: float) -> Drill:
    done = Drill(
        commit=commit,
        date=f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%M:%SZ}",
        case=case.name,
        verdict=Verdict.INVALID,
        reason="nothing was measured",
        minutes=round(minutes, 2),
        tailgate=__version__,
    )
    if result is None or not result.scenarios:
        return done
    (scenario,) = result.scenarios
    compared = scenario.comparison
    gates = [] if compared is None else [one for one in compared.decision.results if one.lens.gates]
    return dataclasses.replace(
        done,
        verdict=scenario.verdict,
        reason=scenario.reason,
        failing=tuple(one.lens.name for one in gates if one.verdict is Verdict.FAIL),
        exercised=tuple(one.lens.name for one in gates if one.lens.name in case.lenses and one.n),
        run=result.run_id,
        machine=short(result.machine),
    )


def _tell(done: Drill, case: Case) -> None:
    told = {True: "right", False: "missed" if case.planted else "a false alarm", None: "says nothing"}
    typer.echo(
        f"drill: {done.verdict.value} for {case.what}: {told[done.right]}; it took {done.minutes:.1f} minutes"
    )
    if case.planted:
        typer.echo(
            f"drill: lenses that the change can move: {', '.join(done.exercised) or 'none was looked at'}"
        )
        typer.echo(
            f"drill: to repeat this drill: tailgate drill --case={case.name} (pytest alone plants nothing)"
        )


def _told(drills: Sequence[Drill]) -> Status:
    """Say how the promises stand, and what all drills have cost."""
    if not drills:
        return Status.PASS
    every = standings(drills)
    typer.echo(f"drills so far: {len(drills)}, in {sum(one.minutes for one in drills):.1f} minutes")
    for one in every:
        typer.echo(f"  {_line(one)}")
    return Status.FAIL if any(one.alarm for one in every) else Status.PASS


def _line(one: Standing) -> str:
    counted = f"{one.against} of {one.drills} drills against it"
    if one.alarm:
        return f"BROKEN: {one.promise.text}: {counted}. Do not trust this gate until the reason is found."
    return f"holds: {one.promise.text}: {counted}, evidence {one.most:.3g} of {one.promise.enough:.0f}"
