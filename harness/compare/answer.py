"""What the results keep of a comparison beside its decision: witnesses of each arm, and what servers chose.

The service measures at each start how large its batches may be and which executor is faster, as in
production. If starts chose differently, a change of speed may come from the choice and not from the code.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tailgate.harness.compare.arms import WORKING_TREE, ArmTarget
from tailgate.harness.compare.blocks.block import BlockRecord
from tailgate.harness.compare.blocks.schedule import Arm
from tailgate.harness.compare.rehearsal import Rehearsed
from tailgate.harness.load.records.samples import kinds
from tailgate.harness.observe.slot_record import SlotRecord
from tailgate.harness.observe.window import Window, failed
from tailgate.harness.results.fault import Cause, Fault
from tailgate.harness.results.run import ArmResult
from tailgate.harness.target.checkout import revision as git
from tailgate.harness.target.target import INFO
from tailgate.harness.verdict import judging, witnesses

# Labels of tailgate_info.
CHOICES = ("max_batch_size", "executor")


def arm_result(arm: ArmTarget, rehearsed: Rehearsed, root: Path) -> ArmResult:
    """Return a side's target, its revision, and how it describes itself."""
    facts = dict(rehearsed.facts)
    if arm.side.revision is not None:
        facts = {"revision": str(arm.side.revision), **facts}
    elif arm.side.given == WORKING_TREE or arm.side.is_service:
        facts = {**git.state_of(root), **facts}
    return ArmResult(arm.side.arm.value, arm.side.spec, facts, rehearsed.asked.answers)


def windows_of(kept: Sequence[BlockRecord]) -> Mapping[Arm, Window]:
    """Return by arm the measured phases of all good blocks; without arms that have none."""
    sound = [record.slots for record in kept if record.block.void is None and not record.faults]
    phases = {
        arm: tuple(phase for slots in sound for phase in slots[arm].phases if phase.phase.measured)
        for arm in Arm
    }
    return {arm: Window(every, names=sound[0][arm].names) for arm, every in phases.items() if every}


def unanswered(windows: Mapping[Arm, Window]) -> list[Fault]:
    """Return a fault if no arm gave a good answer: only equal shares of failures could be compared."""
    every = [window.samples for window in windows.values()]
    if any((~failed(samples)).any() for samples in every) or not any(len(samples) for samples in every):
        return []
    told = "; ".join(
        f"all {len(window.samples):,} requests to {arm.value} failed ({kinds(window.samples)})"
        for arm, window in windows.items()
    )
    return [Fault(Cause.INTEGRITY, f"{told}: nothing was compared")]


def contradictions(windows: Mapping[Arm, Window]) -> list[Fault]:
    """Hold both witnesses of each arm against each other."""
    return [
        Fault(Cause.INTEGRITY, f"{arm.value}, all blocks: {fault.text.partition(': ')[2]}")
        for arm, window in windows.items()
        for fault in witnesses.check_witnesses(window)
    ]


def notes_of(windows: Mapping[Arm, Window], kept: Sequence[BlockRecord]) -> Iterator[str]:
    """Yield what a reader must know of each arm."""
    for arm, window in windows.items():
        reports = [report for record in kept for report in record.slots[arm].reports]
        yield from (f"{arm.value}: {note}" for note in judging.notes(window, reports))


def choices_of(kept: Sequence[BlockRecord]) -> Mapping[str, Mapping[str, Sequence[str]]]:
    """Return what each start chose, by label and by name of the arm; without starts that do not tell."""
    told = {arm.value: [_facts(record.slots[arm]) for record in kept] for arm in (Arm.BASE, Arm.HEAD)}
    return {
        label: {arm: [one[label] for one in starts if label in one] for arm, starts in told.items()}
        for label in CHOICES
    }


def _facts(slot: SlotRecord) -> Mapping[str, str]:
    """Return the labels of a server's ``tailgate_info``; empty if it has none."""
    scrapes = (phase.server.before.values for phase in slot.phases if phase.server is not None)
    return next((dict(series.labels) for values in scrapes for series in values if series.name == INFO), {})


def findings(chosen: Mapping[str, Mapping[str, Sequence[str]]]) -> Iterator[str]:
    """Yield a sentence for each choice in which starts differ, from what :func:`choices_of` returns."""
    for label, arms in chosen.items():
        if len({choice for starts in arms.values() for choice in starts}) < 2:
            continue
        said = ", ".join(f"{arm} {_counted(starts)}" for arm, starts in arms.items() if starts)
        first, _, rest = said.partition(" ")
        yield (
            f"{first} chose {label} {rest}: each start measures that for itself, as in production, so a change may come "
            "from this choice and not from the code"
        )


def _counted(starts: Sequence[str]) -> str:
    """Return ``16``, or ``16 in 5 of 8 starts and 2 in 3``."""
    (choice, count), *others = Counter(starts).most_common()
    if not others:
        return choice
    return " and ".join(
        [f"{choice} in {count} of {len(starts)} starts", *(f"{one} in {n}" for one, n in others)]
    )
