"""A measure: ``largest_answer``, the bytes of the largest answer. A budget of this name asks for it."""

from collections.abc import Sequence
from dataclasses import dataclass

from tailgate import (
    Better,
    Criterion,
    Estimate,
    Measure,
    Unit,
    UsageError,
    Window,
    Witness,
    hookimpl,
)


@dataclass(frozen=True, slots=True)
class LargestAnswer:
    """The largest answer of all requests, head and body together."""

    name: str = "largest_answer"
    unit: Unit = Unit.BYTES
    better: Better = Better.LOWER
    # A budget asks for it in any scenario, and when requests were sent does not matter to it.
    by_budget: bool = True
    rests_on_lag: bool = False

    def estimate(self, window: Window, criterion: Criterion) -> Estimate:
        """Return what was received; it was counted, and not sampled, so its interval has no width."""
        if criterion.witness is not Witness.CLIENT:
            raise UsageError(f"{self.name} needs the client as witness, got {criterion}")
        received = window.samples["bytes_received"]
        largest = float(received.max()) if len(received) else None
        return Estimate(largest, largest, largest, len(received), window.confidence)


@hookimpl
def tailgate_measures() -> Sequence[Measure]:
    """Bring the measure."""
    return [LargestAnswer()]
