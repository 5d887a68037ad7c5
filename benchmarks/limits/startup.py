"""What a start costs, until ``/health/ready`` answers 200: processor time, wall time and modules, beside another revision.

    python -m benchmarks.limits.startup [--base REVISION] [--rounds 5] [--cold] [--json FILE]

Each round starts both revisions once for each model, in a random order. Processor time is the judge: wall time depends on what
else the machine does. ``--cold`` first drops Python's, PyTorch's and the service's files from the kernel's cache, which needs no
rights. Files that another process has mapped stay: end other programs that use PyTorch, and see what the run says of the share
that stayed. The steps are those of one more start in a fresh interpreter, in which the event loop and the thread that builds take no
turns. No start can be cheaper than Python and ``import torch``, which stand among the steps.
"""

import os
import random
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import orjson
import psutil
import torch
import typer
from rich.console import Console
from rich.table import Table

from benchmarks import record, targets
from benchmarks.environments import ROOT
from benchmarks.serving.client import Rounds
from benchmarks.spread import figure, ratio, spread
from benchmarks.targets import Sense, Target
from benchmarks.workloads import Workload, mobilenet, mobilenet_best, photo
from tailgate.harness.target.checkout.revision import add_worktree, find_revision, remove_worktree
from tailgate.harness.target.launching.launch import Launch
from tailgate.harness.target.launching.process import ServerProcess
from tailgate.service.settings import load_settings

BASE, HEAD = "base", "head"
MODELS = {"small, eager": mobilenet, "small, compiled": mobilenet_best, "demo, eager": photo}
SHARE = 0.5  # of the base's, at most
# Runs in either revision: only names that both have. Prints for each step its processor seconds and how many modules there are.
STEPS = """
import json, os, resource, sys
sys.stdout, out = sys.stderr, sys.stdout
steps = []
def spent_s():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
def note(what, since_s):
    steps.append([what, spent_s() - since_s, len(sys.modules)])
def timed(module, name):
    function = getattr(module, name)
    def call(*arguments, **named):
        since_s = spent_s()
        try:
            return function(*arguments, **named)
        finally:
            note(name, since_s)
    setattr(module, name, call)
note("python", 0.0)
since_s = spent_s()
import tailgate.service.http.server
note("import the server", since_s)
since_s = spent_s()
import torch
note("import torch", since_s)
since_s = spent_s()
from tailgate.service.execution import build
from tailgate.service.settings import load_settings
note("import the engine", since_s)
# Its folder differs between revisions.
selection = next(module for name, module in sys.modules.items() if name.endswith(".selection"))
for module, names in ((build, ("load_model", "reference_answers", "fold_batch_norm")), (selection, ("_library", "trial_of", "measure"))):
    for name in names:
        timed(module, name)
since_s = spent_s()
build.build_engine(load_settings(os.environ))
note("build_engine, all of it", since_s)
print(json.dumps(steps), file=out, flush=True)
os._exit(0)
"""


@contextmanager
def checkout(name: str) -> Iterator[Path]:
    """Yield a folder with a revision of this project."""
    revision = find_revision(ROOT, name)
    if revision is None:
        raise typer.BadParameter(f"there is no revision {name!r}", param_hint="--base")
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory) / "base"
        add_worktree(ROOT, revision, folder)
        try:
            yield folder
        finally:
            remove_worktree(ROOT, folder)


def environment_of(workload: Workload) -> dict[str, str]:
    """Return the settings of a model."""
    return {**workload.environment, **workload.tailgate_environment}


def cached_folders(side: Path) -> list[Path]:
    """Return where a start reads its files: the service, installed packages, Python, compiled models."""
    packages = Path(torch.__file__).parents[1]
    compiled = load_settings({}).cache_dir
    folders = [side / "service", packages, Path(sysconfig.get_path("stdlib"))]
    return folders if compiled is None else [*folders, compiled]


def drop_from_cache(folders: Sequence[Path]) -> float:
    """Ask the kernel to forget the files of folders; return the share of PyTorch's libraries that it keeps."""
    os.sync()  # what is not written yet is not forgotten
    for path in (path for folder in folders for path in folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    libraries = Path(torch.__file__).with_name("lib").glob("*.so*")
    return statistics.fmean(cached for library in libraries for cached in cached_pages(library))


def cached_pages(path: Path) -> Iterator[bool]:
    """Tell for the first page of each MiB of a file whether it can be read without waiting for the disk."""
    with path.open("rb") as file:
        for offset in range(0, path.stat().st_size, 2**20):
            try:
                yield os.preadv(file.fileno(), [bytearray(1)], offset, os.RWF_NOWAIT) == 1
            except BlockingIOError:
                yield False


def start_once(folder: Path, workload: Workload) -> dict[str, float]:
    """Start a server, and return what it has used when it is ready."""
    command = (sys.executable, "-m", "tailgate.service", "--fd", "{fd}")
    with tempfile.TemporaryDirectory() as logs:
        launch = Launch(command, environment_of(workload), directory=folder)
        server = ServerProcess(launch, Path(logs) / "log")
        began_s = time.perf_counter()
        with server:
            wall_s = time.perf_counter() - began_s
            assert server.pid is not None
            process = psutil.Process(server.pid)
            used = process.cpu_times()
            read = process.io_counters().read_bytes
        return {"wall_s": wall_s, "cpu_s": used.user + used.system, "read_mb": read / 1e6}


def steps_of(folder: Path, workload: Workload) -> list[list[Any]]:
    """Return the steps of a start: name, processor seconds, modules by its end."""
    environment = {**os.environ, **environment_of(workload)}
    done = subprocess.run(
        [sys.executable, "-c", STEPS], cwd=folder, env=environment, check=True, capture_output=True
    )
    steps: list[list[Any]] = orjson.loads(done.stdout)
    return steps


def prepare(folder: Path, workload: Workload) -> None:
    """Compile the model where it is to be compiled, and start once: a checkout has no bytecode."""
    if workload.compile_ahead:
        command = [sys.executable, "-m", "tailgate.service.compile"]
        environment = {**os.environ, **environment_of(workload)}
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    start_once(folder, workload)


def measure(
    folders: Mapping[str, Path], rounds: int, *, cold: bool
) -> dict[str, dict[str, list[dict[str, float]]]]:
    """Return what each start has used, by model and side."""
    kept = []
    found = {model: {side: list[dict[str, float]]() for side in folders} for model in MODELS}
    order = random.Random(0)
    for number in range(rounds):
        for model, workload in MODELS.items():
            for side in order.sample(sorted(folders), len(folders)):
                if cold:
                    kept.append(drop_from_cache(cached_folders(folders[side])))
                found[model][side].append(start_once(folders[side], workload()))
        print(f"startup: round {number + 1} of {rounds} done", flush=True)
    if cold:
        print(f"startup: up to {max(kept):.0%} of PyTorch's libraries stayed in the kernel's cache")
    return found


def judge(found: Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]]) -> list[Target]:
    """Return head's share of the base's use."""
    return [
        Target(
            f"{model}: {what} over the base's",
            Sense.AT_MOST,
            SHARE,
            ratio(*(values(sides[side], key) for side in (HEAD, BASE))),
        )
        for model, sides in found.items()
        for key, what in (("cpu_s", "processor time"), ("wall_s", "wall time"))
    ]


def values(starts: Sequence[Mapping[str, float]], key: str) -> list[float]:
    """Return one figure of all starts."""
    return [start[key] for start in starts]


def figures_table(found: Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]]) -> Table:
    """Return what starts used, for a terminal."""
    shown = Table(title="until ready: median (least to most)")
    for heading in ("model", "side", "processor s", "wall s", "read from disk, MB"):
        shown.add_column(heading)
    for model, sides in found.items():
        for side, starts in sides.items():
            cells = (str(spread(values(starts, key))) for key in ("cpu_s", "wall_s", "read_mb"))
            shown.add_row(model, side, *cells)
    return shown


def steps_table(steps: Mapping[str, Mapping[str, Sequence[Sequence[Any]]]]) -> Table:
    """Return the steps of one start, for a terminal."""
    shown = Table(title="one start by steps: processor seconds, and modules by the end of the step")
    for heading in (
        "model",
        "step",
        *(f"{side} {what}" for side in (BASE, HEAD) for what in ("s", "modules")),
    ):
        shown.add_column(heading, justify="left" if heading in ("model", "step") else "right")
    for model, sides in steps.items():
        by_name = {
            side: {name: (seconds, modules) for name, seconds, modules in each}
            for side, each in sides.items()
        }
        for name in by_name[HEAD]:
            cells = [by_name[side].get(name) for side in (BASE, HEAD) if side in by_name]
            texts = [
                text
                for cell in cells
                for text in (("", "") if cell is None else (figure(cell[0]), f"{cell[1]:,}"))
            ]
            shown.add_row(model, name, *texts)
    return shown


def main(
    base: Annotated[
        str, typer.Option(help="the revision beside which the working tree is measured")
    ] = "HEAD",
    rounds: Rounds = 5,
    cold: Annotated[  # noqa: FBT002 - an option
        bool, typer.Option("--cold", help="drop files from the kernel's cache before each start")
    ] = False,
    json: record.Json = record.RESULTS / "startup.json",
) -> None:
    """Measure starts of the working tree beside a revision's."""
    document = record.Record("startup", {"base": base, "rounds": rounds, "cold": cold}, json)
    with checkout(base) as folder:
        folders = {BASE: folder, HEAD: ROOT}
        for workload in MODELS.values():
            for each in folders.values():
                prepare(each, workload())
        found = measure(folders, rounds, cold=cold)
        judged = judge(found)
        document.write({"targets": targets.rows(judged), "starts": found})
        steps = {
            model: {side: steps_of(each, workload()) for side, each in folders.items()}
            for model, workload in MODELS.items()
        }
    document.write({"targets": targets.rows(judged), "starts": found, "steps": steps})
    console = Console(width=120)
    for shown in (targets.table(judged), figures_table(found), steps_table(steps)):
        console.print(shown)
    print(f"written: {json}")


if __name__ == "__main__":
    typer.run(main)
