"""Fuzz with atheris, which is led by what code an input reaches: ``python tests/fuzz [--seconds 60] [TARGET …]``.

Each target runs in a process of its own from the same seed. An input that a target fails on is written to ``.perf/fuzz``; what is
mended goes to ``tests/fuzz/found/TARGET/``, which the suite runs each time.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
KEPT = HERE.parents[1] / ".perf" / "fuzz"
# libFuzzer's exit status for an input that fails a target.
FAILED = 77


def one(name, folder, arguments):
    """Fuzz one target in this process; does not return."""
    import atheris

    with atheris.instrument_imports(
        include=["tailgate.service", "PIL", "python_multipart", "starlette", "uvicorn"]
    ):
        from fuzz_seeds import SEEDS
        from fuzz_targets import TARGETS

    for number, seed in enumerate(SEEDS[name]):
        (folder / f"seed{number}").write_bytes(seed)
    for found in (HERE / "found" / name).glob("*"):
        (folder / found.name).write_bytes(found.read_bytes())
    atheris.Setup([sys.argv[0], *arguments, str(folder)], TARGETS[name])
    atheris.Fuzz()


def supervise(name, seconds):
    """Fuzz one target in another process; return whether it stood, and print how often it was tried."""
    KEPT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, str(HERE), "--one", name, "--folder", folder, "--seconds", str(seconds)],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            errors="replace",
            check=False,
        )
    runs = re.findall(r"#(\d+)\s.*?cov: (\d+) ft: (\d+)", done.stderr)
    executions, reached, _ = runs[-1] if runs else ("0", "0", "0")
    sys.stdout.write(f"{name}: {executions} inputs, {reached} branches, exit status {done.returncode}\n")
    sys.stdout.flush()
    if done.returncode != 0:
        sys.stdout.write(done.stderr[-5000:])
    return done.returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        limits = [
            f"-max_total_time={given.seconds}",
            "-seed=1",
            "-max_len=20000",
            "-timeout=10",
            "-rss_limit_mb=3000",
        ]
        one(given.one, given.folder, [*limits, f"-artifact_prefix={KEPT}/{given.one}-"])
    targets = given.targets or ["json", "multipart", "image", "http"]
    stood = [supervise(name, given.seconds) for name in targets]
    return 0 if all(stood) else FAILED


if __name__ == "__main__":
    sys.exit(main())
