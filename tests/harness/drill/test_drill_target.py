"""A target behind the proxy of a drill: asked through it, and itself for all else."""

import httpx
import psutil
import pytest

from tailgate.harness.drill.target import VARIABLE, PlantedTarget, Planting
from tailgate.harness.errors import TargetError
from tailgate.harness.plugins.manager import create_plugin_manager
from tailgate.harness.target.settings import TargetSettings
from tailgate.harness.testing import fake_server_spec


@pytest.fixture
def plugins():
    made = create_plugin_manager((), {"PERF_PLUGINS": ""})
    made.register(Planting(), "drill")
    return made


def of(case):
    return TargetSettings(environment={VARIABLE: case} if case else {})


def test_only_a_side_that_names_a_case_gets_a_proxy(plugins):
    spec = fake_server_spec()
    planted = plugins.target(spec, of("all-5"))
    assert isinstance(planted.target, PlantedTarget)
    assert planted.spec == spec
    assert not hasattr(plugins.target(spec, of("")), "target")
    assert plugins.known_target("nothing:at all", of("all-5")) is None


def test_a_target_is_asked_through_its_proxy_and_its_metrics_and_processes_are_its_own(plugins, tmp_path):
    with plugins.target(fake_server_spec(), of("unchanged")).start(tmp_path) as running:
        assert httpx.get(f"{running.base_url}/health/ready").is_success
        assert not (running.metrics_url or "").startswith(running.base_url)
        assert running.settings.metric_names.request_seconds is None
        proxy = running.pids[-1]
        assert "tailgate.harness.drill.proxy" in psutil.Process(proxy).cmdline()
        assert len(running.pids) >= 2
        running.restart()
        assert not psutil.pid_exists(proxy)
        assert httpx.get(f"{running.base_url}/health/ready").is_success
        assert running.alive()
    assert not running.alive()


def test_a_target_with_tls_is_refused_in_words():
    class Secret:
        tls, spec, stopped = True, "https://example.test", False
        settings = TargetSettings()

        def start(self, directory):
            return self

        def stop(self):
            self.stopped = True

    secret = Secret()
    with pytest.raises(
        TargetError, match="holds answers between client and server, and cannot do so with https"
    ):
        PlantedTarget(secret, "all-5").start(None)
    assert secret.stopped
