"""The answers of a comparison, read from the folders of its slots: while it is judged, and when it is judged again."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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
    kept = {arm: [one for one in slots if one.arm == arm.value and one.samples is not None] for arm in Arm}
    if policy is Answers.OFF or not all(kept.values()):
        return None
    base, head = ([_counted(one, directory) for one in kept[arm]] for arm in (Arm.BASE, Arm.HEAD))
    names = [payload.name for payload in read_payloads(base[0][0])]
    result = compare_answers(_exchanges(base), _exchanges(head), names, terms, policy)
    unkept_base, unkept_head = (sum(int(counts[0]) for _, counts in arm) for arm in (base, head))
    return dataclasses.replace(result, unkept_base=unkept_base, unkept_head=unkept_head)


def terms_of(tolerance: float | None, ignore: Sequence[str]) -> Terms:
    """Return the terms that options say."""
    return Terms(tolerance, tuple(json_path.parse_path(text) for text in ignore))


# A slot's folder, and how many measured requests got each of its good answers, by number; 0: those without room.
_Counted = tuple[Path, NDArray[np.int64]]


def _counted(slot: SlotResult, directory: Path) -> _Counted:
    assert slot.samples is not None
    folder = (directory / slot.samples).parent
    measured = [index for index, phase in enumerate(slot.phases) if phase.measured]
    samples, _ = check(read_samples(directory / slot.samples), read_payloads(folder), folder)
    good = np.isin(samples["outcome"], (Outcome.OK, Outcome.WRONG)) & np.isin(samples["phase"], measured)
    return folder, np.bincount(samples["answer"][good], minlength=1)


def _exchanges(counted: Iterable[_Counted]) -> Iterator[Exchange]:
    for folder, counts in counted:
        path = folder / ANSWERS
        for answer in read_answers(path) if path.is_file() else ():
            if answer.number < len(counts) and counts[answer.number]:
                yield Exchange(answer, int(counts[answer.number]))
