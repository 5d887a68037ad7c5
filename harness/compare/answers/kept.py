"""The answers of a comparison, read from the folders of its slots: while it is judged, and when it is judged again."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

import numpy as np

from tailgate.harness import json_path
from tailgate.harness.compare.answers.differences import Exchange, compare_answers
from tailgate.harness.compare.answers.usual import Terms
from tailgate.harness.compare.blocks.schedule import Arm
from tailgate.harness.load.records.answers import ANSWERS, read_answers
from tailgate.harness.load.records.samples import Outcome, read_samples
from tailgate.harness.observe.checked import check
from tailgate.harness.options.table import Answers
from tailgate.harness.results.answers import AnswersResult
from tailgate.harness.results.slot import SlotResult
from tailgate.harness.scenario.plan import read_payloads


def judge_answers(
    slots: Sequence[SlotResult], directory: Path, terms: Terms, policy: Answers
) -> AnswersResult | None:
    """Judge the answers of a comparison's slots; None where it is not asked for, or no samples were kept.

    Void blocks count as well: a machine that is disturbed changes no answer.

    Raises:
        MeasurementError: samples or answers cannot be read.
    """
    kept = {
        arm: [_Slot(one, directory) for one in slots if one.arm == arm.value and one.samples is not None]
        for arm in Arm
    }
    if policy is Answers.OFF or not all(kept.values()):
        return None
    base, head = kept[Arm.BASE], kept[Arm.HEAD]
    names = [payload.name for payload in read_payloads(base[0].folder)]
    result = compare_answers(_exchanges(base), _exchanges(head), names, terms, policy)
    unkept = {arm: sum(one.unkept for one in every) for arm, every in kept.items()}
    return dataclasses.replace(result, unkept_base=unkept[Arm.BASE], unkept_head=unkept[Arm.HEAD])


def terms_of(tolerance: float | None, ignore: Sequence[str]) -> Terms:
    """Return the terms that options say."""
    return Terms(tolerance, tuple(json_path.parse_path(text) for text in ignore))


class _Slot:
    """One slot's good answers; ``unkept`` is known once they were read."""

    def __init__(self, slot: SlotResult, directory: Path) -> None:
        assert slot.samples is not None
        self.unkept = 0
        self.folder = directory / PurePath(slot.samples).parent
        self._samples = directory / slot.samples
        self._measured = [index for index, phase in enumerate(slot.phases) if phase.measured]

    def exchanges(self) -> Iterator[Exchange]:
        samples, _ = check(read_samples(self._samples), read_payloads(self.folder), self.folder)
        good = np.isin(samples["outcome"], (Outcome.OK, Outcome.WRONG))
        counts = np.bincount(samples["answer"][good & np.isin(samples["phase"], self._measured)], minlength=1)
        self.unkept = int(counts[0])
        path = self.folder / ANSWERS
        for answer in read_answers(path) if path.is_file() else ():
            if answer.number < len(counts) and counts[answer.number]:
                yield Exchange(answer, int(counts[answer.number]))


def _exchanges(slots: Sequence[_Slot]) -> Iterator[Exchange]:
    for slot in slots:
        yield from slot.exchanges()
