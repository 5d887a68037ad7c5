"""A session against targets that only a test has: nothing is started, and nothing waits."""

import errno
import os
import subprocess
from dataclasses import replace
from types import SimpleNamespace

import pytest
from filelock import FileLock
from steady_yardstick import SteadyYardstick

from tailgate import hookimpl
from tailgate.harness import load
from tailgate.harness.errors import BudgetError, MeasurementError, PluginError, TargetError, UsageError
from tailgate.harness.observe import yardstick
from tailgate.harness.options.reading import parse_options
from tailgate.harness.plugins.manager import Plugins, create_plugin_manager
from tailgate.harness.results import file as results_file
from tailgate.harness.results import history
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.results.yardstick import Yardstick
from tailgate.harness.scenario.arrivals import Constant
from tailgate.harness.scenario.ref import Ref
from tailgate.harness.scenario.scenario import Criterion, Phase, Scenario
from tailgate.harness.session.budget_run import BudgetRun, _described
from tailgate.harness.session.outcome import failing
from tailgate.harness.session.preparation import prepare
from tailgate.harness.session.session import Session
from tailgate.harness.target.asking.metric_names import metric_names
from tailgate.harness.target.settings import TargetSettings
from tailgate.harness.target.state import StateCommands, asked_lines
from tailgate.harness.testing import criterion_result, run_result


def scenario(name="tiny", limit=1.0):
    phase = Phase("load", Constant(100.0), requests=5)
    return Scenario(name, "made up", (phase,), (Criterion("p95", limit, ("load",)),))


def paced(name):
    """A scenario that sends at the budget's rate, and asks for it."""
    rate = Ref("rate")
    criteria = (Criterion("p95", Ref("p95"), ("load",)), Criterion("throughput", rate, ("load",)))
    return Scenario(name, "made up", (Phase("load", Constant(rate), requests=5),), criteria)


class Broken:
    """A target that never starts, and counts how often that was tried."""

    spec = "broken"

    def __init__(self, error):
        self.error = error
        self.settings = None
        self.starts = 0

    def start(self, directory):
        self.starts += 1
        raise self.error

    @hookimpl
    def tailgate_target(self, spec, settings):
        self.settings = settings
        return self if spec == "broken" else None


@pytest.fixture
def session_of(tmp_path, monkeypatch):
    """Return a function that makes a session of a project with this target, with raw options."""
    monkeypatch.setattr(yardstick, "YardstickProcess", SteadyYardstick)
    monkeypatch.setattr(load, "self_check", lambda _: "fast enough")

    def make(target, tell=lambda _: None, **raw):
        plugins: Plugins = create_plugin_manager((), {"PERF_PLUGINS": ""})
        plugins.register(target, "test")
        raw = {"target": "broken", "payloads": "pixels:1", "seed": "3"} | raw
        settings = parse_options(lambda option: raw.get(option.field), tmp_path)
        return Session(prepare(settings, plugins, expected=2), tell)

    return make


def test_a_target_that_does_not_start_is_tried_once(session_of):
    target = Broken(TargetError("it ended with exit status 1.\nThe end of its log: …"))
    with session_of(target) as session:
        with pytest.raises(TargetError, match="it ended with"):
            session.run(scenario("one"))
        with pytest.raises(
            TargetError, match=r"failed before and was not tried again: it ended with exit status 1\.$"
        ):
            session.run(scenario("two"))
    assert target.starts == 1


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (TargetError("it died"), "it died"),
        (KeyboardInterrupt(), "interrupted (Ctrl-C)"),
    ],
)
def test_a_scenario_that_ends_in_an_exception_stands_in_the_results_as_invalid(session_of, error, why):
    with session_of(Broken(error)) as session:
        with pytest.raises(type(error)):
            session.run(scenario())
        result = session.finish()
    assert result == results_file.read(session.directory / results_file.RESULTS)
    assert (result.verdict, result.reasons) == (Verdict.INVALID, (f"tiny: {why}",))
    (made,) = result.scenarios
    assert (made.verdict, made.criteria, made.faults[0].text) == (Verdict.INVALID, (), why)


def test_a_target_that_raises_anything_when_started_is_named_with_its_plugin(session_of):
    with (
        session_of(Broken(ZeroDivisionError("a defect"))) as session,
        pytest.raises(
            TargetError, match=r"plugin 'test': the target 'broken': start\(\) raised ZeroDivisionError"
        ),
    ):
        session.run(scenario())


def test_an_error_of_the_harness_makes_a_scenario_invalid(session_of, monkeypatch):
    with session_of(Broken(None)) as session:
        monkeypatch.setattr(session, "_judged", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            session.run(scenario())
        (made,) = session.result().scenarios
    assert (made.verdict, made.faults[0].text) == (
        Verdict.INVALID,
        "cut short by ZeroDivisionError: division by zero",
    )


def test_a_session_leaves_a_page_a_line_of_history_and_what_the_working_tree_was(session_of, tmp_path):
    for command in (("init", "-q", "-b", "main"), ("commit", "-q", "--allow-empty", "-m", "first")):
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", *command], cwd=tmp_path, check=True
        )
    with session_of(Broken(TargetError("it died"))) as session:
        with pytest.raises(TargetError):
            session.run(scenario())
        result = session.finish()
    assert (result.code.branch, result.code.dirty, len(result.code.commit)) == ("main", False, 40)
    assert "<h1>INVALID</h1>" in (session.directory / "report.html").read_text()
    assert history.read(session.settings.output / history.HISTORY) == (history.entry_of(result),)


def test_a_session_that_ran_nothing_is_invalid(session_of):
    with session_of(Broken(None)) as session:
        assert session.finish().verdict is Verdict.INVALID


def test_a_scenario_is_run_once(session_of):
    with session_of(Broken(TargetError("it died"))) as session:
        with pytest.raises(TargetError):
            session.run(scenario())
        with pytest.raises(UsageError, match="'tiny' has been run in this session"):
            session.run(replace(scenario(), description="another"))


def test_what_is_refused_at_the_start_gives_the_lock_back(session_of):
    with pytest.raises(UsageError, match="no plugin knows the payloads"):
        session_of(Broken(None), payloads="nothing")
    with session_of(Broken(None)):
        pass


@pytest.mark.parametrize("step", [(yardstick, "YardstickProcess"), (load, "self_check")])
def test_what_ends_a_session_before_its_first_scenario_leaves_no_folder(
    session_of, tmp_path, monkeypatch, step
):
    def fails(*_):
        raise MeasurementError("it cannot be measured here")

    monkeypatch.setattr(*step, fails)
    session = session_of(Broken(None))
    with pytest.raises(MeasurementError, match="cannot be measured here"):
        session.__enter__()
    assert {path.name for path in tmp_path.glob(".perf/*")} - {"lock"} == {".gitignore"}


class Writes:
    """A reporter that fails, and one that does not."""

    def __init__(self, name, error=None):
        self.name = name
        self.error = error

    def write(self, result, directory):
        if self.error:
            raise self.error
        (directory / self.name).write_text("written")


class WithReporters(Broken):
    @hookimpl
    def tailgate_reporters(self):
        return [Writes("first", OSError("no space")), Writes("second")]

    @hookimpl
    def tailgate_finished(self, directory):
        (directory / "finished").write_text("told")


def test_a_reporter_that_fails_is_named_and_keeps_no_other_from_its_report(session_of):
    with session_of(WithReporters(None)) as session:
        with pytest.raises(PluginError, match="plugin 'test': the reporter 'first' raised OSError: no space"):
            session.finish()
        written = {path.name for path in session.directory.iterdir()}
    assert written >= {results_file.RESULTS, "second", "finished"}


def test_a_target_whose_log_cannot_be_read_fails_nobody(session_of):
    class Loud(Broken):
        def log_tail(self):
            return 1 / 0

    with session_of(Loud(None)) as session:
        session._budget_run._running = Loud(None)
        assert "log_tail() of " in session.log_tail()
        assert "raised ZeroDivisionError" in session.log_tail()
        session._budget_run._running = None


WAIVER = """
[[waiver]]
scenario = "tiny"
criterion = "p95 (client)"
limit = "{limit}"
reason = "answers are signed"
who = "Ada"
expires = {expires}
"""


@pytest.mark.parametrize(
    ("verdict", "raw", "error"),
    [
        (Verdict.FAIL, {}, None),
        (
            Verdict.PASS,
            {},
            r"p95 \(client\) of tiny PASSes without its waiver \(answers are signed\): remove it",
        ),
        (Verdict.PASS, {"enforce": "measurement"}, None),
    ],
)
def test_a_run_that_needs_its_waiver_passes_and_one_that_does_not_is_refused(
    session_of, tmp_path, monkeypatch, verdict, raw, error
):
    (tmp_path / "waivers.toml").write_text(WAIVER.format(limit="100 yd", expires="9999-12-31"))
    (judged,) = run_result([criterion_result("p95", 0.09, verdict=verdict)], scenario="tiny").scenarios
    with session_of(Broken(None), **raw) as session:
        monkeypatch.setattr(session, "_judged", lambda *_: (judged, ()))
        session.run(scenario())
        if error is None:
            result = session.finish()
            assert result.scenarios[0].waivers[0].value == 100 * session._before.seconds
            assert failing(result, session.settings) is Verdict.PASS
        else:
            with pytest.raises(UsageError, match=error):
                session.finish()
        assert results_file.read(session.directory / results_file.RESULTS).verdict is verdict


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"expires": "2026-01-01"}, "expired on 2026-01-01: remove it"),
        ({"scenario": "tniy"}, "waivers.toml: there is no scenario 'tniy'; did you mean 'tiny'"),
        ({"lens": "p59"}, "there is no lens 'p59'; did you mean"),
    ],
)
def test_a_waiver_without_a_meaning_is_refused_before_anything_starts(tmp_path, changes, message):
    text = WAIVER.format(limit="9 %", expires=changes.get("expires", "9999-12-31"))
    text = text.replace("tiny", changes.get("scenario", "tiny"))
    if "lens" in changes:
        text = text.replace('criterion = "p95 (client)"', f'lens = "{changes["lens"]}"')
    (tmp_path / "waivers.toml").write_text(text)
    target = Broken(None)
    plugins: Plugins = create_plugin_manager((), {"PERF_PLUGINS": ""})
    plugins.register(target, "test")
    raw = {"target": "broken", "payloads": "pixels:1"}
    with pytest.raises(UsageError, match=message):
        prepare(parse_options(lambda option: raw.get(option.field), tmp_path), plugins, [scenario()])
    assert target.starts == 0


def test_a_second_session_of_the_project_is_refused_while_the_first_measures(session_of):
    with (
        session_of(Broken(None)),
        pytest.raises(UsageError, match="two runs at once would disturb each other"),
    ):
        session_of(Broken(None)).__enter__()


def test_a_folder_that_the_system_does_not_let_make_is_refused_in_one_line(session_of, monkeypatch, tmp_path):
    def full(self, timeout):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(FileLock, "acquire", full)
    session = session_of(Broken(None), output=str(tmp_path / "out"))
    with pytest.raises(UsageError, match=r"--perf-output: cannot write into .*out: No space left on device"):
        session.__enter__()


def test_the_target_gets_the_budgets_latencies_as_edges_and_the_users_variables(session_of, tmp_path):
    class WithScenario(Broken):
        @hookimpl
        def tailgate_scenarios(self, profile):
            return [scenario(limit=Ref("p95"))]

    tmp_path.joinpath("budgets.toml").write_text('"tiny" = { p95 = "20 yd", rate = "5 /s", p59 = "1 ms" }')
    target = WithScenario(None)
    with session_of(target, env=["TAILGATE_MODEL=demo"], metrics_path="", readiness_path="/up") as session:
        assert session.misspelt_budgets() == ["tiny.p59", "tiny.rate"]
    settings = target.settings
    assert settings.environment == {"TAILGATE_HISTOGRAM_EDGES_MS": "1.0,200.0", "TAILGATE_MODEL": "demo"}
    assert (settings.metrics_path, settings.readiness_path) == (None, "/up")


def test_a_budget_in_yardsticks_follows_the_machine_from_scenario_to_scenario(
    session_of, tmp_path, monkeypatch
):
    tmp_path.joinpath("budgets.toml").write_text('"*" = { p95 = "20 yd", rate = "0.5 /yd" }')
    running = SimpleNamespace(metrics_url="http://127.0.0.1:1/metrics")
    with session_of(Broken(None)) as session:
        run = session._budget_run
        first, _ = run._resolve(paced("a"), running, session._last, None)
        second, _ = run._resolve(paced("b"), running, Yardstick(0.020, 0.0199, 0.0201, 60), None)
    rates = [made.scenario.phases[0].arrivals.rate_per_s for made in (first, second)]
    assert rates == pytest.approx([50.0, 25.0])
    # A limit is open until what it judges is over; but one that set the load is what it was then.
    limits = [criterion.limit for criterion in first.scenario.criteria]
    assert limits == [Ref("p95"), pytest.approx(50.0)]


def test_a_budget_that_names_a_measure_on_demand_adds_its_criterion_and_is_no_misspelling(
    session_of, tmp_path
):
    tmp_path.joinpath("budgets.toml").write_text('"tiny" = { ttfb_p95 = "3 yd", ttfb_p59 = "1 ms" }')
    running = SimpleNamespace(metrics_url=None)

    class WithScenario(Broken):
        @hookimpl
        def tailgate_scenarios(self, profile):
            return [scenario()]

    with session_of(WithScenario(None)) as session:
        resolved = session._budget_run._resolve(scenario(), running, session._last, None)[0]
        assert session.misspelt_budgets() == ["tiny.ttfb_p59"]
    asked = [(one.measure, one.limit, one.phases) for one in resolved.scenario.criteria]
    assert asked == [("p95", 1.0, ("load",)), ("ttfb_p95", Ref("ttfb_p95"), ("load",))]
    assert [(key, quantity.text) for key, quantity in resolved.quantities.items()] == [("ttfb_p95", "3 yd")]


def test_a_budget_of_a_measure_on_demand_has_its_unit_before_anything_starts(session_of, tmp_path):
    class WithScenario(Broken):
        @hookimpl
        def tailgate_scenarios(self, profile):
            return [scenario()]

    tmp_path.joinpath("budgets.toml").write_text('"tiny" = { tokens_per_s = "3 ms" }')
    plugins: Plugins = create_plugin_manager((), {"PERF_PLUGINS": ""})
    plugins.register(WithScenario(None), "test")
    raw = {"target": "broken", "payloads": "pixels:1"}
    settings = parse_options(lambda option: raw.get(option.field), tmp_path)
    with pytest.raises(BudgetError, match="'tokens_per_s': got '3 ms', expected a number of unit '/s'"):
        prepare(settings, plugins, [scenario()])


def test_more_scenarios_than_the_error_was_split_over_are_refused(session_of):
    with session_of(Broken(TargetError("it died"))) as session:
        for name in ("one", "two"):
            with pytest.raises(TargetError):
                session.run(scenario(name))
        with pytest.raises(UsageError, match=r"'three' is scenario 3 of this run.*was split over 2.*own"):
            session.run(scenario("three"))


def test_a_measure_that_nobody_brings_is_refused_before_any_load(session_of):
    running = SimpleNamespace(metrics_url=None)
    made = scenario()
    misspelt = replace(made, criteria=(replace(made.criteria[0], measure="p96"),))
    with (
        session_of(Broken(None)) as session,
        pytest.raises(UsageError, match="there is no measure 'p96'; did you"),
    ):
        session._budget_run._resolve(misspelt, running, session._last, None)


@pytest.mark.parametrize(
    ("place", "left"),
    [
        ({}, ["p95", "health_p50", "metrics_p90"]),
        ({"readiness_path": None}, ["p95", "metrics_p90"]),
        ({"metrics_url": None}, ["p95", "health_p50"]),
    ],
)
def test_a_criterion_on_probes_of_a_place_that_the_target_has_not_is_left_out(session_of, place, left):
    settings = TargetSettings(readiness_path=place.get("readiness_path", "/up"))
    running = SimpleNamespace(metrics_url=place.get("metrics_url", "http://x/metrics"), settings=settings)
    made = scenario()
    asked = tuple(replace(made.criteria[0], measure=name) for name in ("p95", "health_p50", "metrics_p90"))
    with session_of(Broken(None)) as session:
        resolved = session._budget_run._resolve(replace(made, criteria=asked), running, session._last, None)[
            0
        ]
    assert [criterion.measure for criterion in resolved.scenario.criteria] == left


def test_what_a_target_cannot_be_asked_is_told_with_its_facts():
    running = SimpleNamespace(metrics_url=None, settings=TargetSettings(readiness_path=None))
    assert _described(running) == {
        "metrics": "none: the server's criteria are left out",
        "readiness": "no path: readiness under load is not judged",
    }


def test_what_a_user_should_know_while_a_target_is_waited_for_goes_where_progress_goes(session_of):
    told = []
    target = Broken(None)
    with session_of(target, tell=told.append):
        target.settings.tell("it answers 404")
    assert told[-1] == "it answers 404"


def test_what_the_generator_can_do_here_stands_with_the_result(session_of):
    with session_of(Broken(None)) as session:
        assert session.result().machine["generator"] == "fast enough"


def test_a_yardstick_that_cannot_be_timed_stops_the_session(session_of, monkeypatch):
    def read(*_):
        raise MeasurementError("the yardstick failed")

    monkeypatch.setattr(SteadyYardstick, "read", read)
    with pytest.raises(MeasurementError, match="the yardstick failed"):
        session_of(Broken(None)).__enter__()


def test_metrics_have_the_targets_names():
    names = metric_names({"request_seconds": "http_seconds", "batch_size": ""})
    assert (names.request_seconds, names.batch_size) == ("http_seconds", None)
    assert names.queue_seconds == "tailgate_queue_seconds"
    with pytest.raises(UsageError, match="there is no metric that the harness reads called 'latency'"):
        metric_names({"latency": "x"})


class Dying(Broken):
    """A target that starts, and is dead before each scenario but the first."""

    base_url = "http://127.0.0.1:1"
    socket_path = None
    metrics_url = None

    def __init__(self, events):
        super().__init__(None)
        self.settings = TargetSettings()
        self.events = events

    def start(self, directory):
        self.events.append("start")
        return self

    def restart(self):
        self.events.append("start")

    def stop(self):
        self.events.append("stop")

    def alive(self):
        return False


def told_by(tmp_path):
    return (tmp_path / "told").read_text().split()


def commands(tmp_path, **failing):
    """Return options whose commands tell that they ran, and end with these statuses."""
    return {
        name: f"sh -c 'echo {name} >> {tmp_path}/told; exit {failing.get(name, 0)}'"
        for name in ("set_up", "reset", "tear_down")
    }


def test_a_target_that_died_is_torn_down_and_set_up_again_before_its_next_start(tmp_path):
    lines = asked_lines(parse_options(lambda option: commands(tmp_path).get(option.field), tmp_path))
    ground = SimpleNamespace(
        directory=tmp_path, settings=SimpleNamespace(target="dying"), tell=lambda _: None
    )
    target = Dying([])
    run = BudgetRun(target, ground, (), lambda: None, StateCommands(lines=lines))
    for _ in range(2):
        run._ready_target(scenario())
        run._reset()
    run.stop()
    once = ["set_up", "reset", "tear_down"]
    assert told_by(tmp_path) == [*once, *once]
    assert target.events == ["start", "stop", "start", "stop"]


def test_nothing_is_started_after_a_set_up_that_failed_and_the_tear_down_runs_once(session_of, tmp_path):
    target = Broken(None)
    with session_of(target, **commands(tmp_path, set_up=3)) as session:
        with pytest.raises(TargetError, match=r"--perf-set-up of head: .* ended with exit status 3"):
            session.run(scenario("one"))
        with pytest.raises(TargetError, match="failed before and was not tried again: --perf-set-up of head"):
            session.run(scenario("two"))
    assert target.starts == 0
    assert told_by(tmp_path) == ["set_up", "tear_down"]


def test_a_target_that_did_not_start_is_torn_down(session_of, tmp_path):
    target = Broken(TargetError("it did not start"))
    with (
        session_of(target, **commands(tmp_path)) as session,
        pytest.raises(TargetError, match="it did not start"),
    ):
        session.run(scenario("one"))
    assert told_by(tmp_path) == ["set_up", "tear_down"]


def test_a_session_keeps_the_newest_runs_alone(session_of, tmp_path):
    for _ in range(3):
        with (
            session_of(Broken(TargetError("no")), keep="2") as session,
            pytest.raises(TargetError, match="no"),
        ):
            session.run(scenario("one"))
    kept = {path.name for path in tmp_path.glob(".perf/*Z-*")}
    assert len(kept) == 2
    assert session.run_id in kept
