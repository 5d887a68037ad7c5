"""Neither the package, nor a command's help, nor a wrong setting waits for PyTorch."""

import subprocess
import sys

import pytest

HEAVY = {"torch", "torchvision", "sympy"}


def run(module, *arguments):
    """Run a module as ``python -m`` does; return its exit status and which heavy modules it has loaded."""
    program = f"""
import atexit, runpy, sys
sys.argv = {["program", *arguments]}
atexit.register(lambda: print("loaded:", *sorted({HEAVY} & set(sys.modules))))
runpy.run_module({module!r}, run_name="__main__") if {module!r} != "tailgate" else __import__("tailgate")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False
    )
    return done.returncode, done.stdout.splitlines()[-1].split()[1:]


def test_the_package_is_imported_without_pytorch():
    assert run("tailgate") == (0, [])


@pytest.mark.parametrize("program", ["tailgate.service", "tailgate.service.compile"])
@pytest.mark.parametrize(("argument", "status"), [("--help", 0), ("--threads=none", 2)])
def test_help_and_a_wrong_setting_need_no_pytorch(program, argument, status):
    assert run(program, argument) == (status, [])
