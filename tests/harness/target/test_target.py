"""Targets that are started for real are this repository's own small fake server."""

import dataclasses
import socket
import sys

import pytest
from scripted_server import ScriptedServer

from tailgate.harness.errors import TargetError, UsageError
from tailgate.harness.options.reading import parse_options
from tailgate.harness.scenario.budgets import Budgets
from tailgate.harness.target.launching.launch import Launch
from tailgate.harness.target.settings import TargetSettings, target_settings
from tailgate.harness.target.spec import CommandTarget, RunningUrl, UrlTarget, _RunningCommand, parse_target

SETTINGS = TargetSettings(environment={"FROM": "settings"}, python="/opt/python")
FAKE = f"command:{sys.executable} -m tailgate.harness.testing.fake_server --fd {{fd}} --service-time-ms 0"


def test_a_command_is_started_described_restarted_and_stopped(tmp_path):
    target = parse_target(FAKE, TargetSettings())
    with target.start(tmp_path) as running:
        first_pids, first_url = running.pids, running.base_url
        assert (running.spec, running.host, running.tls) == (FAKE, "127.0.0.1", False)
        assert running.base_url == f"http://127.0.0.1:{running.port}"
        assert running.metrics_url == f"{running.base_url}/metrics"
        assert running.facts() == {"model": "fake", "device": "cpu"}
        assert len(first_pids) == 1
        running.restart()
        assert running.alive()
        assert running.pids != first_pids
        assert running.base_url != first_url
    assert not running.alive()
    assert running.server.exit_code() == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["server-1.log", "server-2.log"]


def test_a_url_is_used_and_left_alone(tmp_path):
    with parse_target(FAKE, TargetSettings()).start(tmp_path) as server:
        with parse_target(server.base_url + "/", TargetSettings()).start(tmp_path) as running:
            assert running.base_url == server.base_url
            assert running.port == server.port
            assert running.pids is None
            assert running.log_tail() == ""
            assert running.facts()["model"] == "fake"
            with pytest.raises(TargetError, match="cannot restart it"):
                running.restart()
        assert server.alive()
        assert running.alive()
    assert not running.alive()


def test_a_url_that_is_never_ready_is_an_error(tmp_path):
    settings = TargetSettings(readiness_path="/nowhere", ready_timeout_s=1e-9)
    with (
        parse_target(FAKE, TargetSettings()).start(tmp_path) as server,
        pytest.raises(TargetError, match="the last answer was 404"),
    ):
        parse_target(server.base_url, settings).start(tmp_path)


def test_a_command_that_dies_at_start_is_an_error_with_its_last_words(tmp_path):
    target = parse_target(f"{FAKE} --no-such-option", TargetSettings())
    with pytest.raises(TargetError, match="unrecognized arguments: --no-such-option"):
        target.start(tmp_path)


def test_a_target_without_metrics_has_no_address_for_them_and_no_facts(tmp_path):
    settings = TargetSettings(metrics_path=None)
    with parse_target(FAKE, settings).start(tmp_path) as running:
        assert running.metrics_url is None
        assert running.facts() == {}


@pytest.mark.parametrize(
    ("url", "host", "port", "tls"),
    [
        ("http://example.test", "example.test", 80, False),
        ("https://example.test/prefix/", "example.test", 443, True),
        ("http://[::1]:8000", "::1", 8000, False),
    ],
)
def test_an_address_is_taken_apart(url, host, port, tls, monkeypatch, tmp_path):
    monkeypatch.setattr("tailgate.harness.target.spec.wait_until_ready", lambda *_, **__: None)
    running = parse_target(url, TargetSettings()).start(tmp_path)
    assert (running.host, running.port, running.tls) == (host, port, tls)
    assert running.base_url == url.rstrip("/")


@pytest.mark.parametrize(
    ("spec", "environment"),
    [
        ("service", {}),
        ("service:", {}),
        ("service:MODEL=demo,max_batch_size=1", {"TAILGATE_MODEL": "demo", "TAILGATE_MAX_BATCH_SIZE": "1"}),
        ("service:TAILGATE_MODEL=a.b:c=d", {"TAILGATE_MODEL": "a.b:c=d"}),
        ("service: WEIGHTS=", {"TAILGATE_WEIGHTS": ""}),
    ],
)
def test_the_service_is_a_program_told_by_its_environment(spec, environment):
    target = parse_target(spec, SETTINGS)
    assert isinstance(target, CommandTarget)
    assert target.launch.command == ("/opt/python", "-P", "-m", "tailgate.service")
    assert target.launch.environment == {"FROM": "settings", "TAILGATE_FD": "{fd}", **environment}


def test_a_command_is_split_as_a_shell_would():
    settings = dataclasses.replace(SETTINGS, readiness_path="/up", ready_timeout_s=3, stop_timeout_s=4)
    target = parse_target("command:my 'big server' --port={port}", settings)
    assert target == CommandTarget(
        spec="command:my 'big server' --port={port}",
        launch=Launch(("my", "big server", "--port={port}"), {"FROM": "settings"}, None, "/up", 3, 4),
        settings=settings,
    )


def test_an_address_is_a_target_of_its_own_kind():
    assert parse_target("https://example.test:8443", SETTINGS) == UrlTarget(
        "https://example.test:8443", SETTINGS
    )


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("command:", "is empty"),
        ("command:python app.py", "neither {port} nor {fd}"),
        ("command:python 'app.py {port}", "cannot be split"),
        ("service:MODEL", "expected service:KEY=VALUE"),
        ("service:=1", "expected service:KEY=VALUE"),
        ("http://", "is not an address"),
        ("http://host:port", "is not an address"),
        ("http://host:99999", "is not an address"),
        ("http://host/?a=b", r"holds '\?'; expected an address without query"),
        ("http://host/api?", r"holds '\?'"),
        ("http://host/api#part", "holds '#'"),
        ("http://[::1/api", "is not an address"),
    ],
)
def test_a_specification_that_means_nothing_is_refused(spec, words):
    with pytest.raises(UsageError, match=words):
        parse_target(spec, SETTINGS)


@pytest.mark.parametrize("spec", ["", "servce", "command"])
def test_a_specification_of_another_kind_is_left_to_others(spec):
    assert parse_target(spec, SETTINGS) is None


def test_paths_must_be_paths():
    with pytest.raises(UsageError, match="readiness_path must start with '/', got 'ready'"):
        TargetSettings(readiness_path="ready")
    for place in ("metrics", "", ":x/metrics", "http:///metrics"):
        with pytest.raises(UsageError, match="the target's metrics_path"):
            TargetSettings(metrics_path=place)


@pytest.mark.parametrize(
    ("options", "path", "guessed"),
    [
        ({}, "/health/ready", True),
        ({"readiness_path": "/up"}, "/up", False),
        ({"readiness_path": "/health/ready"}, "/health/ready", False),
        ({"readiness_path": ""}, None, False),
        ({"ready_log": "up"}, None, True),
        ({"ready_log": "up", "readiness_path": "/up"}, "/up", False),
        ({"ready_log": "up", "readiness_path": ""}, None, False),
    ],
)
def test_a_line_of_the_log_takes_the_place_of_a_path_that_nobody_chose(options, path, guessed, tmp_path):
    settings = parse_options(lambda option: options.get(option.field), tmp_path)
    made = target_settings(settings, Budgets({}), (), 0.01)
    assert (made.readiness_path, made.readiness_guessed) == (path, guessed)
    assert made.ready_log == options.get("ready_log")


def test_the_log_of_a_server_that_runs_elsewhere_cannot_be_waited_for():
    with pytest.raises(
        UsageError,
        match="--perf-ready-log is for a target that is launched here, and http://x runs elsewhere",
    ):
        parse_target("http://x", TargetSettings(ready_log="up"))


@pytest.mark.parametrize(
    ("base", "place", "url"),
    [
        ("http://h:1/api", "/metrics", "http://h:1/api/metrics"),
        ("http://h:1/api", ":9100/metrics", "http://h:9100/metrics"),
        ("https://h/api", ":9100/m?x=1", "http://h:9100/m?x=1"),
        ("http://[::1]:1", ":9100/metrics", "http://[::1]:9100/metrics"),
        ("http://h:1/api", "https://other/m", "https://other/m"),
        ("http://user:pw@h:1/api", ":9100/m", "http://h:9100/m"),
        ("http://h", None, None),
    ],
)
def test_metrics_are_at_a_path_at_another_port_or_at_another_address(base, place, url):
    assert RunningUrl(base, TargetSettings(metrics_path=place)).metrics_url == url


def test_a_command_that_is_told_a_port_for_its_metrics_has_them_there(tmp_path):
    running = _RunningCommand(parse_target("command:x {port} {metrics_port}", TargetSettings()), tmp_path)
    running.server.metrics_port = 9100
    assert running.metrics_url == "http://127.0.0.1:9100/metrics"
    running.settings = TargetSettings(metrics_path=None)
    assert running.metrics_url is None
    with pytest.raises(
        UsageError, match=r"is told \{metrics_port\}, so its metrics are there, and --perf-metrics-path=:1/m"
    ):
        parse_target("command:x {port} {metrics_port}", TargetSettings(metrics_path=":1/m"))


def test_a_server_without_a_readiness_path_is_there_while_it_accepts_connections(tmp_path):
    settings = TargetSettings(readiness_path=None)
    with socket.create_server(("127.0.0.1", 0)) as server:
        running = parse_target(f"http://127.0.0.1:{server.getsockname()[1]}", settings).start(tmp_path)
        assert running.alive()
    assert not running.alive()


def test_where_metrics_redirect_the_facts_say_where_to(tmp_path):
    moved = b"HTTP/1.1 307 M\r\nlocation: /metrics/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    told = b'HTTP/1.1 200 OK\r\ncontent-length: 27\r\nconnection: close\r\n\r\ntailgate_info{model="m"} 1\n\n'
    with ScriptedServer({"/metrics": [moved, "close"], "/metrics/": [told, "close"]}) as server:
        base = f"http://127.0.0.1:{server.port}"
        facts = RunningUrl(base, TargetSettings()).facts()
    assert facts == {"model": "m", "metrics": "/metrics/, where /metrics redirects"}
