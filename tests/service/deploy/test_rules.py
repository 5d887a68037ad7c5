"""deploy/prometheus: what is scraped, recorded and told, by Prometheus's own tests and by the service's declarations."""

import re
import shutil
import subprocess

import pytest
import yaml
from expressions import DEPLOY, PROMETHEUS, known, labels, names, rules

from tailgate.service.errors import Outcome

PAGE = (DEPLOY.parent / "docs/how-to/watch.md").read_text("utf-8")
EVERY = [*rules("recording.yml"), *rules("alerts.yml")]
ALERTS = {rule["alert"]: rule for rule in rules("alerts.yml")}
TESTS = yaml.safe_load((PROMETHEUS / "tests.yml").read_text("utf-8"))["tests"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
@pytest.mark.parametrize(
    "command", ["check config prometheus.yml", "check rules recording.yml alerts.yml", "test rules tests.yml"]
)
def test_promtool_finds_nothing(command):
    done = subprocess.run(
        ["promtool", *command.split()],
        cwd=PROMETHEUS,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("rule", EVERY, ids=lambda rule: rule.get("record") or rule["alert"])
def test_a_rule_asks_for_what_there_is(rule):
    assert names(rule["expr"]) - known() == set()
    told = {value for name, value in labels(rule["expr"]) if name == "outcome"}
    assert told <= set(Outcome)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_is_tested_to_speak_and_to_be_silent(name):
    cases = [case for test in TESTS for case in test.get("alert_rule_test", ()) if case["alertname"] == name]
    assert {bool(case["exp_alerts"]) for case in cases} == {True, False}


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_how_urgent_it_is_and_its_section_says_what_to_do(name):
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in {"page", "ticket"}
    page, anchor = rule["annotations"]["runbook"].split("#")
    assert page == "docs/how-to/watch.md"
    (section,) = [
        part for part in PAGE.split("\n## ") if re.sub(r"\W+", "-", part.splitlines()[0].lower()) == anchor
    ]
    assert f"`{name}`" in section


def test_every_outcome_counts_against_the_budget_but_for_a_clients_own_mistakes():
    (excluded,) = {
        frozenset(re.findall(r'outcome!~"([^"]*)"', rule["expr"])) for rule in EVERY if "!~" in rule["expr"]
    }
    (excluded,) = excluded
    assert set(excluded.split("|")) == {Outcome.BAD_INPUT, Outcome.UNKNOWN_PATH, Outcome.UNAUTHORIZED}
