"""Compile the model ahead, as a user of tailgate would before it is served."""

import enum
import os
import subprocess
import sys

from benchmarks.environments import ROOT
from benchmarks.workloads import Workload

COMPILE_TIMEOUT_S = 400


class Executor(enum.Enum):
    """How the model is run, by the names of ``TAILGATE_EXECUTOR``."""

    EAGER = "eager"
    COMPILED = "compiled"


def executor_of(workload: Workload) -> Executor:
    """Compile a workload's model where that has not been done; say what it runs by: eagerly where it cannot be.

    The library is kept in the folder that the workload's settings name, so this takes a minute only once.
    """
    environment = {**os.environ, **workload.environment, "TAILGATE_EXECUTOR": "auto"}
    command = [sys.executable, "-m", "tailgate.service.compile"]
    print(f"compiling {workload.environment['TAILGATE_MODEL']}, unless that has been done", flush=True)
    try:
        subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            timeout=COMPILE_TIMEOUT_S,
            capture_output=True,
            text=True,
            check=True,
        )
    except subprocess.TimeoutExpired:
        print(f"not compiled within {COMPILE_TIMEOUT_S} s: the executor is eager", flush=True)
        return Executor.EAGER
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or error.stdout or "").strip().splitlines()
        print(f"not compiled, the executor is eager: {lines[-1] if lines else error}", flush=True)
        return Executor.EAGER
    return Executor.COMPILED
