"""What both witnesses saw of each arm, over all blocks that count: whether they contradict each other, and what to know."""

from collections.abc import Iterator, Mapping, Sequence

from tailgate.harness import notes, witnesses
from tailgate.harness.comparison.block import BlockRecord
from tailgate.harness.comparison.schedule import Arm
from tailgate.harness.failures import kinds
from tailgate.harness.faults import Cause, Fault
from tailgate.harness.scrape import MetricNames
from tailgate.harness.window import Window, failed


def of_blocks(kept: Sequence[BlockRecord], names: MetricNames) -> Mapping[Arm, Window]:
    """Return by arm the measured phases of all blocks that count; without arms that have none."""
    sound = [record for record in kept if record.block.void is None and not record.faults]
    phases = {
        arm: tuple(phase for record in sound for phase in record.slots[arm].phases if phase.phase.measured)
        for arm in Arm
    }
    return {arm: Window(measured, names=names) for arm, measured in phases.items() if measured}


def unanswered(windows: Mapping[Arm, Window]) -> list[Fault]:
    """Say that no arm gave a good answer, so that two equal shares of failures are all that could be compared."""
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
        yield from (f"{arm.value}: {note}" for note in notes.notes(window, reports))
