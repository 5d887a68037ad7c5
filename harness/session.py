"""A run of the gate: the target, the budgets of this machine, one scenario after the other, and the result.

This is the table of contents of the flow: each step stands in a module of its own, and this one calls them in order.
"""

import dataclasses
import datetime as dt
import os
import secrets
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from harness import __version__, judging, machine, results_file, yardstick
from harness.budgets import Budgets, check_units, find_budgets
from harness.errors import UsageError
from harness.load import LoadSettings
from harness.measures import Measure
from harness.options import OPTIONS, GateSettings, Pin, pairs
from harness.payload import Payload
from harness.plan import draw_plan
from harness.plugins import Plugins
from harness.report import Reporter
from harness.results import ArmResult, RunResult, ScenarioResult, SlotResult
from harness.scenario import Scenario, Witness, resolve
from harness.scrape import MetricNames
from harness.slot import Slot, SlotRecord, measure_slot
from harness.slot_result import slot_result
from harness.target import RunningTarget, TargetSettings
from harness.verdict import Unit, worst
from harness.yardstick import Yardstick

HEAD = "head"
LOCK = "lock"
# With fewer, the server needs what the generator would get.
PROCESSORS_TO_PIN = 4


class Session:
    """A context manager around one target; leaving it stops the target, whatever happened.

    Args:
        settings: the options.
        plugins: who takes part.
    """

    def __init__(self, settings: GateSettings, plugins: Plugins) -> None:
        self.settings = settings
        self.plugins = plugins
        self._started_s = time.monotonic()
        self._started_at = dt.datetime.now(dt.UTC)
        self.run_id = f"{self._started_at:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        self.directory = settings.output / self.run_id
        self.seed = settings.seed if settings.seed is not None else secrets.randbelow(2**31)
        self._lock = FileLock(settings.output / LOCK)
        self._running: RunningTarget | None = None
        self._starts = 0
        self._facts: Mapping[str, str] = {}
        self._slots: list[SlotResult] = []
        self._scenarios: list[ScenarioResult] = []

    def __enter__(self) -> Self:
        """Time the yardstick, read what is needed and refuse what cannot run; the target starts with the first scenario.

        Raises:
            UsageError: an option, a budget or a plugin is wrong, or another run measures on this machine.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise UsageError(
                f"another run holds {self._lock.lock_file}: two runs at once would measure each other"
            ) from None
        self._before = yardstick.measure()
        self._last: Yardstick = self._before
        self._measures: tuple[Measure, ...] = self.plugins.measures()
        self._payloads: Sequence[Payload] = self.plugins.payloads(self.settings.payloads)
        self._budgets: Budgets = find_budgets(self.settings.budgets, self.settings.root)
        self._target = self.plugins.target(self.settings.target, self._target_settings())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the target."""
        try:
            if self._running is not None:
                self._running.stop()
        finally:
            self._lock.release()

    def log_tail(self) -> str:
        """Return the last lines of the target's log."""
        return self._running.log_tail() if self._running is not None else ""

    def run(self, scenario: Scenario) -> ScenarioResult:
        """Measure and judge one scenario.

        Raises:
            UsageError: the scenario or its budgets make no sense.
            TargetError: the target did not become ready.
        """
        running = self._ready_target()
        resolved = self._resolve(scenario)
        record = self._measure(resolved, running)
        after = yardstick.measure()
        names = running.settings.metric_names
        judged = judging.judge_slot(
            record,
            self._measures,
            names,
            self.settings.confidence,
            (self._last, after),
            self._reproduce(scenario),
        )
        self._last = after
        self._slots.append(slot_result(record, judged.faults, names, self.directory))
        self._scenarios.append(judged)
        # After each scenario, so that a run that is cut short keeps what it has.
        results_file.write(self.result(), self.directory / results_file.RESULTS)
        return judged

    def finish(self) -> RunResult:
        """Write the reports, and return the result."""
        result = self.result()
        reporters: Sequence[Reporter] = self.plugins.reporters()
        for reporter in reporters:
            reporter.write(result, self.directory)
        self.plugins.hook.tailgate_finished(result=result, directory=self.directory)
        return result

    def result(self) -> RunResult:
        """Return what all scenarios so far came to."""
        return RunResult(
            run_id=self.run_id,
            started_at=f"{self._started_at:%Y-%m-%dT%H:%M:%SZ}",
            duration_s=time.monotonic() - self._started_s,
            command=shlex.join(sys.argv),
            verdict=worst([scenario.verdict for scenario in self._scenarios]),
            reasons=judging.reasons(self._scenarios),
            machine=dataclasses.asdict(machine.fingerprint()),
            yardstick_before=self._before,
            yardstick_after=self._last,
            profile=self.settings.gathered,
            settings=self._stated_settings(),
            arms=(ArmResult(HEAD, self.settings.target, dict(self._facts)),),
            slots=tuple(self._slots),
            scenarios=tuple(self._scenarios),
            tailgate_version=__version__,
        )

    def _target_settings(self) -> TargetSettings:
        """Put the budgets' latencies into the environment, so that the histograms get edges exactly there."""
        settings = self.settings
        device, precision = (
            settings.variable("TAILGATE_DEVICE") or "cpu",
            settings.variable("TAILGATE_PRECISION") or "fp32",
        )
        objectives: set[float] = set()
        for name in self.plugins.scenarios(settings.gathered):
            line = self._budgets.quantities(name, device, precision)
            objectives |= {
                quantity.resolve(self._before.seconds)
                for quantity in line.values()
                if quantity.unit is Unit.SECONDS
            }
        edges = ",".join(repr(seconds * 1000) for seconds in sorted(objectives))
        return TargetSettings(
            environment={"TAILGATE_LATENCY_OBJECTIVES_MS": edges, **settings.environment},
            readiness_path=settings.readiness_path,
            metrics_path=settings.metrics_path or None,
            metric_names=MetricNames(**pairs("metric", settings.metric)),
            ready_timeout_s=settings.ready_timeout,
        )

    def _ready_target(self) -> RunningTarget:
        """Return the target; one that died is started again, so that one scenario's crash is not the next one's."""
        if self._running is not None and not self._running.alive():
            self._running.stop()
            self._running = None
        if self._running is None:
            self._running = self._target.start(self.directory)
            self._starts += 1
            self._facts = self._running.facts()
        return self._running

    def _resolve(self, scenario: Scenario) -> Scenario:
        """Fill in the budgets of this device and precision; without metrics the server's criteria are left out."""
        device = "cpu" if self._facts.get("device", "cpu") == "cpu" else "cuda"
        precision = self._facts.get("precision", "fp32")
        quantities = self._budgets.quantities(scenario.name, device, precision)
        check_units(scenario, quantities, {measure.name: measure.unit for measure in self._measures})
        if not quantities:
            where = self._budgets.source or self.settings.root
            raise UsageError(f"scenario {scenario.name!r} has no budget for {device}, {precision} in {where}")
        numbers = {key: quantity.resolve(self._before.seconds) for key, quantity in quantities.items()}
        resolved = resolve(scenario, numbers)
        running = self._running
        if running is None or running.metrics_url is not None:
            return resolved
        client_only = tuple(item for item in resolved.criteria if item.witness is Witness.CLIENT)
        return Scenario(resolved.name, resolved.description, resolved.phases, client_only, resolved.payloads)

    def _measure(self, scenario: Scenario, running: RunningTarget) -> SlotRecord:
        slot = Slot(scenario, HEAD, block=0, start=self._starts, seed=self.seed)
        plan = draw_plan(scenario, self._payloads, self.seed)
        processors = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        pinned = self.settings.pin == Pin.AUTO.value and len(processors) >= PROCESSORS_TO_PIN
        load = LoadSettings(
            host=running.host,
            port=running.port,
            tls=running.tls,
            timeout_s=self.settings.request_timeout,
            grace_s=self.settings.request_timeout,
            processor=processors[-1] if pinned else None,
        )
        return measure_slot(slot, plan, running, load, self.directory / f"{scenario.name}-{HEAD}-0")

    def _reproduce(self, scenario: Scenario) -> str:
        """Return the command that runs this scenario again, with the same seed and the options that were given."""
        words = [
            f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith("TAILGATE_")
        ]
        words += ["pytest", "--pyargs", "scenarios", "-m", "perf"]
        words += [f"--perf-scenario={scenario.name}", f"--perf-seed={self.seed}"]
        for option in OPTIONS:
            value = getattr(self.settings, option.field)
            if value == option.default or option.name in {"scenario", "seed"}:
                continue
            words += (
                [f"--perf-{option.name}"]
                if option.flag
                else [f"--perf-{option.name}={item}" for item in (value if option.repeated else [value])]
            )
        return shlex.join(words)

    def _stated_settings(self) -> dict[str, str | int | float | bool | None]:
        stated: dict[str, str | int | float | bool | None] = {}
        for option in OPTIONS:
            value = getattr(self.settings, option.field)
            plain = value is None or isinstance(value, (str, int, float, bool))
            stated[option.field] = (
                value if plain else ", ".join(map(str, value)) if option.repeated else str(value)
            )
        return stated | {"seed": self.seed}
