"""What a request carries, prepared before the run: bytes, headers and a path."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Payload:
    """One request's content.

    Attributes:
        name: unique in its source; samples refer to it.
        body: sent as it is.
        content_type: value of the Content-Type header.
        path: request target on the service, from its base address on; begins with "/".
        method: HTTP method.
        headers: further headers; Host, Content-Length and Content-Type are added by the generator.
        weight: relative share of requests that carry it.
    """

    name: str
    body: bytes
    content_type: str
    path: str = "/predict"
    method: str = "POST"
    headers: tuple[tuple[str, str], ...] = ()
    weight: float = 1.0
