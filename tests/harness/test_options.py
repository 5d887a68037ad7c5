"""Options are declared once, and refused before anything runs."""

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.options import OPTIONS, Enforce, OnInconclusive, Option, Pin, options_table, pairs, parse_options

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


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"profile": "huge"}, "--perf-profile: expected one of smoke, default, thorough, got 'huge'"),
        ({"inconclusive": "ignore"}, "--perf-inconclusive: expected one of fail, warn, pass, got 'ignore'"),
        ({"seed": "one"}, "--perf-seed: cannot read 'one'; seed of the arrivals"),
        ({"seed": "-1"}, "--perf-seed: expected a whole number from 0 on, got -1"),
        ({"confidence": "1"}, "--perf-confidence: expected a share between 0.5 and 1, got 1.0"),
        ({"confidence": "nan"}, "--perf-confidence: expected a share between 0.5 and 1, got nan"),
        ({"ready_timeout": "0"}, "--perf-ready-timeout: expected seconds above 0, got 0.0"),
        ({"time_limit": "0"}, "--perf-time-limit: expected minutes above 0, got 0.0"),
        ({"blocks": "0"}, "--perf-blocks: expected a whole number from 1 on, got 0"),
        ({"request_timeout": "nan"}, "--perf-request-timeout: expected seconds above 0, got nan"),
        ({"request_timeout": "inf"}, "--perf-request-timeout: expected seconds above 0, got inf"),
        ({"env": ["NAME"]}, "--perf-env: expected KEY=VALUE, got 'NAME'"),
        ({"metric": ["=x"]}, "--perf-metric: expected KEY=VALUE, got '=x'"),
    ],
)
def test_what_cannot_mean_anything_is_refused(raw, message):
    with pytest.raises(UsageError) as refused:
        parsed(**raw)
    assert str(refused.value).startswith(message)


def test_a_value_keeps_its_equals_signs():
    assert pairs("env", ("A=b=c", " B =")) == {"A": "b=c", "B": ""}


def test_a_variable_is_seen_as_the_launched_target_will_see_it(monkeypatch):
    monkeypatch.setenv("TAILGATE_DEVICE", "cpu")
    assert parsed().variable("TAILGATE_DEVICE") == "cpu"
    assert parsed(env=["TAILGATE_DEVICE=cuda"]).variable("TAILGATE_DEVICE") == "cuda"


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        (Option("seed", None, ""), 5, ["--perf-seed=5"]),
        (Option("enforce", None, ""), Enforce.BUDGETS, ["--perf-enforce=budgets"]),
        (Option("env", (), "", repeated=True), ("A=1", "B=2"), ["--perf-env=A=1", "--perf-env=B=2"]),
        (Option("loud", False, "", flag=True), True, ["--perf-loud"]),
        (Option("loud", False, "", flag=True), False, []),
    ],
)
def test_an_option_is_written_as_it_was_read(option, value, words):
    assert option.words(value) == words


def test_the_table_for_the_documentation_has_a_row_for_each_option():
    rows = options_table().splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == [f"--perf-{option.name}" for option in OPTIONS]
    assert "| `--perf-inconclusive` | `perf_inconclusive` | `fail` |" in rows[14]
