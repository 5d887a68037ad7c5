"""Compile a model ahead, as a user of tailgate would before serving it."""

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
    """Compile a workload's model unless that has been done; return EAGER where it cannot be compiled.

    The compiled library stays in ``TAILGATE_CACHE_DIR``, so only the first call takes a minute.
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
    except subprocess.SubprocessError as error:  # an error of its own, or too late
        said = error.stderr or error.stdout if isinstance(error, subprocess.CalledProcessError) else ""
        reason = said.strip().rpartition("\n")[2] or error
        print(f"not compiled, the executor is eager: {reason}", flush=True)
        return Executor.EAGER
    return Executor.COMPILED
