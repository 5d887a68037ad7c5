"""``tailgate serve`` and ``tailgate compile``: this process becomes the service, which the harness never imports."""

import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from tailgate.harness.errors import UsageError

# Packages of the extra "service" that the service cannot start without; asked for, and never imported.
SERVICE_NEEDS = ("torch", "torchvision", "fastapi", "uvicorn", "pydantic_settings")


def become(module: str, arguments: Sequence[str]) -> NoReturn:
    """Run a module of the service in place of this process.

    Raises:
        UsageError: the service's packages are not installed.
    """
    missing = [name for name in SERVICE_NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"the service needs {', '.join(missing)}: pip install 'tailgate[service]'")
    # As a program: harness and service never import each other. -P: a folder called service is not this one.
    os.execv(sys.executable, [sys.executable, "-P", "-m", module, *arguments])  # noqa: S606 - no shell is meant
