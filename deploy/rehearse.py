"""Run the steps of the Containerfile where there is no container runtime, as far as that goes, and then the image itself.

    sudo unshare --mount python deploy/rehearse.py [--base-python /usr/bin/python3] [--build-arg NAME=VALUE]...

Each stage is an overlay over this machine's own root, which stands for the base image; nothing of it is changed. The last
stage is started as the image would be: read-only but for /tmp, as its own user, without capabilities. It has to become healthy,
to answer, and to end with status 0 after SIGTERM. Ports, limits and the network are those of the machine.
"""

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
PATIENCE_S = 300


def instructions(text: str) -> list[tuple[str, str]]:
    """Return names and values of a Containerfile's instructions."""
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    joined = re.sub(r"\\\n\s*", "", lines)
    return [tuple(line.split(" ", 1)) for line in joined.splitlines() if line.strip()]  # type: ignore[misc]


def run(*command: str | Path) -> None:
    """Run a command of this machine."""
    subprocess.run([str(word) for word in command], check=True)


class Stage:
    """One stage, and what its instructions have set so far."""

    def __init__(self, folder: Path, base_python: str) -> None:
        self.root, self.folder, self.user, self.entry, self.health = folder / "root", "/", "0:0", [], []
        self.environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/root"}
        passed = ("PIP_", "UV_", "SSL_", "HTTP", "http", "no_", "NO_")
        self.environment |= {name: value for name, value in os.environ.items() if name.startswith(passed)}
        for name in ("upper", "work", "root"):
            (folder / name).mkdir(parents=True)
        options = f"lowerdir=/,upperdir={folder / 'upper'},workdir={folder / 'work'}"
        run("mount", "-t", "overlay", "overlay", "-o", options, self.root)
        for name in ("proc", "dev", "sys"):
            run("mount", "--rbind", f"/{name}", self.root / name)
        # What the base image has under these names.
        binaries = self.root / "usr/local/bin"
        for name, target in {"python": base_python, "python3": base_python}.items():
            (binaries / name).unlink(missing_ok=True)
            (binaries / name).symlink_to(target)
        (binaries / "pip").unlink(missing_ok=True)
        (binaries / "pip").write_text('#!/bin/sh\nexec python -m pip "$@" --break-system-packages\n')
        (binaries / "pip").chmod(0o755)

    def chrooted(self, command: list[str]) -> list[str]:
        """Return the command line that runs a command in the stage, as its user and without capabilities where that is not root."""
        user, _, group = self.user.partition(":")
        confined = ["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"] if user != "0" else []
        inside = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", *confined]
        words = [f"{name}={value}" for name, value in self.environment.items()]
        # env -C: chroot itself goes to the root of the stage.
        return ["chroot", str(self.root), *inside, "env", "-i", *words, "env", "-C", self.folder, *command]

    def copy(self, value: str, stages: dict[str, "Stage"]) -> None:
        """Copy files of the checkout, or of an earlier stage."""
        *sources, target = shlex.split(value)
        origin = ROOT
        if sources[0].startswith("--from="):
            origin = stages[sources.pop(0).removeprefix("--from=")].root
        place = self.root / str(Path(self.folder) / target).lstrip("/")
        for source in sources:
            found = origin / source.lstrip("/")
            if found.is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(found, place, symlinks=True, dirs_exist_ok=True, ignore=ignored)
            else:
                shutil.copy(found, place / found.name if place.is_dir() else place)


def build(arguments: dict[str, str], base_python: str, folder: Path) -> Stage:
    """Run all instructions; return the last stage."""
    stages: dict[str, Stage] = {}
    known: dict[str, str] = {}
    for name, value in instructions((ROOT / "deploy/Containerfile").read_text("utf-8")):
        print(f"{name} {value}", flush=True)
        if name == "ARG":
            key, _, default = value.partition("=")
            known[key] = arguments.get(key, default)
        elif name == "FROM":
            label = value.partition(" AS ")[2] or "image"
            stages[label] = Stage(folder / label, base_python)
        else:
            follow(stages, name, value, known)
    return stages["image"]


def follow(stages: dict[str, Stage], name: str, value: str, known: dict[str, str]) -> None:
    """Follow one instruction of the newest stage."""
    stage = list(stages.values())[-1]
    match name:
        case "RUN":
            stage.environment |= known
            subprocess.run(stage.chrooted(["sh", "-c", value]), check=True)
        case "COPY":
            stage.copy(value, stages)
        case "ENV":
            stage.environment |= dict(word.split("=", 1) for word in shlex.split(value))
        case "WORKDIR":
            stage.folder = value
            (stage.root / value.lstrip("/")).mkdir(parents=True, exist_ok=True)
        case "USER":
            stage.user = value
        case "ENTRYPOINT":
            stage.entry = json.loads(value)
        case "HEALTHCHECK":
            stage.health = json.loads(value[value.index("[") :])


def try_out(image: Stage) -> None:
    """Start the image, and hold it to what an image promises."""
    run("mount", "-t", "tmpfs", "tmpfs", image.root / "tmp")
    run("mount", "-o", "remount,ro", image.root)
    image.environment.pop("HOME")
    with subprocess.Popen(image.chrooted(image.entry)) as service:
        try:
            end_s = time.monotonic() + PATIENCE_S
            while subprocess.run(image.chrooted(image.health), capture_output=True, check=False).returncode:
                if service.poll() is not None or time.monotonic() > end_s:
                    raise SystemExit("the image did not become healthy")
                time.sleep(1)
            print("healthy", flush=True)
            service.send_signal(signal.SIGTERM)
            print(f"ended with status {service.wait(60)}", flush=True)
        finally:
            service.kill()
    if service.returncode:
        raise SystemExit(1)


def main() -> None:
    """Build and try out the image in a folder that is removed at the end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--base-python", default="/usr/bin/python3", help="Python that the base image has")
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    options = parser.parse_args()
    arguments = dict(each.split("=", 1) for each in options.build_arg)
    if os.geteuid():
        sys.exit(
            "rehearse: expected root in a mount namespace of its own: sudo unshare --mount python deploy/rehearse.py"
        )
    folder = Path(tempfile.mkdtemp(prefix="tailgate-image-"))
    try:
        try_out(build(arguments, options.base_python, folder))
    finally:
        for mounted in folder.glob("*/root"):
            run("umount", "--recursive", "--lazy", mounted)
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
