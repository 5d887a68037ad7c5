"""Each hook through pluggy: wrappers of both kinds, whatever a function may give, and whose fault it is."""

import types
from pathlib import Path

import numpy as np
import pytest
from sample_records import MEASURES

from tailgate import hookimpl
from tailgate.harness.errors import PluginError, TargetError, UsageError
from tailgate.harness.load.many.engine import CommandEngine
from tailgate.harness.plugins.hooks import EXPECTED
from tailgate.harness.plugins.manager import Plugins
from tailgate.harness.profiles import PROFILES
from tailgate.harness.report import JsonReporter
from tailgate.harness.scenario.arrivals import Poisson
from tailgate.harness.scenario.payloads.payload import Payload
from tailgate.harness.scenario.ref import Ref, refs, resolve
from tailgate.harness.scenario.scenario import Criterion, Phase, Scenario
from tailgate.harness.target.settings import TargetSettings
from tailgate.harness.target.spec import UrlTarget
from tailgate.harness.target.target import RunningTarget

SETTINGS = TargetSettings()
ARGUMENTS = {
    "tailgate_scenarios": ("profile",),
    "tailgate_measures": (),
    "tailgate_reporters": (),
    "tailgate_payloads": ("source",),
    "tailgate_generators": ("spec",),
    "tailgate_target": ("spec", "settings"),
    "tailgate_finished": ("result", "directory"),
}
SCENARIO = Scenario("mine", "made up", (Phase("load", Poisson(1.0), requests=1),), ())
PAYLOAD = Payload("mine", b"x", "text/plain")
RIGHT = {
    "tailgate_scenarios": [SCENARIO],
    "tailgate_measures": [MEASURES["throughput"]],
    "tailgate_reporters": [JsonReporter()],
    "tailgate_payloads": [PAYLOAD],
    "tailgate_generators": CommandEngine("mine", {}),
    "tailgate_target": UrlTarget("http://h", SETTINGS),
    "tailgate_finished": None,
}
every_hook = pytest.mark.parametrize("hook", EXPECTED)
LISTS = [hook for hook, expected in EXPECTED.items() if expected is not None and expected.many]


def ask(plugins, hook):
    """Call a hook as the harness does."""
    match hook:
        case "tailgate_scenarios":
            return list(plugins.scenarios(PROFILES["smoke"]).values())
        case "tailgate_measures":
            return list(plugins.measures())
        case "tailgate_reporters":
            return list(plugins.reporters())
        case "tailgate_payloads":
            return plugins.payloads("mine")
        case "tailgate_generators":
            return plugins.generate("mine").args[0]
        case "tailgate_target":
            return plugins.target("mine", SETTINGS)
        case "tailgate_finished":
            return plugins.hook.tailgate_finished(result=None, directory=Path())


def function(hook, body, **names):
    """Make a function of a hook's name and arguments whose body is this; what it names is at hand."""
    code = f"def {hook}({', '.join(ARGUMENTS[hook])}):\n" + "\n".join(
        f"    {line}" for line in body.split("\n")
    )
    exec(code, names)
    return names[hook]


def plugins_of(*marked, name="mine", distribution="acme"):
    plugins = Plugins()
    for index, one in enumerate(marked):
        module = types.ModuleType("made_up")
        setattr(module, one.__name__, one)
        plugins.register(module, f"{name}{index or ''}", distribution, "1.2")
    return plugins


def giving(hook, given):
    return hookimpl(function(hook, "return given", given=given))


def test_there_is_a_table_of_every_hook():
    assert set(ARGUMENTS) == set(RIGHT) == set(EXPECTED)


# Wrappers


@every_hook
@pytest.mark.parametrize(
    ("marker", "body"),
    [
        (
            hookimpl(wrapper=True),
            "seen.append('before')\ntry:\n    return (yield)\nfinally:\n    seen.append('after')",
        ),
        (
            hookimpl(hookwrapper=True),
            "seen.append('before')\noutcome = yield\noutcome.get_result()\nseen.append('after')",
        ),
        (
            hookimpl(wrapper=True, tryfirst=True),
            "seen.append('before')\ngiven = yield\nseen.append('after')\nreturn given",
        ),
    ],
    ids=["wrapper", "hookwrapper", "first"],
)
def test_a_wrapper_is_around_what_the_others_give(hook, marker, body):
    seen = []
    inner = hookimpl(function(hook, "seen.append('inside')\nreturn given", seen=seen, given=RIGHT[hook]))
    plugins = plugins_of(inner, marker(function(hook, body, seen=seen)))
    given = ask(plugins, hook)
    assert seen == ["before", "inside", "after"]
    assert hook == "tailgate_finished" or given == RIGHT[hook]


@pytest.mark.parametrize("hook", LISTS)
def test_a_wrapper_may_leave_out_and_add(hook):
    """The first payloads win, so that a wrapper of theirs has one list, and the others a list of lists."""
    added = RIGHT[hook] if hook == "tailgate_payloads" else [[], RIGHT[hook]]
    wrapper = hookimpl(wrapper=True)(function(hook, "yield\nreturn added", added=added))
    assert ask(plugins_of(giving(hook, RIGHT[hook]), wrapper), hook) == RIGHT[hook]


@every_hook
@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("yield\n1 / 0", "raised ZeroDivisionError: division by zero"),
        ("1 / 0\nyield", "raised ZeroDivisionError: division by zero"),
        ("return\nyield", "is a wrapper, and has ended without a yield; expected one"),
        ("yield\nyield", "is a wrapper, and has yielded twice; expected one yield"),
    ],
)
def test_a_wrapper_that_fails_is_named(hook, body, words):
    wrapper = hookimpl(wrapper=True)(function(hook, body))
    plugins = plugins_of(giving(hook, RIGHT[hook]), wrapper)
    with pytest.raises(PluginError, match=f"plugin 'mine1' of acme: {hook} {words}"):
        ask(plugins, hook)


@pytest.mark.parametrize("hook", [hook for hook in EXPECTED if hook != "tailgate_finished"])
def test_what_a_wrapper_gives_is_held_to_the_same(hook):
    wrapper = hookimpl(wrapper=True)(function(hook, "yield\nreturn [[object()]]"))
    plugins = plugins_of(giving(hook, RIGHT[hook]), wrapper)
    with pytest.raises(
        PluginError, match=f"the wrapper of {hook} by plugin 'mine1' of acme gave .*, expected a "
    ):
        ask(plugins, hook)


# What is given


@pytest.mark.parametrize("hook", LISTS)
@pytest.mark.parametrize(
    "form",
    [list, tuple, iter, lambda things: (one for one in things), lambda things: dict.fromkeys(things).keys()],
)
def test_any_iterable_is_taken(hook, form):
    assert ask(plugins_of(giving(hook, form(RIGHT[hook]))), hook) == RIGHT[hook]


@pytest.mark.parametrize("hook", LISTS)
@pytest.mark.parametrize("given", ["steady", {"a": 1}, 5, [5], [None], [object()], {5}, b"x"])
def test_what_is_of_another_kind_is_refused_and_named(hook, given):
    with pytest.raises(PluginError, match=rf"plugin 'mine' of acme: {hook} gave .*, expected a "):
        ask(plugins_of(giving(hook, given)), hook)


@every_hook
@pytest.mark.parametrize(
    "raised", [ZeroDivisionError("x"), UsageError("x"), SystemExit("x"), TargetError("x")]
)
def test_a_function_that_raises_is_named(hook, raised):
    def fails():
        raise raised

    plugins = plugins_of(hookimpl(function(hook, "fails()", fails=fails)))
    with pytest.raises(PluginError, match=f"plugin 'mine' of acme: {hook} raised {type(raised).__name__}: x"):
        ask(plugins, hook)


@pytest.mark.parametrize("hook", LISTS)
def test_a_generator_that_raises_is_named(hook):
    # Marked as a function that returns one: a generator function itself would be a wrapper.
    plugins = plugins_of(giving(hook, (1 / 0 for _ in "x")))
    with pytest.raises(PluginError, match=f"plugin 'mine' of acme: {hook} raised ZeroDivisionError"):
        ask(plugins, hook)


@every_hook
def test_no_error_is_made_of_a_pressed_key(hook):
    def pressed():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(plugins_of(hookimpl(function(hook, "pressed()", pressed=pressed))), hook)


# Who looks like a hook


def module_of(**attributes):
    made = types.ModuleType("made_up")
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


@every_hook
def test_a_hook_without_its_mark_is_pointed_out(hook):
    with pytest.raises(
        PluginError, match=f"plugin 'mine' of acme has {hook}, which is not marked: put @tailgate.hookimpl"
    ):
        Plugins().register(module_of(**{hook: function(hook, "pass")}), "mine", "acme", "1")


@every_hook
def test_a_hook_that_is_no_function_is_pointed_out(hook):
    with pytest.raises(PluginError, match=f"plugin 'mine' of acme has {hook}, which is not a function"):
        Plugins().register(module_of(**{hook: RIGHT[hook] or 5}), "mine", "acme", "1")


@every_hook
@pytest.mark.parametrize("mark", [hookimpl, lambda made: made])
def test_a_misspelt_hook_is_told_the_nearest(hook, mark):
    misspelt = function(hook, "pass")
    with pytest.raises(PluginError, match=f"has {hook}x, which is not a hook; did you mean {hook}?"):
        Plugins().register(module_of(**{f"{hook}x": mark(misspelt)}), "mine")


@every_hook
def test_a_hook_may_be_called_otherwise_and_be_a_method(hook):
    marked = hookimpl(specname=hook)(function(hook, "return given", given=RIGHT[hook]))
    plugins = Plugins()
    plugins.register(module_of(other=marked), "mine")
    plugin_class = type("Theirs", (), {hook: staticmethod(giving(hook, RIGHT[hook]))})
    plugins.register(plugin_class(), "theirs") if hook == "tailgate_target" else None
    assert hook == "tailgate_finished" or ask(plugins, hook) == RIGHT[hook]


def test_what_merely_begins_with_the_name_is_let_be():
    plugins = Plugins()
    plugins.register(
        module_of(
            tailgate_spike=types.ModuleType("x"),
            tailgate_version="1",
            tailgate_measures=giving("tailgate_measures", []),
        ),
        "mine",
    )
    with pytest.raises(PluginError, match="has tailgate_helper, which is not a hook; there are"):
        Plugins().register(module_of(tailgate_helper=lambda: None), "mine")


# Names


@pytest.mark.parametrize("hook", LISTS[:3])
def test_a_name_twice_names_both_distributions(hook):
    plugins = plugins_of(giving(hook, RIGHT[hook]))
    plugins.register(module_of(**{hook: giving(hook, list(RIGHT[hook]))}), "theirs", "other", "2")
    with pytest.raises(
        PluginError, match=r"is used by plugin '\w+' of (acme|other) and by plugin '\w+' of (acme|other)"
    ):
        ask(plugins, hook)


# Targets


class Running(RunningTarget):
    """One that says what a running target says."""

    base_url = "http://127.0.0.1:1"
    pids = None

    def restart(self): ...
    def stop(self):
        self.stopped = True

    def alive(self):
        return True

    def log_tail(self):
        return ""


class Target:
    spec = "mine"

    def __init__(self, running):
        self.running = running

    def start(self, _):
        return self.running


def test_a_running_target_of_the_right_shape_is_given_as_it_is(tmp_path):
    running = Running("mine", SETTINGS)
    target = ask(plugins_of(giving("tailgate_target", Target(running))), "tailgate_target")
    assert (target.spec, target.start(tmp_path)) == ("mine", running)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stop": None}, r"it has no method stop\(\)"),
        ({"alive": True}, r"it has no method alive\(\)"),
        ({"log_tail": ""}, r"it has no method log_tail\(\)"),
        ({"base_url": None}, "its base_url is None"),
        ({"base_url": "http://h:x"}, "its host cannot be read: InvalidURL"),
        ({"base_url": property(lambda _: 1 / 0)}, "its base_url cannot be read: ZeroDivisionError"),
        ({"pids": [1]}, r"its pids is \[1\]"),
        ({"__init__": lambda *_: None}, "its spec cannot be read: AttributeError"),
    ],
)
def test_a_running_target_of_another_shape_is_refused_when_it_starts(tmp_path, changes, words):
    running = type("Wrong", (Running,), changes)("mine", SETTINGS)
    target = ask(plugins_of(giving("tailgate_target", Target(running))), "tailgate_target")
    with pytest.raises(
        TargetError, match=rf"plugin 'mine' of acme: the target 'mine': start\(\) gave .*: {words}"
    ):
        target.start(tmp_path)
    assert changes.keys() & {"stop", "__init__"} or running.stopped


@pytest.mark.parametrize("given", [object(), 5, "service", type("T", (), {"spec": 5, "start": print})()])
def test_a_target_of_another_shape_is_refused(given):
    with pytest.raises(
        PluginError, match=r"plugin 'mine' of acme: tailgate_target gave .*, expected a target: it"
    ):
        ask(plugins_of(giving("tailgate_target", given)), "tailgate_target")


# Lists and numbers


def test_a_scenario_of_lists_and_numpys_numbers_is_one_of_tuples_and_pythons():
    phase = Phase(
        "load", Poisson(Ref("rate")), requests=np.int64(5), deadline_s=np.float32(0.5), probes=np.int8(2)
    )
    criterion = Criterion("p95", np.float64(1.5), ["load"], objective_s=np.float32(2))
    made = Scenario("mine", "made up", [phase], [criterion], payloads=["a"])
    assert (made.phases, made.criteria, made.payloads) == ((phase,), (criterion,), ("a",))
    assert refs(made) == {"rate"}
    assert resolve(made, {"rate": 5.0}).phases[0].arrivals == Poisson(5.0)
    numbers = (phase.requests, phase.deadline_s, phase.probes, criterion.limit, criterion.objective_s)
    assert [type(number) for number in numbers] == [int, float, int, float, float]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Criterion("p95", 1.0, "load"),
        lambda: Scenario("mine", "made up", SCENARIO.phases[0], ()),
        lambda: Scenario("mine", "made up", SCENARIO.phases, (), payloads="photos"),
        lambda: Phase("load", Poisson(1.0), requests=1.5),
        lambda: Payload("mine", "a text", "text/plain"),
        lambda: Payload("mine", 5, "text/plain"),
    ],
)
def test_what_is_no_list_and_no_number_is_refused(make):
    with pytest.raises(UsageError, match=r"is a list, got|is a whole number, got|is bytes, got"):
        make()


def test_a_payload_takes_any_buffer_and_lists():
    made = Payload("mine", np.arange(3, dtype=np.uint8), "x/y", headers=[["A", "b"]], weight=np.int64(2))
    assert made == Payload("mine", b"\0\1\2", "x/y", headers=(("A", "b"),), weight=2.0)
