"""A run of the gate, the table of contents of the flow: target, one scenario after the other, result."""

import contextlib
import dataclasses
import datetime as dt
import os
import secrets
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from filelock import BaseFileLock, FileLock, Timeout

from tailgate import __version__
from tailgate.harness import load as generator
from tailgate.harness.compare.blocks.standing import Standing
from tailgate.harness.compare.comparison import compare
from tailgate.harness.compare.ground import Compared, Ground
from tailgate.harness.errors import PluginError, UsageError
from tailgate.harness.load.reach import generator_processor, load_settings
from tailgate.harness.measures.measure import asked_by_budgets, units_of
from tailgate.harness.observe import machine, yardstick
from tailgate.harness.observe.slot import Watching
from tailgate.harness.options.reading import stated
from tailgate.harness.options.secret import secrets_of
from tailgate.harness.options.settings import GateSettings
from tailgate.harness.options.table import Enforce
from tailgate.harness.profiles import PROFILES
from tailgate.harness.report import Reporter
from tailgate.harness.results import file as results_file
from tailgate.harness.results import folder, history, ledger
from tailgate.harness.results.run import ArmResult, RunResult, Scalar, ScenarioResult
from tailgate.harness.results.slot import SlotResult
from tailgate.harness.results.verdict import Verdict, worst
from tailgate.harness.results.yardstick import Yardstick
from tailgate.harness.scenario.ref import refs
from tailgate.harness.scenario.right_answers import WRONG_ANSWERS
from tailgate.harness.scenario.scenario import Scenario
from tailgate.harness.session import reproduce
from tailgate.harness.session.budget_run import HEAD, BudgetRun
from tailgate.harness.session.outcome import failing
from tailgate.harness.session.preparation import Prepared
from tailgate.harness.target.checkout import revision
from tailgate.harness.target.settings import target_settings
from tailgate.harness.target.state import asked_lines, commands_of
from tailgate.harness.verdict import judging
from tailgate.harness.verdict.waivers import idle, of_scenario, settled


class Session:
    """A context manager around one target; leaving it stops the target, whatever happened."""

    def __init__(
        self,
        prepared: Prepared,
        tell: Callable[[str], None] = lambda _: None,
        watching: Watching | None = None,
        comparing: Callable[[Standing], contextlib.AbstractContextManager[None]] | None = None,
    ) -> None:
        self.settings: GateSettings = prepared.settings
        self._prepared = prepared
        self._plugins = prepared.plugins
        self._tell = tell
        self._watching = watching
        self._comparing = comparing
        self._started_s = time.monotonic()
        self._started_at = dt.datetime.now(dt.UTC)
        self.run_id = folder.new_run(self._started_at)
        self.directory = self.settings.output / self.run_id
        self.seed = self.settings.seed if self.settings.seed is not None else secrets.randbelow(2**31)
        self._cleanup = contextlib.ExitStack()
        self._budget_run: BudgetRun | None = None
        self._arms: tuple[ArmResult, ...] = ()
        self._slots: list[SlotResult] = []
        self._scenarios: list[ScenarioResult] = []
        # What a comparison came to, for an exception that ends it or what follows it: at most one.
        self._cut_short: list[Compared] = []

    def __enter__(self) -> Self:
        """Time the yardstick; the target starts with the first scenario."""
        settings, ready = self.settings, self._prepared
        with self._cleanup as cleanup:
            cleanup.callback(self._acquired_lock().release)
            cleanup.callback(self._remove_old_runs)
            cleanup.callback(self._stop)
            # What the generator can do here stands with every result: nobody need believe that it was fast enough.
            capacity = str(generator.self_check(generator_processor(settings)))
            self._machine: Mapping[str, Scalar] = dataclasses.asdict(machine.fingerprint()) | {
                "generator": capacity
            }
            self._code = revision.code_of(settings.root)
            self._yardstick = cleanup.enter_context(yardstick.YardstickProcess())
            self._before: Yardstick = self._yardstick.read(yardstick.LONG)
            self._waivers = settled(ready.waivers, self._before.seconds)
            self._last = self._before
            every = self._plugins.scenarios(settings.gathered)
            asked = target_settings(settings, ready.budgets, every, self._before.seconds)
            self._target_settings = dataclasses.replace(asked, tell=self._tell)
            self._ground = self._common_ground()
            if settings.against is None:
                own = self._target_settings
                target = self._plugins.target(settings.target, own)
                state = commands_of(asked_lines(settings), HEAD, target, own, own.directory)
                self._budget_run = BudgetRun(
                    target, self._ground, ready.measures, self._read_yardstick, state
                )
            self.directory.mkdir(parents=True)
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the target, and let others measure."""
        self._cleanup.__exit__(kind, error, trace)

    @property
    def measured(self) -> int:
        """How many scenarios are in the results."""
        return len(self._scenarios)

    def log_tail(self) -> str:
        """Return the last lines of the target's log; never fails, since pytest asks in the middle of a report."""
        return "" if self._budget_run is None else self._budget_run.log_tail()

    def run(self, scenario: Scenario, selection: Sequence[str] = ()) -> ScenarioResult:
        """Measure and judge one scenario.

        A scenario that ends in an exception stands in the results as INVALID, so that no report shows the others only.
        ``selection`` are pytest's arguments that select its test, for the command that reproduces it.
        """
        if any(one.name == scenario.name for one in self._scenarios):
            raise UsageError(
                f"scenario {scenario.name!r} has been run in this session: a gate is not repeated until it passes"
            )
        if len(self._scenarios) >= self._prepared.expected:
            raise UsageError(
                f"{scenario.name!r} is scenario {len(self._scenarios) + 1} of this run, and the error that it allows was "
                f"split over {self._prepared.expected}: one for each collected test that asks for perf_gate. Give each scenario a "
                "test of its own"
            )
        again = reproduce.command(
            selection or reproduce.built_in_test(scenario.name), self.seed, self.settings, os.environ
        )
        self._cut_short.clear()
        waivers = of_scenario(self._waivers, scenario.name, compared=self.settings.against is not None)
        try:
            way = self._judged if self.settings.against is None else self._compared
            judged, slots = way(scenario, again)
        except BaseException as error:
            unmeasured = judging.unmeasured(scenario, self.seed, error, again)
            for compared in self._cut_short:
                self._arms = compared.arms
                self._keep(compared.cut_short(unmeasured, error), *compared.slots)
            if not self._cut_short:
                self._keep(unmeasured)
            raise
        judged = dataclasses.replace(judged, waivers=waivers)
        self._keep(judged, *slots)
        return judged

    def finish(self) -> RunResult:
        """Enter the run into the history, write the reports, enter a comparison into the ledger, and return the result."""
        result = self.result()
        if self._prepared.looks is None:
            history.record(result, self.settings.output / history.HISTORY)
        errors = [error for one in self._prepared.reporters if (error := self._written(one, result))]
        if self.settings.against is not None and self._prepared.looks is None:
            ledger.record(ledger.entries_of(result), self.settings.output / ledger.LEDGER)
        self._plugins.hook.tailgate_finished(result=result, directory=self.directory)
        if errors:
            raise PluginError("; ".join(errors))
        unneeded = [sentence for one in result.scenarios for sentence in idle(one)]
        # A failure says more; and a run that enforces no budgets needs no waiver.
        if (
            unneeded
            and self.settings.enforce is Enforce.BUDGETS
            and failing(result, self.settings) is Verdict.PASS
        ):
            raise UsageError("; ".join(unneeded))
        return result

    def _written(self, reporter: Reporter, result: RunResult) -> str:
        try:
            reporter.write(result, self.directory)
        except Exception as error:  # noqa: BLE001 - of a plugin, which may raise anything
            owner = self._plugins.owner(reporter, "tailgate_reporters")
            return f"{owner}: the reporter {reporter.name!r} raised {type(error).__name__}: {error}"
        return ""

    def result(self) -> RunResult:
        """Return what all scenarios so far came to, without what must not be told."""
        ran = self._budget_run
        facts, answers = ({}, ()) if ran is None else (dict(ran.facts), ran.preflight)
        with_secrets = RunResult(
            run_id=self.run_id,
            started_at=f"{self._started_at:%Y-%m-%dT%H:%M:%SZ}",
            duration_s=time.monotonic() - self._started_s,
            command=shlex.join(map(secrets_of(self.settings).hide, sys.argv)),
            verdict=worst([scenario.verdict for scenario in self._scenarios]),
            reasons=judging.reasons(self._scenarios),
            machine=self._machine,
            yardstick_before=self._before,
            yardstick_after=self._last,
            profile=self.settings.gathered,
            settings=stated(self.settings) | {"seed": self.seed},
            arms=self._arms or (ArmResult(HEAD, self.settings.target, facts, answers),),
            slots=tuple(self._slots),
            scenarios=tuple(self._scenarios),
            tailgate_version=__version__,
            code=self._code,
            planned=self._prepared.expected,
        )
        return secrets_of(self.settings).hide_all(with_secrets)

    def misspelt_budgets(self) -> list[str]:
        """Return what the budget file has and no scenario of any profile asks for, as ``line.key``."""
        used: dict[str, set[str]] = {}
        by_budget = asked_by_budgets(self._prepared.measures)
        for profile in PROFILES.values():
            for name, scenario in self._plugins.scenarios(profile).items():
                used.setdefault(name, {WRONG_ANSWERS}).update(refs(scenario) | by_budget)
        return self._prepared.budgets.unused(used)

    def _acquired_lock(self) -> BaseFileLock:
        lock = FileLock(self.settings.output / folder.LOCK)
        try:
            folder.make(self.settings.output)
            lock.acquire(timeout=0)
        except Timeout:
            raise UsageError(
                f"another run holds {lock.lock_file}: two runs at once would disturb each other; wait for its end"
            ) from None
        except OSError as error:
            raise UsageError(
                f"--perf-output: cannot write into {self.settings.output}: {error.strerror}"
            ) from None
        return lock

    def _remove_old_runs(self) -> None:
        # A folder that cannot be read costs space, and no result.
        with contextlib.suppress(OSError):
            folder.keep_newest(self.settings.output, self.settings.keep, self.run_id, dt.datetime.now(dt.UTC))

    def _common_ground(self) -> Ground:
        ready = self._prepared
        return Ground(
            settings=self.settings,
            known_target=self._plugins.knows_target,
            make_target=self._plugins.target,
            units=units_of(ready.measures),
            budgets=ready.budgets,
            directory=self.directory,
            run_id=self.run_id,
            seed=self.seed,
            scenarios=ready.expected,
            payloads=ready.payloads,
            connect=lambda running: load_settings(running, self.settings),
            tell=self._tell,
            generate=ready.plugins.generate(self.settings.generators),
            waivers=self._waivers,
            watching=self._watching,
            comparing=self._comparing,
            looks=ready.looks,
            keep=self._cut_short.append,
        )

    def _stop(self) -> None:
        if self._budget_run is not None:
            self._budget_run.stop()

    def _compared(self, scenario: Scenario, again: str) -> tuple[ScenarioResult, tuple[SlotResult, ...]]:
        compared = compare(scenario, self._ground, self._target_settings, self._last.seconds, again)
        # What comes after the last block takes seconds, too, in which a key may be pressed.
        self._cut_short.append(compared)
        self._arms, self._last = compared.arms, self._yardstick.read()
        recalled = ledger.recall(compared.scenario, compared.arms, self.settings.output / ledger.LEDGER)
        return recalled, compared.slots

    def _judged(self, scenario: Scenario, again: str) -> tuple[ScenarioResult, tuple[SlotResult, ...]]:
        assert self._budget_run is not None
        return self._budget_run.check(scenario, again)

    def _keep(self, judged: ScenarioResult, *slots: SlotResult) -> None:
        """Write the results after each scenario, so that a run that is cut short keeps what it has."""
        self._scenarios.append(judged)
        self._slots += slots
        results_file.write(self.result(), self.directory / results_file.RESULTS)

    def _read_yardstick(self) -> Yardstick:
        self._last = self._yardstick.read()
        return self._last
