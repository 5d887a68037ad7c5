"""Everything that needs a GPU, in one command of at most nine minutes: the tests, the answers by precision, the throughput.

    python -m benchmarks.limits.gpu [--into FOLDER] [--minutes 9]

For a machine that is lent for a short time. Each step has a time of its own, and the next one begins whatever became of it.
The folder gets the log of each step and its JSON. The exit status is 1 where a step has failed or was cut off.
"""

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.environments import CACHE, ROOT

Into = Annotated[Path, typer.Option(help="Folder for logs and JSON.")]
Minutes = Annotated[float, typer.Option(help="No step runs beyond this.", min=0.1)]


@dataclass(frozen=True, slots=True)
class Step:
    """One command, and the seconds after which it is ended."""

    name: str
    arguments: Sequence[str]  # of Python; ``{into}`` stands for the folder
    limit_s: float


STEPS = (
    Step("tests", ("-m", "pytest", "-q", "-m", "cuda", "tests/service/execution"), 180),
    Step(
        "cuda",
        ("-m", "benchmarks.limits.cuda", "--rounds", "3", "--seconds", "4", "--json", "{into}/cuda.json"),
        240,
    ),
    Step("precision", ("-m", "benchmarks.limits.precision", "--json", "{into}/precision-cuda.json"), 120),
)


def run(step: Step, into: Path, left_s: float) -> str:
    """Run a step with its log in the folder; return what became of it."""
    arguments = [argument.format(into=into) for argument in step.arguments]
    with (into / f"{step.name}.log").open("wb") as log:
        try:
            done = subprocess.run(
                [sys.executable, *arguments],
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=min(step.limit_s, left_s),
                check=False,
            )
        except subprocess.TimeoutExpired:
            return "cut off"
    return "done" if done.returncode == 0 else f"failed with status {done.returncode}"


def run_all(steps: Sequence[Step], into: Path, limit_s: float) -> dict[str, str]:
    """Run the steps one after the other; return what became of each."""
    end_s = time.monotonic() + limit_s
    outcomes = {}
    for step in steps:
        left_s = end_s - time.monotonic()
        outcomes[step.name] = run(step, into, left_s) if left_s > 0 else "not begun"
        print(f"{step.name}: {outcomes[step.name]}, {into / step.name}.log", flush=True)
    return outcomes


def main(into: Into = CACHE / "gpu", minutes: Minutes = 9.0) -> None:
    """Run all that needs a GPU."""
    into = into.resolve()
    into.mkdir(parents=True, exist_ok=True)
    outcomes = run_all(STEPS, into, minutes * 60)
    if set(outcomes.values()) != {"done"}:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
