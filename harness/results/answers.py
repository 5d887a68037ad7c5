"""What the answers of a comparison came to, as results keep it; :mod:`tailgate.harness.compare.answers` computes it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta

from tailgate.harness.results.verdict import Verdict


@dataclass(frozen=True, slots=True)
class AnswerDifference:
    """Where answers of head are not what base usually answers to the same payload."""

    place: Annotated[str, "in the answer, such as $.label, status or content type"]
    payload: Annotated[str, "name of the payload of the first such request"]
    base: Annotated[str, "what base usually says there"]
    head: Annotated[str, "what head said first"]
    requests: Annotated[int, Meta(ge=1), "how many of head's requests differ there"]

    def __str__(self) -> str:
        """Return one sentence: ``$.label is "dog", and "cat" in base (payload coffee)``."""
        return f"{self.place} is {self.head}, and {self.base} in base (payload {self.payload})"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswersResult:
    """Head's answers against base's answers to the same payloads."""

    verdict: Annotated[
        Verdict, "FAIL where answers differ, PASS where none does, INCONCLUSIVE where none was compared"
    ]
    gates: Annotated[bool, "a FAIL fails the scenario; otherwise it is reported only"]
    reason: Annotated[str, "why, in a sentence"]
    compared: Annotated[int, Meta(ge=0), "requests of head whose answers were compared"]
    differing: Annotated[int, Meta(ge=0), "of these, those answered differently"]
    most: Annotated[
        float | None,
        "where none differs: the share of requests that may be answered differently all the same, one-sided 95 %",
    ] = None
    examples: Annotated[tuple[AnswerDifference, ...], "the places with the most such requests"] = ()
    not_compared: Annotated[
        tuple[str, ...], "places that were not compared, because base's own answers vary there or are too few"
    ] = ()
    tolerances: Annotated[
        Mapping[str, float],
        "by place, how far numbers may differ, as a share of the largest there, where base's own differ as well",
    ] = field(default_factory=dict)
    tolerance: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        "of all numbers, as a share, where the user gave one; null where it was learnt",
    ] = None
    ignored: Annotated[tuple[str, ...], "places that the user left out"] = ()
    unanswered: Annotated[
        int, Meta(ge=0), "requests of head that were not compared: base has no answer to their payload"
    ] = 0
    unkept_base: Annotated[int, Meta(ge=0), "good answers of base that were not kept for lack of room"] = 0
    unkept_head: Annotated[int, Meta(ge=0), "the same for head"] = 0

    @property
    def fails(self) -> bool:
        """Whether it fails the scenario."""
        return self.gates and self.verdict is Verdict.FAIL
