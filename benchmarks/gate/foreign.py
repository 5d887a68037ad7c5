"""Services of others, each gated by one command: that of its program in ``examples/services``.

    python -m benchmarks.gate.foreign [NAME …]

It installs what each service needs into an environment of its own, runs the command, and keeps what it printed with its wall time
in ``benchmarks/results/foreign.md``.
"""

import ast
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.environments import ROOT, AbsentError, alone, python_for
from benchmarks.record import RESULTS

SERVICES = ROOT / "examples" / "services"
REQUIREMENTS = {
    "fastapi_app": ("fastapi", "uvicorn", "prometheus-fastapi-instrumentator"),
    "wsgi_app": ("pip",),
    "sse_app": ("fastapi", "uvicorn"),
    "litserve_app": ("litserve==0.2.19",),
    "mosec_app": ("mosec==0.9.8",),
    "bentoml_app": ("bentoml==1.4.39",),
}
PATIENCE_S = 600


def command_of(program: Path) -> str:
    """Return the command line, for a shell, that gates a service: the indented part of its docstring."""
    told = ast.get_docstring(ast.parse(program.read_text(encoding="utf-8"))) or ""
    return textwrap.dedent(told.split("\n\n")[1])


def gate(name: str, output: Path, *options: str) -> tuple[int, str, float]:
    """Gate a service; return the command's exit status, what it printed, and the seconds that it took.

    Raises:
        AbsentError: what it needs cannot be installed.
    """
    program = SERVICES / f"{name}.py"
    theirs = python_for(f"foreign-{name}", REQUIREMENTS[name]).parent
    ours = Path(sys.executable).parent
    line = command_of(program)
    # The server's programs are theirs, and pytest, which they have not, is ours.
    path = os.pathsep.join([str(theirs), str(ours), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "COLUMNS": "120"}
    began_s = time.monotonic()
    done = subprocess.run(
        ["bash", "-c", " ".join([line, f"--perf-output={output}", "-p no:cacheprovider", *options])],
        cwd=SERVICES,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    seconds = time.monotonic() - began_s
    told = f"{done.stdout}{done.stderr}".strip().replace(f"{ROOT}/", "")
    return done.returncode, told, seconds


def main(
    names: Annotated[list[str] | None, typer.Argument(help=f"of {', '.join(REQUIREMENTS)}; all")] = None,
    profile: Annotated[str, typer.Option(help="how much evidence is gathered")] = "default",
) -> None:
    """Gate services of others, each by the one command of its program."""
    parts = ["# Services of others, each gated by one command\n"]
    with alone():
        for name in names or REQUIREMENTS:
            try:
                status, told, seconds = gate(name, ROOT / ".bench" / "foreign", f"--perf-profile={profile}")
            except AbsentError as error:
                print(f"{name}: {error}")
                continue
            print(f"{name}: status {status} after {seconds:.0f} s\n{told}", flush=True)
            parts.append(
                f"## {name}\n\n```\n$ {command_of(SERVICES / f'{name}.py')}\n{told}\n```\n\n"
                f"Status {status} after {seconds:.0f} s.\n"
            )
    (RESULTS / "foreign.md").write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
