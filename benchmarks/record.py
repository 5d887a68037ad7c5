"""The results of a benchmark as a JSON file, with the machine, the revision and the versions."""

import re
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from benchmarks.environments import ROOT
from tailgate.harness.observe import machine
from tailgate.harness.results.file import to_json

FORMAT = 1
RESULTS = ROOT / "benchmarks" / "results"
VERSIONS = ("torch", "torchvision", "numpy", "fastapi", "uvicorn", "uvloop", "httptools")

Json = Annotated[Path, typer.Option("--json", help="where the results go")]


class Record:
    """A results file, written again after every step: a run that is cut off keeps its results so far."""

    def __init__(self, benchmark: str, settings: Mapping[str, Any], path: Path) -> None:
        self.path = path
        self._before = machine.read()
        self._head: dict[str, Any] = {
            "benchmark": benchmark,
            "format": FORMAT,
            "command": _command(),
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "revision": _revision(),
            "machine": asdict(machine.fingerprint()),
            "versions": {name: metadata.version(name) for name in VERSIONS},
            "settings": dict(settings),
        }

    def write(self, results: Mapping[str, Any]) -> None:
        """Write the results so far, and what the machine did meanwhile."""
        meanwhile = asdict(machine.difference(self._before, machine.read()))
        del meanwhile["process_cpu_s"]
        document = self._head | {"meanwhile": meanwhile, **results}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(orjson.dumps(_rounded(to_json(document)), option=orjson.OPT_INDENT_2) + b"\n")


def _rounded(value: Any) -> Any:
    """Return JSON values with six significant digits: more were never measured."""
    match value:
        case float():
            return float(f"{value:.6g}")
        case dict():
            return {name: _rounded(one) for name, one in value.items()}
        case list():
            return [_rounded(one) for one in value]
    return value


def _command() -> str:
    """Return the command line of this process, without the folders of this machine."""
    return re.sub(r"(?<!\S)(\S*=)?/\S*/", r"\1…/", shlex.join(["python", *sys.orig_argv[1:]]))


def _revision() -> str | None:
    command = ["git", "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
