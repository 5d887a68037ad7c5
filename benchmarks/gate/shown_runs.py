"""The runs that the pages show: the tutorial's gate, the slowdown that it finds, a comparison, and a stream.

    python -m benchmarks.gate.shown_runs [pass|fail|comparison|stream …]

Each is made as its page says, from the files that the page shows, and kept as ``benchmarks/results/shown/NAME.json``, in the format
of ``results.json``. All together take about six minutes. ``docs/measured.py`` writes them into the pages as the terminal shows them.
"""

import dataclasses
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import typer

from benchmarks.environments import ROOT
from benchmarks.record import RESULTS
from tailgate.harness.results import file as results_file

SHOWN = RESULTS / "shown"
TUTORIAL = ROOT / "docs" / "tutorials" / "first-gate.md"
SERVICES = ROOT / "examples" / "services"
FAST, SLOWER, SLOW = (f"time.sleep({seconds})" for seconds in (0.005, 0.008, 0.1))
NAMED = re.compile(r"^```\w+\n# ([\w./-]+\.\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMIT = (
    "git init -q && git add app.py test_perf.py pytest.ini budgets.toml && git commit -qm 'Score features'"
)
PATIENCE_S = 1_200


@dataclasses.dataclass(frozen=True, slots=True)
class Shown:
    """One run: the command as the page shows it, what the tutorial's service does, and the options that are not shown."""

    command: str
    sleeps: str = FAST
    first: str = ""  # what is run before, with the service as the tutorial has it
    options: str = ""


RUNS: Mapping[str, Shown] = MappingProxyType(
    {
        "pass": Shown("pytest -m perf"),
        "fail": Shown("pytest -m perf", SLOW),
        "comparison": Shown("tailgate compare HEAD", SLOWER, COMMIT),
        "stream": Shown(
            "pytest --pyargs tailgate.scenarios -m perf -v",
            options="--perf-scenario=steady --perf-profile=smoke --perf-readiness-path=/health --perf-request='POST /generate' "
            "--perf-target='command:{python} -m uvicorn sse_app:app --port {port} --log-level warning'",
        ),
    }
)


def shown_files(page: Path) -> dict[str, str]:
    """Return the files that a page shows, by name: such a block begins with the file's name in a comment."""
    return dict(NAMED.findall(page.read_text(encoding="utf-8")))


def make(shown: Shown, folder: Path) -> Path:
    """Run the command in a folder, and return where its results are."""
    files = shown_files(TUTORIAL)
    files["sse_app.py"] = (SERVICES / "sse_app.py").read_text(encoding="utf-8")
    files["budgets.toml"] += '"steady" = { rate = "20 /s", p95 = "1 s", p99 = "2 s", error_rate = 0.0 }\n'
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    if shown.first:
        _shell(shown.first, folder)
    app = folder / "app.py"
    app.write_text(app.read_text(encoding="utf-8").replace(FAST, shown.sleeps), encoding="utf-8")
    _shell(f"{shown.command} {shown.options} || true", folder)
    (results,) = folder.glob(f".perf/*/{results_file.RESULTS}")
    return results


def _shell(line: str, folder: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    author = {
        f"GIT_{who}_{what}": "tailgate" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    environment = {**os.environ, **author, "PATH": path}
    subprocess.run(["bash", "-ec", line], cwd=folder, env=environment, check=True, timeout=PATIENCE_S)


def keep(name: str, results: Path) -> None:
    """Keep the results of a run under its name; of a comparison without the phases of its blocks, which no line shows."""
    result = results_file.read(results)
    compared = any(one.comparison is not None for one in result.scenarios)
    slots = () if compared else result.slots
    kept = dataclasses.replace(result, command=RUNS[name].command, slots=slots)
    results_file.write(kept, SHOWN / f"{name}.json")


def main(names: Annotated[list[str] | None, typer.Argument(help="runs; default: all")] = None) -> None:
    """Make the runs."""
    for name in names or RUNS:
        with tempfile.TemporaryDirectory() as folder:
            keep(name, make(RUNS[name], Path(folder)))


if __name__ == "__main__":
    typer.run(main)
