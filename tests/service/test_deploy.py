"""What ``deploy/`` has: by the schemas of those who read it, and by the service's own declarations."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from serving import metric_samples, running

from tailgate.service.batching.pipeline import JOIN_TIMEOUT_S
from tailgate.service.http.app import create_app
from tailgate.service.settings import PREFIX, Settings, load_settings

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy/kubernetes"
CONTAINERFILE = (ROOT / "deploy/Containerfile").read_text()
PAGE = (ROOT / "docs/how-to/fleet.md").read_text()
FILES = sorted(KUBERNETES.rglob("*.yaml"))
VERSION = "1.34"

# Who may write which object: the module that has the schema of its definition, None where no package has one.
CUSTOM = {
    "ScaledObject": "cloudcoil.models.keda.v1alpha1",
    "PodMonitor": "cloudcoil.models.prometheus_operator.v1",
    "ServingRuntime": None,
    "InferenceService": None,
}
OF_KUSTOMIZE = {"Kustomization", "Component"}
# Until every proxy knows that a pod serves no more, and until a process has ended after its drain.
PROPAGATION_S, END_S = 5, 10


def objects(kinds=None):
    """Return the objects of all files, by their path."""
    found = {
        str(path.relative_to(KUBERNETES)): thing
        for path in FILES
        for thing in yaml.safe_load_all(path.read_text())
        if thing["kind"] not in OF_KUSTOMIZE
    }
    return {path: thing for path, thing in found.items() if kinds is None or thing["kind"] in kinds}


def one(kind):
    (found,) = objects({kind}).values()
    return found


def base_settings():
    lines = (KUBERNETES / "base/settings.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def kserve_settings():
    (container,) = one("ServingRuntime")["spec"]["containers"]
    return {each["name"]: each["value"] for each in container["env"]}


# Of each way to run it: the pod, its container, its variables.
RUNS = {
    "base": (
        one("Deployment")["spec"]["template"]["spec"],
        one("Deployment")["spec"]["template"]["spec"]["containers"][0],
        base_settings(),
    ),
    "kserve": (
        one("InferenceService")["spec"]["predictor"],
        one("ServingRuntime")["spec"]["containers"][0],
        kserve_settings(),
    ),
}
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
each_run = pytest.mark.parametrize(("pod", "container", "variables"), RUNS.values(), ids=RUNS)


# By the schemas of those who read it


def core():
    return {path: thing for path, thing in objects().items() if thing["kind"] not in CUSTOM}


@pytest.mark.parametrize("path", core())
def test_an_object_of_kubernetes_is_as_its_schema_says(path):
    kubernetes_validate.validate(core()[path], VERSION, strict=True)


@pytest.mark.parametrize("kind", [kind for kind, module in CUSTOM.items() if module])
def test_a_custom_object_is_as_its_own_definition_says(kind):
    model = getattr(pytest.importorskip(CUSTOM[kind]), kind)
    thing = one(kind)
    read = model.model_validate(thing).model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert read == thing  # a field that the definition does not have would be missing


def test_the_page_names_the_schemas_and_what_has_none():
    table = PAGE[PAGE.index("What was checked") : PAGE.index("None of it has run")]
    assert f"Kubernetes {VERSION}" in table
    for module in filter(None, CUSTOM.values()):
        package = ".".join(module.split(".")[:3]).replace(".", "-").replace("_", "-")
        assert f"`{package}`" in table
    without = {Path(path).parts[0] for path in objects({kind for kind, of in CUSTOM.items() if of is None})}
    assert without == {"kserve"}
    assert re.search(r"^\| `kserve` \|.* no schema", table, re.MULTILINE)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize(
    "components",
    [(), ("hpa", "podmonitor"), ("keda", "podmonitor"), ("cuda",), ("hpa", "podmonitor", "cuda")],
)
def test_base_and_components_come_together(tmp_path, components):
    shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    overlay = tmp_path / "overlay"
    overlay.mkdir()
    (overlay / "kustomization.yaml").write_text(
        yaml.safe_dump(
            {
                "apiVersion": "kustomize.config.k8s.io/v1beta1",
                "kind": "Kustomization",
                "resources": ["../kubernetes/base"],
                "components": [f"../kubernetes/components/{name}" for name in components],
            }
        )
    )
    done = subprocess.run(["kubectl", "kustomize", overlay], capture_output=True, text=True, check=True)
    made = {thing["kind"]: thing for thing in yaml.safe_load_all(done.stdout)}
    for kind, thing in made.items():
        if kind not in CUSTOM:
            kubernetes_validate.validate(thing, VERSION, strict=True)
    deployment = made["Deployment"]["spec"]
    scaled = {"hpa", "keda"} & set(components)
    assert ("replicas" in deployment) is not bool(scaled)
    (container,) = deployment["template"]["spec"]["containers"]
    assert container["envFrom"][0]["configMapRef"]["name"] == made["ConfigMap"]["metadata"]["name"]
    assert ("nvidia.com/gpu" in container["resources"]["limits"]) is ("cuda" in components)
    labels = deployment["template"]["metadata"]["labels"].items()
    for selector in (
        deployment["selector"]["matchLabels"],
        made["Service"]["spec"]["selector"],
        made["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        made["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector.items() <= labels
    assert len(made["NetworkPolicy"]["spec"]["ingress"][0]["from"]) == 2 + ("podmonitor" in components)


# By the service's own declarations


@each_run
def test_the_settings_are_settings_and_mean_what_is_there(pod, container, variables):
    settings = load_settings(variables)
    assert {name.removeprefix(PREFIX).lower() for name in variables} <= set(Settings.model_fields)
    assert [port["containerPort"] for port in container["ports"]] == [settings.port]
    assert settings.host == "0.0.0.0"


@each_run
def test_the_delay_covers_what_a_load_balancer_needs_and_the_grace_period_the_whole_stop(
    pod, container, variables
):
    settings, probe = load_settings(variables), container["readinessProbe"]
    unready_s = probe["periodSeconds"] * probe["failureThreshold"] + probe["timeoutSeconds"]
    assert settings.drain_delay_s >= unready_s + PROPAGATION_S
    grace_s = pod["terminationGracePeriodSeconds"]
    assert grace_s >= settings.drain_delay_s + settings.drain_timeout_s + END_S
    assert JOIN_TIMEOUT_S < END_S
    sum_s = f"{probe['periodSeconds']} s × {probe['failureThreshold']} + {probe['timeoutSeconds']} s + {PROPAGATION_S} s"
    assert f"{sum_s} = {unready_s + PROPAGATION_S} s, set to {settings.drain_delay_s:g} s |" in PAGE
    whole = f"{settings.drain_delay_s:g} s + {settings.drain_timeout_s:g} s + {END_S} s = {grace_s} s |"
    assert whole in PAGE


@each_run
def test_the_probes_ask_pages_of_the_service_in_time(pod, container, variables):
    paths = {route.path for route in create_app(load_settings({})).routes}
    for name in PROBES:
        assert container[name]["httpGet"]["path"] in paths
        assert container[name]["timeoutSeconds"] <= container[name]["periodSeconds"]
    # A start may take minutes, and the watchdog says itself when a batch does not end.
    startup = container["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 300
    assert [container[name]["httpGet"]["path"] for name in PROBES] == [
        "/health/ready",
        "/health/ready",
        "/health/live",
    ]


@each_run
def test_nothing_runs_as_root_or_writes_to_its_image(pod, container, variables):
    of_pod = pod.get("securityContext", {})
    of_container = of_pod | container["securityContext"]
    user = re.search(r"^USER (\d+):(\d+)$", CONTAINERFILE, re.MULTILINE)
    assert of_container["runAsNonRoot"]
    assert of_container["runAsUser"] == int(user[1]) > 0
    assert of_container["readOnlyRootFilesystem"]
    assert not of_container["allowPrivilegeEscalation"]
    assert of_container["capabilities"] == {"drop": ["ALL"]}
    assert of_container["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp"]


@pytest.mark.asyncio
async def test_what_autoscalers_go_by_is_what_the_service_says():
    async with running() as server:
        said = {name for name, _ in metric_samples((await server.client.get("/metrics")).text)}
    scaler, keda = one("HorizontalPodAutoscaler")["spec"], one("ScaledObject")["spec"]
    (metric,) = scaler["metrics"]
    (trigger,) = keda["triggers"]
    asked = re.findall(r"tailgate_\w+", trigger["metadata"]["query"])
    assert [metric["pods"]["metric"]["name"]] == asked == ["tailgate_desired_replicas"]
    assert set(asked) <= said
    assert metric["pods"]["target"]["averageValue"] == trigger["metadata"]["threshold"] == "1"
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (
        keda["minReplicaCount"],
        keda["maxReplicaCount"],
    )
    assert one("PodMonitor")["spec"]["podMetricsEndpoints"][0]["path"] == "/metrics"


# The image


def steps(name):
    joined = re.sub(r"\\\n\s*", "", CONTAINERFILE)
    return re.findall(rf"^{name} (.*)$", joined, re.MULTILINE)


def test_the_image_is_made_of_files_that_are_there_and_not_ignored():
    taken = [name for line in steps("COPY") if not line.startswith("--from") for name in line.split()[:-1]]
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert [name for name in taken if not (ROOT / name).exists()] == []
    assert {line.removeprefix("!") for line in ignored if line.startswith("!")} == set(taken)
    assert "*" in ignored


def test_the_image_starts_the_service_with_its_settings_and_asks_whether_it_is_ready():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert steps("ENTRYPOINT") == ['["tailgate", "serve"]']
    assert "tailgate" in project["scripts"]
    (environment,) = steps("ENV")
    variables = dict(word.split("=", 1) for word in environment.split() if word.startswith(PREFIX))
    settings = load_settings(variables)
    assert (settings.host, settings.log_format) == ("0.0.0.0", "json")
    assert {name.removeprefix(PREFIX).lower() for name in variables} <= set(Settings.model_fields)
    assert steps("EXPOSE") == [str(settings.port)]
    (health,) = steps("HEALTHCHECK")
    assert f"http://127.0.0.1:{settings.port}/health/ready" in health
    arguments = dict(each.split("=", 1) for each in steps("ARG"))
    assert set(arguments["EXTRAS"].split(",")) <= set(project["optional-dependencies"])
    assert f"Programming Language :: Python :: {arguments['PYTHON']}" in project["classifiers"]
