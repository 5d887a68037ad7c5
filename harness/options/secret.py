"""What must not be told of a run's options, and of the service's environment."""

import os

from tailgate.harness.options import headers
from tailgate.harness.options.settings import SERVICE_PREFIX, GateSettings
from tailgate.harness.options.values import pairs
from tailgate.harness.secrecy import Secrets


def secrets_of(settings: GateSettings) -> Secrets:
    """Return the secrets in the options, and in the variables that a launched service reads."""
    words = (
        settings.target,
        settings.against or "",
        settings.head,
        settings.request,
        settings.payloads,
        settings.readiness_path,
        settings.metrics_path,
        settings.set_up or "",
        settings.reset or "",
        settings.tear_down or "",
    )
    # Sides may give one variable different values, so that none may be lost to a later one.
    assigned = (*settings.env, *settings.base_env, *settings.head_env)
    variables = [item for one in assigned for item in pairs((one,)).items()]
    service = [(name, value) for name, value in os.environ.items() if name.startswith(SERVICE_PREFIX)]
    return Secrets.of(
        (*words, *(value for _, value in variables)),
        (*variables, *service, *headers.literal(settings.header)),
        headers.taken(settings.header, os.environ),
    )
