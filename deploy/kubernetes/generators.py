"""Generators in a cluster: ``kubernetes:N,IMAGE,HOST[:PORT][,NAMESPACE]`` is an Indexed Job of N pods.

    tailgate run http://tailgate.default.svc --perf-plugin=generators.py --generators=kubernetes:8,tailgate:latest,10.0.0.5

``kubectl`` makes the Job and deletes it, with the credentials that it has. The pods run the worker of an image that has
tailgate, and connect to the harness at HOST, which must be an address of the machine that runs it; without PORT the system
chooses one. The stream to a pod is not encrypted: it has the headers of the requests.
"""

import contextlib
import json
import re
import secrets
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tailgate import GeneratorEngine, GeneratorWorker, HarnessError, UsageError, hookimpl, open_door

KIND = "kubernetes:"
# For the scheduler, and for a node that has to pull the image first.
PODS_READY_S = 300.0
# Of a Job whose harness was killed.
KEPT_S = 60
SPEC = re.compile(
    r"(?P<count>[1-9][0-9]{0,3}),(?P<image>[^,\s]+),(?P<host>[\w.-]+)(:(?P<port>[0-9]{1,5}))?(,(?P<namespace>[a-z0-9-]+))?"
)


def manifest(
    name: str, count: int, image: str, command: Sequence[str], environment: dict[str, str]
) -> dict[str, Any]:
    """Return the Job: one pod per generator, spread over the nodes, none of them tried twice."""
    labels = {"app.kubernetes.io/name": "tailgate-generators", "app.kubernetes.io/instance": name}
    container = {
        "name": "generator",
        "image": image,
        "command": list(command),
        "env": [{"name": key, "value": value} for key, value in environment.items()],
        "resources": {"requests": {"cpu": "1", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    pod = {
        "restartPolicy": "Never",
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "runAsGroup": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": labels},
            }
        ],
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "completionMode": "Indexed",
            "completions": count,
            "parallelism": count,
            # A generator that is lost voids the run: nobody may take its place.
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": KEPT_S,
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


@dataclass(frozen=True, slots=True)
class KubernetesEngine:
    """Generators that are the pods of an Indexed Job."""

    spec: str
    count: int
    image: str
    host: str
    port: int
    namespace: str

    @contextlib.contextmanager
    def start(self, directory: Path) -> Iterator[Sequence[GeneratorWorker]]:
        """Make the Job and wait for its pods; leaving deletes it. The Job is written into ``directory`` without the token."""
        name = f"tailgate-generators-{secrets.token_hex(4)}"
        path = f"/apis/batch/v1/namespaces/{self.namespace}/jobs"
        # On all addresses: a pod's way to HOST may be translated.
        with open_door("0.0.0.0", self.port, self.host) as door, contextlib.ExitStack() as stack:
            command = ("python", "-m", "tailgate.harness.load.worker", door.address)
            kept = manifest(name, self.count, self.image, command, {})
            (directory / "job.json").write_text(json.dumps(kept, indent=2))
            job = manifest(name, self.count, self.image, command, dict(door.environment))
            delete = ["delete", "--raw", f"{path}/{name}?propagationPolicy=Background"]
            try:
                _kubectl(["create", "--raw", path, "-f", "-"], json.dumps(job))
            except BaseException:
                # An interruption may come when it is made already; else there is nothing to delete.
                with contextlib.suppress(HarnessError):
                    _kubectl(delete)
                raise
            stack.callback(_kubectl, delete)
            workers = door.accept(self.count, PODS_READY_S)
            for worker in workers:
                stack.callback(worker.link.close)
            yield workers


def _kubectl(arguments: Sequence[str], said: str | None = None) -> None:
    try:
        done = subprocess.run(
            ["kubectl", *arguments], input=said, capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HarnessError(f"kubectl {arguments[0]}: {error}") from error
    if done.returncode:
        raise HarnessError(f"kubectl {arguments[0]}: {done.stderr.strip() or done.stdout.strip()}")


@hookimpl
def tailgate_generators(spec: str) -> GeneratorEngine | None:
    """Know ``kubernetes:N,IMAGE,HOST[:PORT][,NAMESPACE]``."""
    if not spec.startswith(KIND):
        return None
    found = SPEC.fullmatch(spec.removeprefix(KIND))
    if found is None or int(found["port"] or 0) > 65_535:
        raise UsageError(
            f"generators {spec!r}: expected kubernetes:N,IMAGE,HOST[:PORT][,NAMESPACE], such as "
            "kubernetes:8,tailgate:latest,10.0.0.5, where HOST is an address of this machine that pods reach"
        )
    return KubernetesEngine(
        spec,
        int(found["count"]),
        found["image"],
        found["host"],
        int(found["port"] or 0),
        found["namespace"] or "default",
    )
