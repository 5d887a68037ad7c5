"""Generators on clusters: the Job by its schema and by its exact command, and what Ray is asked for."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
from scripted_server import OK, ScriptedServer

from tailgate.harness.errors import PluginError
from tailgate.harness.load import LoadSettings
from tailgate.harness.plugins.loading import load_file
from tailgate.harness.plugins.manager import create_plugin_manager
from tailgate.harness.scenario.arrivals import Constant
from tailgate.harness.scenario.payloads.payload import Payload
from tailgate.harness.scenario.plan import draw_plan
from tailgate.harness.scenario.scenario import Phase, Scenario

DEPLOY = Path(__file__).parents[4] / "deploy"
PLAN = draw_plan(
    Scenario("s", "for tests", (Phase("steady", Constant(500.0), requests=101),), ()),
    [Payload("a", b"body", "text/plain", path="/a")],
    1,
)
KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: "{url}"}}}}]
contexts: [{{name: c, context: {{cluster: c, user: u}}}}]
users: [{{name: u, user: {{}}}}]
current-context: c
"""


def plugin(name):
    return create_plugin_manager([DEPLOY / name / "generators.py"], {"PERF_PLUGINS": ""})


async def job_of(kmock):
    """Wait for the one Job that is made."""
    while not kmock.objects:  # noqa: ASYNC110 - the emulated API has no event for it
        await asyncio.sleep(0.01)
    ((_, job),) = kmock.objects.items()
    return job.raw


def run_pods(job):
    """Do what a cluster does: run the command of a Job as often as it says; return the processes."""
    spec = job["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    told = {one["name"]: one["value"] for one in container["env"]}
    # What the image has on its path.
    found = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return [subprocess.Popen(container["command"], env=told | found) for _ in range(spec["parallelism"])]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.asyncio
async def test_the_exact_command_of_the_job_sends_the_load_and_the_job_is_deleted(
    kmock, tmp_path, monkeypatch
):
    config = tmp_path / "config"
    config.write_text(KUBECONFIG.format(url=str(kmock.url).rstrip("/")))
    monkeypatch.setenv("KUBECONFIG", str(config))
    generate = plugin("kubernetes").generate("kubernetes:2,an-image,127.0.0.1")

    def send():
        with (
            ScriptedServer({"/a": [OK]}) as server,
            generate(PLAN, LoadSettings("127.0.0.1", server.port), tmp_path / "slot") as generators,
        ):
            return generators.run_phase(0)

    sent = asyncio.create_task(asyncio.to_thread(send))
    pods = run_pods(await job_of(kmock))
    report = await sent
    assert [await asyncio.to_thread(pod.wait, 60.0) for pod in pods] == [0, 0]
    assert [part.requests for part in report.parts] == [51, 50]
    assert report.ok == 101
    ((_, job),) = kmock.objects.items()
    assert job.deleted
    kept = json.loads((tmp_path / "slot/job.json").read_text())
    assert kept["spec"]["completions"] == 2
    # The token is in nobody's results.
    assert kept["spec"]["template"]["spec"]["containers"][0]["env"] == []


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_an_api_that_is_not_there_is_an_error_that_says_so(tmp_path, monkeypatch):
    config = tmp_path / "config"
    config.write_text(KUBECONFIG.format(url="http://127.0.0.1:1"))
    monkeypatch.setenv("KUBECONFIG", str(config))
    generate = plugin("kubernetes").generate("kubernetes:2,an-image,127.0.0.1")
    with pytest.raises(Exception, match=r"kubectl create: .*127\.0\.0\.1:1"):
        generate(PLAN, LoadSettings("127.0.0.1", 1), tmp_path).__enter__()


def test_the_job_is_one_by_the_schema_of_kubernetes():
    made = load_file(DEPLOY / "kubernetes/generators.py")
    job = made.manifest("a-job", 8, "an-image:1", ["python", "-m", "x"], {"A": "b"})
    kubernetes_validate.validate(job, "1.34", strict=True)
    assert (job["spec"]["completionMode"], job["spec"]["completions"]) == ("Indexed", 8)


@pytest.mark.parametrize(
    "spec", ["2", "2,image", "0,image,host", "x,image,host", "2,image,host:70000", "2,image,-h;rm", "2,,host"]
)
def test_a_job_that_means_nothing_is_refused(spec):
    with pytest.raises(PluginError, match="expected kubernetes:N,IMAGE,HOST"):
        plugin("kubernetes").generate(f"kubernetes:{spec}")


@pytest.mark.parametrize("count", ["", "0", "x", "-1"])
def test_tasks_that_mean_nothing_are_refused(count):
    with pytest.raises(PluginError, match="expected ray:N"):
        plugin("ray").generate(f"ray:{count}")


def test_tasks_of_ray_send_the_load_and_end_with_it(tmp_path):
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        generate = plugin("ray").generate("ray:2")
        with (
            ScriptedServer({"/a": [OK]}) as server,
            generate(PLAN, LoadSettings("127.0.0.1", server.port), tmp_path) as generators,
        ):
            report = generators.run_phase(0)
        assert [part.requests for part in report.parts] == [51, 50]
    finally:
        ray.shutdown()
