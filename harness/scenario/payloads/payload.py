"""What a request carries."""

from dataclasses import dataclass, replace

from tailgate.harness.errors import UsageError
from tailgate.harness.options.sent import requests_file
from tailgate.harness.options.settings import GateSettings
from tailgate.harness.scenario.payloads.expectation import expectations

# Of a request that says nothing else.
METHOD, PATH = "POST", "/predict"


@dataclass(frozen=True, slots=True)
class Payload:
    """One request's content."""

    name: str  # unique in its source; samples refer to it
    body: bytes
    content_type: str
    path: str = PATH  # request target on the service, from its base address on; begins with "/"
    method: str = METHOD
    # Host, Content-Length and Content-Type are added by the generator.
    headers: tuple[tuple[str, str], ...] = ()
    weight: float = 1.0  # relative share of requests that carry it
    # What a right answer is, each in the form that --perf-expect takes; empty: what that option says.
    expect: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Take any buffer for the body, lists, and numpy's numbers; refuse what cannot be sent."""
        try:
            # bytes() would take a text's length, or a number, for so many zeros.
            object.__setattr__(self, "body", bytes(memoryview(self.body)))
        except TypeError:
            raise UsageError(f"payload {self.name!r}: its body is bytes, got {self.body!r:.80}") from None
        object.__setattr__(self, "headers", tuple((name, value) for name, value in self.headers))
        object.__setattr__(self, "weight", float(self.weight))
        # A plugin's one expectation, as a text.
        expect: object = self.expect
        object.__setattr__(self, "expect", (expect,) if isinstance(expect, str) else tuple(self.expect))


def settled(payload: Payload, settings: GateSettings) -> Payload:
    """Return a payload with what the options say of every request that names no method, path and expectation itself.

    Raise UsageError for an expectation that cannot be read.
    """
    expectations(settings.expect, "--perf-expect")
    expectations(payload.expect, f"payload {payload.name!r}: its expectation")
    method, _, path = settings.request.partition(" ")
    expect = payload.expect or settings.expect
    if requests_file(settings) is not None or (payload.method, payload.path) != (METHOD, PATH):
        return replace(payload, expect=expect)
    return replace(payload, method=method, path=path, expect=expect)
