"""What a request carries, prepared before the run: bytes, headers and a path."""

from dataclasses import dataclass

from tailgate.harness.errors import UsageError


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

    def __post_init__(self) -> None:
        """Take any buffer for the body, lists, and numpy's numbers; refuse what cannot be sent."""
        try:
            # bytes() would take a text's length, or a number, for so many zeros.
            object.__setattr__(self, "body", bytes(memoryview(self.body)))
        except TypeError:
            raise UsageError(f"payload {self.name!r}: its body is bytes, got {self.body!r:.80}") from None
        object.__setattr__(self, "headers", tuple((name, value) for name, value in self.headers))
        object.__setattr__(self, "weight", float(self.weight))
