"""What servers choose for themselves at start: whether all starts of a comparison chose the same.

The service measures at start how large its batches may be, and which executor is faster. In a comparison each start does so
as in production. Where starts chose differently, a change of speed may come from the choice and not from the code.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from tailgate.harness.comparison.block import BlockRecord
from tailgate.harness.comparison.schedule import Arm
from tailgate.harness.slot_record import SlotRecord
from tailgate.harness.target import INFO

# The labels of tailgate_info that say what a server has chosen.
CHOICES = ("max_batch_size", "executor")


def of_blocks(kept: Sequence[BlockRecord]) -> Mapping[str, Mapping[str, Sequence[str]]]:
    """Return what each start chose, by label and by name of the arm; without starts that do not tell."""
    told = {
        arm.value: [facts for record in kept if (facts := _facts(record.slots[arm]))]
        for arm in (Arm.BASE, Arm.HEAD)
    }
    return {
        label: {arm: [one[label] for one in starts if label in one] for arm, starts in told.items()}
        for label in CHOICES
    }


def _facts(slot: SlotRecord) -> Mapping[str, str]:
    """Return the labels of a server's ``tailgate_info``; empty where it does not tell."""
    scrapes = (phase.server.before.values for phase in slot.phases if phase.server is not None)
    return next((dict(series.labels) for values in scrapes for series in values if series.name == INFO), {})


def findings(chosen: Mapping[str, Mapping[str, Sequence[str]]]) -> Iterator[str]:
    """Yield a sentence for each choice in which starts differ.

    Args:
        chosen: by label and by name of the arm, what each start chose.
    """
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
