"""The preflight: what a target answered to each kind of request before any load."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from tailgate.harness.results.failure import kind
from tailgate.harness.units import Unit, quantity

# A report shows so many first answers; the file of the results has all.
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Preflight:
    """One request that was sent before any load, and its answer."""

    payload: Annotated[str, "name of the payload"]
    request: Annotated[str, "method and path, as they were sent"]
    status: Annotated[int | None, "of the answer; null without one"]
    content_type: Annotated[str, "of the answer; empty where it names none"]
    bytes: Annotated[int, Meta(ge=0), "length of the answer's body"]
    said: Annotated[str, "the first 120 characters of the body, or why there was no answer"]
    seconds: Annotated[float, Meta(ge=0), "from the start of the connection to the answer's last byte"]

    def __str__(self) -> str:
        """Return ``POST /score: 200 OK, application/json, 14 bytes, 3.1 ms: {"score": 0.9}``."""
        if self.status is None:
            return f"{self.request}: {self.said}"
        size = f"{self.bytes:,} byte{'' if self.bytes == 1 else 's'}"
        took = quantity(self.seconds, Unit.SECONDS)
        facts = ", ".join(filter(None, (kind("", self.status), self.content_type, size, took)))
        return f"{self.request}: {facts}" + (f": {self.said}" if self.said else "")


def sentences(answers: Iterable[Preflight], arms: int = 1) -> tuple[str, ...]:
    """Return a line for each of the first few answers, and one for the rest; fewer where several arms share a report."""
    every, shown = tuple(answers), max(1, SHOWN // arms)
    if len(every) <= shown:
        return tuple(f"first answer to {one}" for one in every)
    told = [f"first answer to {one}" for one in every[: max(1, shown - 1)]]
    return (
        *told,
        f"first answers to {len(every) - len(told):,} further requests: in the file of the results",
    )
