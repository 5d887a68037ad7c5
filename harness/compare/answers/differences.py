"""Head's answers against what is usual for base, request by request, to one result. Pure.

Where base never answers anything but the usual, one request of head that does is a difference. Where base itself does so at
times, head must do so more often: Fisher's exact test, one-sided, at a thousandth.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tailgate.harness import statistics
from tailgate.harness.compare.answers.form import Leaf, Place, pattern, shown, take_apart, written
from tailgate.harness.compare.answers.usual import RELATIVE, TIMES_OWN_SPREAD, Base, Terms
from tailgate.harness.load.records.answers import KeptAnswer
from tailgate.harness.options.table import Answers
from tailgate.harness.results.answers import AnswerDifference, AnswersResult
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.units import percent

# Of the test against a base that deviates by itself; a comparison has few such places.
LEVEL = 0.001
SHOWN = 3


@dataclass(frozen=True, slots=True)
class Exchange:
    """An answer, and how many requests of an arm got it."""

    answer: KeptAnswer
    requests: int


class _Head:
    """Head's requests, counted by the places at which they deviate."""

    def __init__(self, base: Base, terms: Terms, names: Sequence[str]) -> None:
        self.compared = 0
        self.unanswered = 0  # requests to whose payload base gave no answer that was kept
        self._base = base
        self._terms = terms
        self._names = names
        self._requests: Counter[frozenset[Place]] = Counter()
        self._first: dict[Place, AnswerDifference] = {}

    def add(self, payload: int, answer: Mapping[Place, Leaf], requests: int) -> None:
        if not self._base.usual.get(payload):
            self.unanswered += requests
            return
        self.compared += requests
        found: set[Place] = set()
        for place, base, head in self._deviations(payload, answer):
            first = AnswerDifference(written(place), self._names[payload], base, head, requests)
            self._first.setdefault(pattern(place), first)
            found.add(pattern(place))
        if found:
            self._requests[frozenset(found)] += requests

    def _deviations(self, payload: int, answer: Mapping[Place, Leaf]) -> Iterator[tuple[Place, str, str]]:
        """Yield the places at which an answer is not the usual one, each with what base and head say there."""
        expected = self._base.usual[payload]
        for place, usual in expected.items():
            leaf = answer.get(place)
            if usual.differs(leaf):
                yield place, shown(usual.leaf, leaf), shown(leaf, usual.leaf)
        for place, leaf in answer.items():
            if place in expected or self._terms.ignores(place):
                continue
            learnt = self._base.learnt.get(pattern(place))
            if learnt is None or learnt.compared:
                yield place, shown(None), shown(leaf)

    def differing(self) -> tuple[int, list[tuple[Place, int]]]:
        """Return how many requests differ, and at which places, the most frequent first."""
        at: Counter[Place] = Counter()
        for places, requests in self._requests.items():
            for place in places:
                at[place] += requests
        real = {place: count for place, count in at.items() if self._is_real(place, count)}
        total = sum(count for places, count in self._requests.items() if not places.isdisjoint(real))
        return total, sorted(real.items(), key=lambda item: -item[1])

    def _is_real(self, place: Place, requests: int) -> bool:
        learnt = self._base.learnt.get(place)
        sent = self._base.requests.total()
        deviating = 0 if learnt is None else min(learnt.deviating, sent)
        return not deviating or statistics.p_more_hits(requests, self.compared, deviating, sent) < LEVEL

    def example(self, place: Place, requests: int) -> AnswerDifference:
        return dataclasses.replace(self._first[place], requests=requests)


def compare_answers(
    base: Iterable[Exchange],
    head: Iterable[Exchange],
    names: Sequence[str],
    terms: Terms,
    policy: Answers,
) -> AnswersResult:
    """Hold head's answers against base's; ``names`` are those of the payloads."""
    usual = Base(terms)
    for one in base:
        usual.add(one.answer.payload, take_apart(one.answer), one.requests)
    usual.learn()
    seen = _Head(usual, terms, names)
    for one in head:
        seen.add(one.answer.payload, take_apart(one.answer), one.requests)
    differing, at = seen.differing()
    examples = tuple(seen.example(*one) for one in at[:SHOWN])
    varying = sorted(written(place) for place, learnt in usual.learnt.items() if not learnt.compared)
    allowed = {
        written(place): TIMES_OWN_SPREAD * learnt.spread
        for place, learnt in usual.learnt.items()
        if learnt.compared and terms.tolerance is None and TIMES_OWN_SPREAD * learnt.spread > RELATIVE
    }
    verdict = Verdict.INCONCLUSIVE if not seen.compared else Verdict.FAIL if differing else Verdict.PASS
    return AnswersResult(
        verdict=verdict,
        gates=policy is Answers.GATE,
        reason=_reason(differing, seen.compared, examples, varying),
        compared=seen.compared,
        differing=differing,
        most=statistics.most_unseen(seen.compared) if verdict is Verdict.PASS else None,
        examples=examples,
        not_compared=tuple(varying),
        tolerance=terms.tolerance,
        ignored=tuple(map(str, terms.ignore)),
        tolerances=allowed,
        unanswered=seen.unanswered,
    )


def _reason(
    differing: int, compared: int, examples: Sequence[AnswerDifference], varying: Sequence[str]
) -> str:
    if differing:
        return f"head answers differently: {differing:,} of {compared:,}, first: {examples[0]}"
    if compared:
        most = percent(statistics.most_unseen(compared))
        return f"none of head's {compared:,} answers differs from base's, so that at most {most} do (one-sided 95 %)"
    if varying:
        return "no answers were compared: base's own vary, or base answered no payload often enough"
    return "no answers were compared: none of base's and head's were kept for the same payload"
