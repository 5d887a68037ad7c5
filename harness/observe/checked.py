"""Answers held against what was expected of them: which requests got a wrong one, and what is wrong with it.

The generator tells a good answer by its status. A payload's expectations tell more: an answer that misses one is WRONG, and
a status that is expected is good, such as a 404. An error, a redirect or a refusal that nobody expects stays what it is.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tailgate.harness.load.records.answers import ANSWERS, KeptAnswer, read_answers
from tailgate.harness.load.records.samples import Outcome, Samples
from tailgate.harness.results.failure import Failure
from tailgate.harness.scenario.payloads.expectation import Expectation, Status, expectations, first_miss
from tailgate.harness.scenario.payloads.payload import Payload

# Of a whole answer that is no refusal. A stream that failed has told so itself.
ANSWERED = (Outcome.OK, Outcome.WRONG, Outcome.CLIENT_ERROR, Outcome.SERVER_ERROR, Outcome.REDIRECT)
# Far more than a service has; what is beyond them is counted without its words.
MOST_KINDS = 100


@dataclass(frozen=True, slots=True)
class Checked:
    """What the expectations of a phase's payloads came to; empty where none has any."""

    payloads: frozenset[int] = frozenset()  # of which something is expected, as indices into the plan's
    wrong: tuple[Failure, ...] = ()  # by what is wrong, the most frequent first
    # Requests that the generator counted as failed, by outcome and status, and that count otherwise here.
    otherwise: Mapping[tuple[str, int], int] = field(default_factory=dict)

    def failures(self, told: Sequence[Failure]) -> tuple[Failure, ...]:
        """Return the failures that the generator told with those that were found here."""
        left = dict(self.otherwise)
        kept = []
        for one in told:
            key = (one.outcome, one.status or 0)
            gone = min(one.count, left.get(key, 0))
            left[key] = left.get(key, 0) - gone
            if gone < one.count:
                kept.append(Failure(one.outcome, one.status, one.count - gone, one.said))
        return (*kept, *self.wrong)


def check(samples: Samples, payloads: Sequence[Payload], directory: Path) -> tuple[Samples, Checked]:
    """Return a phase's samples with the outcomes that the payloads' expectations give them.

    ``directory`` is that of the slot, where its answers lie; none does where no request was answered.
    """
    expected = {
        index: expectations(payload.expect, f"payload {payload.name!r}")
        for index, payload in enumerate(payloads)
        if payload.expect
    }
    if not expected:
        return samples, Checked()
    path = directory / ANSWERS
    judged = _judged(read_answers(path) if path.is_file() else (), expected)
    becomes = np.full(int(samples["answer"].max(initial=0)) + 1, -1)
    for number, (outcome, _) in judged.items():
        becomes[number : number + 1] = outcome
    new = becomes[samples["answer"]]
    got = (new >= 0) & np.isin(samples["outcome"], (*ANSWERED, Outcome.SHED))
    changed = samples.copy()
    changed["outcome"][got] = new[got]
    wrong: Counter[str] = Counter()
    for number, count in enumerate(np.bincount(samples["answer"][got & (new == Outcome.WRONG)]).tolist()):
        if count:
            wrong[judged[number][1]] += count
    failed = samples[got & (samples["outcome"] != Outcome.OK)]
    pairs = zip(failed["outcome"].tolist(), failed["status"].tolist(), strict=True)
    otherwise = Counter((Outcome(outcome).name.lower(), status) for outcome, status in pairs)
    return changed, Checked(frozenset(expected), _failures(wrong), dict(otherwise))


def _judged(
    answers: Sequence[KeptAnswer], expected: Mapping[int, tuple[Expectation, ...]]
) -> Mapping[int, tuple[Outcome, str]]:
    """Return by answer what it counts as, and what is wrong with it; without answers of which nothing was expected."""
    first: dict[int, KeptAnswer] = {}
    judged = {}
    for answer in answers:
        asked = expected.get(answer.payload)
        if asked is None:
            continue
        statuses = [one for one in asked if isinstance(one, Status)]
        if first_miss(statuses, answer, None) and not 200 <= answer.status < 300:
            continue
        miss = first_miss(asked, answer, first.get(answer.payload))
        if not first_miss(statuses, answer, None):
            first.setdefault(answer.payload, answer)
        judged[answer.number] = (Outcome.OK, "") if miss is None else (Outcome.WRONG, miss)
    return judged


def _failures(wrong: Counter[str]) -> tuple[Failure, ...]:
    found = [Failure("wrong", None, count, said) for said, count in wrong.most_common(MOST_KINDS)]
    if rest := wrong.total() - sum(one.count for one in found):
        found.append(Failure("wrong", None, rest))
    return tuple(found)
