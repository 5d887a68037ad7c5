"""What the answers of a comparison came to, as results keep it; :mod:`tailgate.harness.compare.answers` computes it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta

from tailgate.harness.results.verdict import Verdict


@dataclass(frozen=True, slots=True)
class AnswerDifference:
    """Where answers of head are not what base usually answers to the same payload."""

    place: Annotated[str, Meta(description="in the answer, such as $.label, status or content type")]
    payload: Annotated[str, Meta(description="name of the payload of the first such request")]
    base: Annotated[str, Meta(description="what base usually says there")]
    head: Annotated[str, Meta(description="what head said first")]
    requests: Annotated[int, Meta(description="of head that differ there", ge=1)]

    def __str__(self) -> str:
        """Return one sentence: ``$.label is "dog", and "cat" in base (payload coffee)``."""
        return f"{self.place} is {self.head}, and {self.base} in base (payload {self.payload})"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswersResult:
    """Head's answers against base's answers to the same payloads."""

    verdict: Annotated[
        Verdict,
        Meta(
            description="FAIL where answers differ, PASS where none does, INCONCLUSIVE where none was compared"
        ),
    ]
    gates: Annotated[bool, Meta(description="a FAIL fails the scenario; otherwise it is reported only")]
    reason: Annotated[str, Meta(description="why, in a sentence")]
    compared: Annotated[int, Meta(description="requests of head whose answers were compared", ge=0)]
    differing: Annotated[int, Meta(description="of these, those answered differently", ge=0)]
    most: Annotated[
        float | None,
        Meta(
            description="where none differs: the share of requests that may be answered differently all the same, one-sided 95 %"
        ),
    ] = None
    examples: Annotated[
        tuple[AnswerDifference, ...], Meta(description="the places with the most such requests")
    ] = ()
    not_compared: Annotated[
        tuple[str, ...], Meta(description="places at which base's own answers vary, or are too few to tell")
    ] = ()
    tolerances: Annotated[
        Mapping[str, float],
        Meta(
            description="by place, how far numbers may differ, as a share of the largest there, where base's own differ as well"
        ),
    ] = field(default_factory=dict)
    tolerance: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        Meta(description="of all numbers, as a share, where the user gave one; null where it was learnt"),
    ] = None
    ignored: Annotated[tuple[str, ...], Meta(description="places that the user left out")] = ()
    unanswered: Annotated[
        int,
        Meta(
            description="requests of head that were not compared: base has no answer to their payload", ge=0
        ),
    ] = 0
    unkept_base: Annotated[
        int, Meta(description="good answers of base that found no room to be kept", ge=0)
    ] = 0
    unkept_head: Annotated[int, Meta(description="likewise of head", ge=0)] = 0

    @property
    def fails(self) -> bool:
        """Whether it fails the scenario."""
        return self.gates and self.verdict is Verdict.FAIL
