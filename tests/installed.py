"""Environments in which a wheel is installed, and commands in them as from a user's shell."""

import os
import site
import subprocess
import venv
import zipfile

PATIENCE_S = 300
UNSET = {"PYTHONPATH", "PYTEST_PLUGINS", "PERF_PLUGINS"}
# Plugins of our own tests, which are slow to load; all others are loaded as in a user's environment.
SLOW_PLUGINS = "-p no:schemathesis -p no:kmock -p no:hypothesispytest"


def install(wheel, home, *behind):
    """Return the folder of programs of a new environment with a wheel, and with these folders and our own packages behind it."""
    venv.create(home, symlinks=True)
    (packages,) = (home / "lib").glob("python*/site-packages")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(packages)
    packages.joinpath("behind.pth").write_text("\n".join([*map(str, behind), *site.getsitepackages()]))
    return home / "bin"


def ran(command, folder):
    """Run a command, and return what it printed."""
    environment = {name: value for name, value in os.environ.items() if name not in UNSET}
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env=environment | {"PYTEST_ADDOPTS": SLOW_PLUGINS},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
