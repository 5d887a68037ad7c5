"""Find the facts out. PyTorch is imported by nobody here: its files say its version, and a process of its own tries it."""

import contextlib
import dataclasses
import importlib.util
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import httpx
import psutil
from packaging.requirements import Requirement

from tailgate.harness.doctor.facts import Disk, Facts, Gpu, Package, Trial
from tailgate.harness.load.settings import DESCRIPTORS_BESIDE, LoadSettings
from tailgate.harness.observe import machine
from tailgate.harness.results import folder

LOCALHOST = "127.0.0.1"
STEAL_SEEN_S = 1.0
TRIAL_TIMEOUT_S = 120.0
ASKING_TIMEOUT_S = 2.0
SYNCED_BYTES = 1 << 16
# One such process serves the whole of a run.
OF_A_RUN = "tailgate.harness.observe.yardstick"
TRIAL = """
import torch, torchvision
torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
print(torch.cuda.is_available())
"""


def find_facts(
    results: Path, missing: Iterable[str], environment: Mapping[str, str], *, torch: bool
) -> Facts:
    """Return the facts; ``missing`` are modules that the service needs, and ``torch`` tries PyTorch, which takes seconds."""
    before = machine.read()
    port = _port(environment)
    served = _served(port)
    packages, outside = _packages()
    trial = _try_torch() if torch and "torch" in packages else None
    found = Facts(
        packages=packages,
        missing=tuple(missing),
        outside=outside,
        torch_cuda=torch_cuda(_torch_version_file()),
        trial=trial,
        compiler=shutil.which(environment.get("CXX") or "g++"),
        gpu=Gpu(machine.cuda_devices(), machine.cuda_version(), any(Path("/dev").glob("nvidia[0-9]*"))),
        processors=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        quota=cpu_quota(),
        load_1min=before.load_1min,
        steal_share=None,
        memory_available_bytes=psutil.virtual_memory().available,
        disk=_disk(results),
        files=resource.getrlimit(resource.RLIMIT_NOFILE),
        files_needed=LoadSettings(LOCALHOST, 1).connections_max + DESCRIPTORS_BESIDE,
        loopback_error=_listening(0),
        port=port,
        port_taken=bool(_listening(port)),
        served=served,
        run_here=folder.in_use(results),
        runs=tuple(_runs()),
        device_asked=environment.get("TAILGATE_DEVICE", ""),
    )
    time.sleep(max(0.0, STEAL_SEEN_S - (time.monotonic() - before.time_s)))
    return dataclasses.replace(found, steal_share=machine.difference(before, machine.read()).steal_share)


def _packages() -> tuple[dict[str, Package], tuple[str, ...]]:
    """Return what is installed of the extra "service", and what of it tailgate does not take."""
    try:
        wanted = [Requirement(text) for text in metadata.requires("tailgate") or ()]
    except metadata.PackageNotFoundError:  # on the path, and installed nowhere
        return {}, ()
    wanted = [one for one in wanted if one.marker is not None and one.marker.evaluate({"extra": "service"})]
    found, outside = {}, []
    for one in wanted:
        with contextlib.suppress(metadata.PackageNotFoundError):
            installed = metadata.distribution(one.name)
            found[one.name] = Package(installed.version, tuple(installed.requires or ()))
            if not one.specifier.contains(installed.version, prereleases=True):
                outside.append(f"{one.name} {installed.version}, needs {one.specifier}")
    return found, tuple(outside)


def _torch_version_file() -> str:
    spec = importlib.util.find_spec("torch")
    places = () if spec is None else spec.submodule_search_locations or ()
    for place in places:
        with contextlib.suppress(OSError):
            return Path(place, "version.py").read_text(encoding="utf-8")
    return ""


def torch_cuda(version_file: str) -> tuple[int, int] | None:
    """Return the CUDA that PyTorch was built for, by its own ``version.py``; None for a build without."""
    built = re.search(r"^cuda\b[^=]*= *['\"](\d+)\.(\d+)", version_file, re.MULTILINE)
    return None if built is None else (int(built[1]), int(built[2]))


def cpu_quota(group: Path = Path("/sys/fs/cgroup")) -> float | None:
    """Return how many processors the control group allows, as a container sees its own; None for no limit."""
    with contextlib.suppress(OSError, ValueError):
        quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
        return int(quota) / int(period)
    return None


def _try_torch() -> Trial:
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", TRIAL],
            capture_output=True,
            text=True,
            timeout=TRIAL_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Trial(f"no answer within {TRIAL_TIMEOUT_S:g} s", None)
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:]
        return Trial(last[0] if last else f"the process ended with status {done.returncode}", None)
    return Trial("", done.stdout.strip().endswith("True"))


def _disk(results: Path) -> Disk:
    """Write a little where results go, or would go, and take it away again."""
    there = next(place for place in (results, *results.absolute().parents) if place.is_dir())
    probe = there / f".tailgate-doctor-{os.getpid()}"
    try:
        started_s = time.monotonic()
        with probe.open("wb") as file:
            file.write(bytes(SYNCED_BYTES))
            file.flush()
            os.fsync(file.fileno())
        return Disk(results, "", time.monotonic() - started_s, shutil.disk_usage(there).free)
    except OSError as error:
        return Disk(results, error.strerror or str(error), None, None)
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()


def _port(environment: Mapping[str, str]) -> int:
    said = environment.get("TAILGATE_PORT", "")
    return int(said) if said.isdecimal() and 0 < int(said) < 65_536 else 8000


def _listening(port: int) -> str:
    """Return why nobody could listen on a port of this machine; empty where somebody could."""
    try:
        with socket.create_server((LOCALHOST, port)):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def _served(port: int) -> Mapping[str, Any] | None:
    """Return what tailgate's service says of itself on a port; None where nobody answers so."""
    try:
        answer = httpx.get(
            f"http://{LOCALHOST}:{port}/",
            headers={"Accept": "application/json"},
            timeout=ASKING_TIMEOUT_S,
            trust_env=False,
        )
        said = answer.json()
    except (httpx.HTTPError, ValueError):
        return None
    return said if isinstance(said, dict) and said.get("name") == "tailgate" else None


def _runs() -> Iterator[str]:
    for process in psutil.process_iter(["pid", "cmdline", "cwd"]):
        if OF_A_RUN in (process.info["cmdline"] or ()):
            yield f"process {process.info['pid']} in {process.info['cwd'] or 'an unknown folder'}"
