"""The service as a program of its own: harness and service never import each other."""

import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from tailgate.harness.errors import UsageError

# Packages of the extra "service" that the service cannot start without; asked for, and never imported.
NEEDS = ("torch", "torchvision", "fastapi", "fastapi_swagger", "uvicorn", "pydantic_settings")


def missing() -> list[str]:
    """Return the packages that the service needs and this environment lacks."""
    return [name for name in NEEDS if importlib.util.find_spec(name) is None]


def become(module: str, arguments: Sequence[str]) -> NoReturn:
    """Run a module of the service in the place of this process."""
    if lacking := missing():
        raise UsageError(f"the service needs {', '.join(lacking)}: pip install 'tailgate[service]'")
    # -P: a folder called service is not this one.
    os.execv(sys.executable, [sys.executable, "-P", "-m", module, *arguments])  # noqa: S606 - no shell is meant
