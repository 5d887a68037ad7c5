"""``tailgate serve`` and ``tailgate compile``: this process becomes the service, which the harness never imports."""

import importlib.util
import os
import sys
from typing import NoReturn

import typer

from tailgate.harness.errors import UsageError

# Packages of the extra "service" that the service cannot start without; asked for, and never imported.
SERVICE_NEEDS = ("torch", "torchvision", "fastapi", "uvicorn", "pydantic_settings")


def serve(context: typer.Context) -> None:
    """Run the inference service; its own options: tailgate serve --help."""
    _become("tailgate.service", context.args)


def compile_model(context: typer.Context) -> None:
    """Compile the service's model ahead of time, with the options that the service will be run with."""
    _become("tailgate.service.compile", context.args)


def _become(module: str, arguments: list[str]) -> NoReturn:
    missing = [name for name in SERVICE_NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"the service needs {', '.join(missing)}: pip install 'tailgate[service]'")
    # As a program: harness and service never import each other. -P: a folder called service is not this one.
    os.execv(sys.executable, [sys.executable, "-P", "-m", module, *arguments])  # noqa: S606 - no shell is meant
