"""Payloads: ``items:N`` asks for N items, one after the other, so that a cache of a single answer helps little."""

from collections.abc import Sequence

from tailgate import Payload, UsageError, hookimpl

KIND = "items:"


@hookimpl
def tailgate_payloads(source: str) -> Sequence[Payload] | None:
    """Know ``items:N``; each payload is a whole request, with its own method and path."""
    if not source.startswith(KIND):
        return None
    count = source.removeprefix(KIND)
    if not count.isdecimal() or int(count) == 0:
        raise UsageError(f"the payloads {source!r}: expected items:N with a whole number from 1 on")
    return [
        Payload(f"item {number}", b"", "", path=f"/items/{number}", method="GET")
        for number in range(1, int(count) + 1)
    ]
