"""``tailgate init``: from a project to its first gate. It finds out, measures once, and writes what the gate reads."""

import dataclasses
import datetime as dt
import importlib.util
import re
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import httpx

from tailgate.harness.cli import Status
from tailgate.harness.cli.init_plugin import say, tell_files
from tailgate.harness.cli.run import run_gate, split_sides, target_of
from tailgate.harness.errors import TargetError, UsageError
from tailgate.harness.first import app, files
from tailgate.harness.first.questions import find_metrics, find_readiness, find_request, try_request
from tailgate.harness.first.workflow import own_requirement
from tailgate.harness.load.reach import load_settings
from tailgate.harness.options.reading import parse_options
from tailgate.harness.options.settings import OPTIONS, GateSettings
from tailgate.harness.plugins.manager import create_plugin_manager
from tailgate.harness.profiles import PROFILES
from tailgate.harness.results import ledger
from tailgate.harness.results.run import RunResult, ScenarioResult
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.scenario.budgets import Budgets, find_budgets
from tailgate.harness.scenario.unbudgeted import HIGHEST_PER_S, OF_LONE_RATE
from tailgate.harness.secrecy import Secrets, is_secret
from tailgate.harness.session.command import GateCommand
from tailgate.harness.session.preparation import NOMINAL_YARDSTICK_S
from tailgate.harness.target.asking.metric_names import MetricNames
from tailgate.harness.target.asking.well_known import suggest_metrics
from tailgate.harness.target.settings import target_settings
from tailgate.harness.target.target import RunningTarget
from tailgate.harness.units import quantity

SCENARIO = "steady"
ASKING_TIMEOUT_S = 5.0
# A run of a gate that somebody tries for the first time; a slower service gets fewer requests, by another profile.
LONGEST_RUN_S = 30.0
# Of this run alone.
NOT_WRITTEN = frozenset({"output", "seed", "inconclusive", "keep"})


def init(words: Sequence[str], *, force: bool) -> Status:
    """Set the gate up for the project in the current folder."""
    sides, rest = split_sides(words)
    settings, said = _settings(rest)
    root = Path.cwd()
    spec = _spec(root, sides, settings)
    with tempfile.TemporaryDirectory(prefix="tailgate-init-") as scratch:
        found = _find_out(root, spec, settings, Path(scratch))
        budgets = find_budgets(settings.budgets, root, settings.budget)
        command = GateCommand(tells=True, reports=False)
        status = run_gate(command, _measure(found, said, bool(budgets.lines)))
        measured = None if command.result is None else command.result.scenarios
    if not measured or measured[0].verdict is Verdict.INVALID or command.result is None:
        say("nothing was written: fix what is named above, then run tailgate init again")
        return Status.UNMEASURED if status is Status.PASS else status
    text = "" if budgets.lines else _budgets(command.result)
    tailgate = own_requirement()
    plan = files.plan_files(root, _ini(found, said), text, found.body, tailgate, force=force)
    files.write(root, plan)
    _tell_end(command.result, plan)
    return Status.PASS


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """What was found out: options of the gate by name, the request's body to be kept, and which profile it can bear."""

    options: Mapping[str, str]
    metric: tuple[str, ...]
    body: str | None
    profile: str
    scratch: Path  # file that holds the body for this run


def _settings(rest: Sequence[str]) -> tuple[GateSettings, dict[str, list[str]]]:
    """Return the settings that the words say, and the words themselves by option."""
    known = {option.name: option for option in OPTIONS}
    said: dict[str, list[str]] = {}
    for word in rest:
        name, equals, value = word.removeprefix("--perf-").partition("=")
        if not word.startswith("--perf-") or name not in known or not (equals or known[name].flag):
            raise UsageError(
                f"tailgate init: cannot read {word!r}; expected an option of the gate, such as --request=…"
            )
        said.setdefault(name, []).append(value)
    raw = {
        name: (True if known[name].flag else values if known[name].repeated else values[-1])
        for name, values in said.items()
    }
    return parse_options(lambda option: raw.get(option.name), Path.cwd()), said


def _spec(root: Path, sides: Sequence[str], settings: GateSettings) -> str:
    """Return the target: what the user says, else the project's application."""
    if len(sides) > 1:
        raise UsageError(
            f"expected tailgate init [COMMAND-LINE | ADDRESS], got {len(sides)} words: {' '.join(sides)}; put a command line in quotes"
        )
    if sides:
        return target_of(sides[0])
    if "target" in settings.given:
        return settings.target
    apps = app.find_apps(root)
    if not apps:
        raise UsageError(
            "found no FastAPI, Starlette or Flask application in this folder; give a command line, such as "
            "tailgate init 'python app.py --port {port}', or an address, such as http://localhost:8000"
        )
    first = apps[0]
    others = f" ({len(apps) - 1} more: name another with a command line)" if len(apps) > 1 else ""
    say(f"application: {first.kind} {first.name!r} in {first.file}{others}")
    return f"command:{first.command(gunicorn=importlib.util.find_spec('gunicorn') is not None)}"


def _find_out(root: Path, spec: str, settings: GateSettings, scratch: Path) -> Found:
    """Ask the service for all that the options do not say."""
    options = {"target": spec}
    # Whoever listens is asked which path says more.
    made = dataclasses.replace(
        target_settings(settings, Budgets({}), (), NOMINAL_YARDSTICK_S),
        readiness_path=None,
        readiness_guessed=False,
        metrics_path=None,
    )
    target = create_plugin_manager(settings.plugin).target(spec, made)
    if not spec.startswith(("http", "unix:")):
        say(f"starting {spec.removeprefix('command:')}")
    body, seconds = None, None
    with target.start(scratch) as running, running.client(ASKING_TIMEOUT_S) as client:
        ready = find_readiness(client, running.base_url, partial(_check_alive, running))
        if "readiness-path" not in settings.given:
            options["readiness-path"] = ready
            say(f"ready: {f'2xx at {ready}' if ready else 'as soon as it accepts a connection'}")
        reach = load_settings(running, settings)
        if not {"request", "payloads", "requests"} & settings.given:
            request = find_request(reach, say)
            options["request"], body, seconds = request.line, request.body, request.seconds
            say(f"request: {request.line}" + (f" with {body[:80]}" if body else ""))
        elif "payloads" not in settings.given and "requests" not in settings.given:
            seconds, _ = try_request(reach, settings.request, None)
        metric: tuple[str, ...] = ()
        if not {"metrics-path", "metric"} & settings.given:
            path = options.get("request", settings.request).partition(" ")[2]
            options["metrics-path"], metric = _metrics(client, running.base_url, path)
    kept = root / files.BODY
    if body is not None and kept.is_file():
        body = kept.read_text(encoding="utf-8").rstrip("\n")
    file = scratch.parent / f"{scratch.name}-body.json" if body is None else scratch / files.BODY.name
    if body is not None:
        file.write_text(body, encoding="utf-8")
    return Found(options, metric, body, _profile(seconds), file)


def _check_alive(running: RunningTarget) -> None:
    if not running.alive():
        tail = running.log_tail()
        raise TargetError("the service ended" + (f"; its log ends:\n{tail}" if tail else ""))


def _metrics(client: httpx.Client, base_url: str, path: str) -> tuple[str, tuple[str, ...]]:
    """Return where the metrics are, empty for nowhere, and what they are called; ``path`` is that of the requests."""
    found = find_metrics(client, base_url)
    if found is None:
        say("metrics: none found; --metrics-path=PATH names another path")
        return "", ()
    place, scrape = found
    named = tuple(f"{ours}={theirs}" for ours, theirs in suggest_metrics(scrape, path).items())
    if named or f"{MetricNames().request_seconds}" in scrape.kinds:
        say(f"metrics: {place}{''.join(f', {one}' for one in named)}")
        return place, named
    say(
        f"metrics: {place} names no histogram of requests; --metric=request_seconds=NAME says which one is read"
    )
    return "", ()


def _profile(seconds: float | None) -> str:
    """Return the profile whose requests a service answers soon enough, by its quickest answer."""
    default = PROFILES["default"]
    rate = HIGHEST_PER_S if not seconds else min(HIGHEST_PER_S, OF_LONE_RATE / seconds)
    quick = (default.requests + default.warm_up_requests) / rate <= LONGEST_RUN_S
    return default.name if quick else "smoke"


def _measure(found: Found, said: Mapping[str, Sequence[str]], budgeted: bool) -> list[str]:  # noqa: FBT001
    """Return pytest's arguments for the one run."""
    options = {**found.options, "scenario": SCENARIO, "profile": found.profile, "inconclusive": "pass"}
    if found.body is not None:
        options["payloads"] = f"file:{found.scratch}"
    if budgeted:
        del options["inconclusive"]
    words = [f"--perf-{name}={value}" for name, value in options.items() if name not in said]
    words += [f"--perf-metric={one}" for one in found.metric]
    for name, values in said.items():
        words += [f"--perf-{name}={value}" if value else f"--perf-{name}" for value in values]
    return ["--rootdir=.", "-q", "-p", "no:cacheprovider", *words]


def _ini(found: Found, said: Mapping[str, Sequence[str]]) -> dict[str, files.Value]:
    """Return the keys of pytest's settings; a secret that stands in an option is left out, and said."""
    options: dict[str, files.Value] = dict(found.options)
    if found.body is not None:
        options["payloads"] = f"file:{files.BODY.as_posix()}"
    options["scenario"] = [SCENARIO]
    if found.metric:
        options["metric"] = list(found.metric)
    if found.profile != "default":
        options["profile"] = found.profile
    repeated = {option.name for option in OPTIONS if option.repeated}
    for name, values in said.items():
        if name in NOT_WRITTEN:
            continue
        open_ = [value for value in values if not _tells_secret(value)]
        if len(open_) < len(values):
            say(f"--perf-{name} holds a secret, and is not written: give its value as $VARIABLE")
        if open_:
            options[name] = open_ if name in repeated else open_[-1] or "true"
    if _tells_secret(found.options["target"]):
        del options["target"]
        say("the target holds a secret, and is not written: give it as --perf-target=…")
    return {f"perf_{name.replace('-', '_')}": value for name, value in options.items()}


def _tells_secret(value: str) -> bool:
    """Tell whether the value of an option holds a secret, such as a header's; one in a variable is none."""
    named = is_secret(re.split("[:=]", value, maxsplit=1)[0]) and "$" not in value
    return named or Secrets.of((value,)).hide(value) != value


def _budgets(result: RunResult) -> str:
    """Return the budget file that a first run proposes."""
    (scenario,) = result.scenarios
    rate = tomllib.loads(scenario.proposal)[SCENARIO]["rate"]
    return "\n".join(
        [
            "# The load and the limits of pytest -m perf. Each limit is 1.5 times the upper end of what tailgate init measured",
            f"# on {dt.datetime.now(dt.UTC):%Y-%m-%d}: {_seen(scenario)}.",
            f"# Machine: {ledger.short(result.machine)}. Another machine needs budgets of its own.",
            scenario.proposal,
            f'"compare" = {{ rate = "{rate}" }}',
            "",
        ]
    )


def _seen(scenario: ScenarioResult) -> str:
    """Return what was measured, in words."""
    told = (
        f"{one.name} {quantity(one.value, one.unit)}" for one in scenario.criteria if one.value is not None
    )
    return ", ".join(told)


def _tell_end(result: RunResult, plan: files.Plan) -> None:
    (scenario,) = result.scenarios
    why = ", since there were no budgets" if scenario.proposal else ""
    say(f"first run: {scenario.verdict.value}{why}: {_seen(scenario)}")
    tell_files(plan)
    if plan.advice:
        say(plan.advice)
    say("next: pytest -m perf")
