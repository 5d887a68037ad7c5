"""Options are declared once, and refused before anything runs."""

from pathlib import Path

import pytest

from tailgate.harness.errors import UsageError
from tailgate.harness.options.reading import parse_options
from tailgate.harness.options.table import Enforce, OnInconclusive, Option, Pin
from tailgate.harness.options.values import pairs

ROOT = Path("a-project")


def parsed(**raw):
    return parse_options(lambda option: raw.get(option.field), ROOT)


def test_what_nobody_says_is_the_default():
    settings = parsed()
    assert (settings.target, settings.profile, settings.seed, settings.scenario) == (
        "service",
        "default",
        None,
        (),
    )
    assert (settings.inconclusive, settings.enforce, settings.pin) == (
        OnInconclusive.FAIL,
        Enforce.BUDGETS,
        Pin.AUTO,
    )


def test_a_path_that_is_a_default_lies_in_the_project():
    assert parsed().output == ROOT / ".perf"
    assert parsed(output="elsewhere").output == Path("elsewhere")


def test_texts_become_values():
    settings = parsed(
        seed="7", confidence="0.9", enforce="measurement", plugin=["a.py", "b.py"], require_device=True
    )
    assert (settings.seed, settings.confidence, settings.enforce) == (7, 0.9, Enforce.MEASUREMENT)
    assert settings.plugin == (Path("a.py"), Path("b.py"))
    assert settings.require_device


def test_a_repeated_option_that_is_not_given_is_its_default():
    assert parsed(env=[]).env == ()


NO_NUMBER = ("", " ", "x", "nan", "inf", "-inf", "1e999", "1_0", "\u0663", "0x10", "1,5", "--", "1 2")
NO_WHOLE = (*NO_NUMBER, "1.0", "1e3", str(2**63), "9" * 5000)
NO_PATH = ("ready", "ftp://h/ready", "/a b", "/a\n", " /a")


@pytest.mark.parametrize(
    ("name", "texts", "expected"),
    [
        ("seed", (*NO_WHOLE, "-1"), "expected a whole number from 0 on"),
        ("blocks", (*NO_WHOLE, "0", "-3"), "expected a whole number from 1 on"),
        ("processors", (*NO_WHOLE, "-1"), "expected a whole number from 0 on"),
        ("confidence", (*NO_NUMBER, "1", "0.5", "-0.9", "99"), "expected a share above 0.5 and below 1"),
        ("ready-timeout", (*NO_NUMBER, "0", "-1", "1e300"), "expected seconds above 0 and to 1e+06"),
        ("request-timeout", (*NO_NUMBER, "0", "-0.0", "1e300"), "expected seconds above 0 and to 1e+06"),
        ("time-limit", (*NO_NUMBER, "0", "-1", "1e9"), "expected minutes above 0 and to 10,080"),
        ("readiness-path", NO_PATH, "expected a path that starts with '/', without white space"),
        ("metrics-path", (*NO_PATH, ":x/metrics", ":9100"), "expected a path that starts with '/'"),
        ("metrics-path", (":0/metrics", ":65536/metrics"), "expected a whole number from 1 to 65535"),
        ("metrics-path", ("http://h/a b",), "expected an address without white space"),
        (
            "metrics-path",
            ("http://", "http://:1/m", "https://h:x/m", "http://h:0/", "http://[::1/"),
            "expected an address such",
        ),
        ("request", ("", "GET", "/score", "get /x", "GET  /x", "GET /x y", "GET x"), "expected"),
        ("header", (["Name"], ["Name:"], ["A B: c"], [": c"], ["A: b\r\nC: d"]), "expected NAME: VALUE"),
        ("ready-log", ("", "(", "*"), "expected a"),
        ("answers", ("yes",), "expected one of gate, report, off"),
        ("answer-tolerance", (*NO_NUMBER, "0", "1.5", "-1"), "expected a share above 0 and to 1"),
        ("keep", (*NO_WHOLE, "0"), "expected a whole number from 1 on"),
        ("base-env", (["x"],), "expected KEY=VALUE"),
        *(
            (name, ("", " ", "''", "a\0b"), "expected a program and")
            for name in ("set-up", "reset", "tear-down")
        ),
        *(
            (name, ("a 'b", 'a "', "a \\"), "expected a command line")
            for name in ("set-up", "reset", "tear-down")
        ),
        ("head-env", (["x"],), "expected KEY=VALUE"),
        ("target", ("", " "), "expected a value"),
        ("payloads", ("",), "expected a value"),
        ("against", ("",), "expected a value"),
        ("against-python", ("",), "expected a value"),
        ("budgets", ("",), "expected a value"),
        (
            "budget",
            (["p95"], ["=1"], ["a:=1"], [":p95=1"], ["a:b:c:d:e=1"], ["p95="], ["p95=fast"], ["p95=-1"]),
            "expected KEY=QUANTITY",
        ),
        ("output", ("", "\t"), "expected a value"),
        ("profile", ("", "huge", "Smoke"), "expected one of smoke, default, thorough"),
        ("inconclusive", ("ignore",), "expected one of fail, warn, pass"),
        ("enforce", ("all",), "expected one of budgets, measurement"),
        ("pin", ("on",), "expected one of auto, off"),
        ("env", (["NAME"], ["=x"], ["A B=1"], ["A=1", "B"], ["A=\0"]), "expected KEY=VALUE"),
        ("metric", (["x"], ["=x"]), "expected KEY=VALUE"),
        ("scenario", ([""], ["steady", " "]), "expected a value"),
        ("plugin", ([""],), "expected a value"),
    ],
)
def test_what_cannot_mean_anything_is_refused_by_its_name(name, texts, expected):
    for text in texts:
        with pytest.raises(UsageError) as refused:
            parsed(**{name.replace("-", "_"): text})
        assert str(refused.value).startswith(f"--perf-{name}: {expected}"), text
        assert "got " in str(refused.value)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ({"seed": "0"}, 0),
        ({"seed": " 7 "}, 7),
        ({"seed": str(2**63 - 1)}, 2**63 - 1),
        ({"confidence": ".999"}, 0.999),
        ({"ready_timeout": "1e2"}, 100.0),
        ({"request_timeout": "0.5"}, 0.5),
        ({"time_limit": "10080"}, 10_080.0),
        ({"metrics_path": ""}, ""),
        ({"readiness_path": "/up?full=1"}, "/up?full=1"),
    ],
)
def test_what_means_something_is_read(raw, value):
    ((field, _),) = raw.items()
    assert getattr(parsed(**raw), field) == value


def test_a_misspelt_choice_is_told_the_nearest():
    with pytest.raises(UsageError, match="got 'thorogh'; did you mean 'thorough'"):
        parsed(profile="thorogh")


def test_a_head_without_a_base_is_refused():
    with pytest.raises(UsageError, match=r"--perf-head=main is compared with nothing; give --perf-against"):
        parsed(head="main")


def test_the_command_line_beats_the_ini_file_and_paths_of_the_file_start_there():
    given, ini = (
        {"seed": "7", "payloads": "file:here.json"},
        {
            "seed": "5",
            "budgets": "limits.toml",
            "plugin": ["one.py", "/abs.py"],
            "payloads": "dir:bodies",
            "target": "command:./app {port}",
            "env": [],
        },
    )
    made = parse_options(
        lambda option: given.get(option.field), ROOT, lambda option: ini.get(option.field), Path("/ini")
    )
    assert (made.seed, made.payloads, made.budgets) == (7, "file:here.json", Path("/ini/limits.toml"))
    assert made.plugin == (Path("/ini/one.py"), Path("/abs.py"))
    assert (made.given, made.said_in_ini) == ({"seed", "payloads"}, {"budgets", "plugin", "target"})
    assert (made.launch_folder("target"), made.launch_folder("against")) == (Path("/ini"), None)


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        ("file:body.json", "file:/ini/body.json"),
        ("dir:../bodies", "dir:/ini/../bodies"),
        ("file:/abs/body", "file:/abs/body"),
        ("pixels:64", "pixels:64"),
        ("photos", "photos"),
        ("mine:a/b", "mine:a/b"),
        ("file:~/body", f"file:{Path.home()}/body"),
    ],
)
def test_a_source_of_payloads_in_an_ini_file_is_seen_from_its_folder(said, seen):
    made = parse_options(
        lambda _: None, ROOT, lambda option: said if option.name == "payloads" else None, Path("/ini")
    )
    assert made.payloads == seen


def test_a_value_keeps_its_equals_signs():
    assert pairs(("A=b=c", " B =")) == {"A": "b=c", "B": ""}


def test_a_variable_is_seen_as_the_launched_target_will_see_it(monkeypatch):
    monkeypatch.setenv("TAILGATE_DEVICE", "cpu")
    assert parsed().variable("TAILGATE_DEVICE") == "cpu"
    assert parsed(env=["TAILGATE_DEVICE=cuda"]).variable("TAILGATE_DEVICE") == "cuda"


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        (Option("seed", None, ""), 5, ["--perf-seed=5"]),
        (Option("enforce", None, ""), Enforce.BUDGETS, ["--perf-enforce=budgets"]),
        (Option("env", (), ""), ("A=1", "B=2"), ["--perf-env=A=1", "--perf-env=B=2"]),
        (Option("loud", False, ""), True, ["--perf-loud"]),
        (Option("loud", False, ""), False, []),
    ],
)
def test_an_option_is_written_as_it_was_read(option, value, words):
    assert option.words(value) == words
