"""Where connections go: looked up, and chosen among several addresses, before the run."""

import socket
import ssl
from dataclasses import dataclass
from typing import Any

from tailgate.harness.errors import LoadError
from tailgate.harness.load.settings import LoadSettings

# A server that is ready accepts at once, unless nobody is at the address.
ACCEPTS_WITHIN_S = 5.0

Address = tuple[int, Any]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where connections go: resolved once, so that no look-up falls into a run."""

    family: int
    address: Any  # as the family has it
    host: str
    context: ssl.SSLContext | None


def resolve_endpoint(settings: LoadSettings) -> Endpoint:
    """Look the host up, choose an address, and prepare TLS.

    Raise LoadError where there is no address, or none of several accepts a connection.
    """
    context = settings.trust.context() if settings.tls else None
    if settings.socket_path is not None:
        return Endpoint(socket.AF_UNIX, str(settings.socket_path), settings.host, context)
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise LoadError(f"cannot prepare connections to {settings.where}: {error}") from error
    addresses = list(dict.fromkeys((int(family), address) for family, _, _, _, address in found))
    family, address = _accepting(settings.where, addresses)
    return Endpoint(family, address, settings.host, context)


def _accepting(where: str, addresses: list[Address]) -> Address:
    """Return the first address that accepts a connection; a single one is not asked."""
    if len(addresses) == 1:
        return addresses[0]
    said = []
    for one in addresses:
        error = _refusal(one)
        if error is None:
            return one
        said.append(f"{one[1][0]}: {error.strerror or error}")
    raise LoadError(f"cannot connect to {where}: {'; '.join(said)}")


def _refusal(address: Address) -> OSError | None:
    try:
        with socket.socket(address[0], socket.SOCK_STREAM) as one:
            one.settimeout(ACCEPTS_WITHIN_S)
            one.connect(address[1])
    except OSError as error:
        return error
    return None


def connect_blocking(endpoint: Endpoint, timeout_s: float) -> socket.socket:
    """Return a connection whose calls wait, each for so long at most; raise OSError where there is none."""
    plain = socket.socket(endpoint.family, socket.SOCK_STREAM)
    try:
        plain.settimeout(timeout_s)
        plain.connect(endpoint.address)
        if endpoint.context is None:
            return plain
        return endpoint.context.wrap_socket(plain, server_hostname=endpoint.host)
    except BaseException:
        plain.close()
        raise
