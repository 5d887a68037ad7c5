"""What a measure is, what it gives, and the two questions that each asks of its criterion first."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from tailgate.harness.errors import UsageError
from tailgate.harness.observe.window import Window
from tailgate.harness.results.criterion import Witness
from tailgate.harness.results.verdict import Better
from tailgate.harness.scenario.scenario import Criterion
from tailgate.harness.units import Unit


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measured value with its interval.

    Attributes:
        value: the point estimate; None where too few samples speak.
        low: lower end of the interval; None when nothing bounds it from below.
        high: upper end; None when nothing bounds it from above.
        n: samples behind it.
        confidence: one-sided confidence of each end, such as 0.99.
        note: what a reader must know to take it right, or empty.
        narrows: more samples would make the interval narrower where the limit lies; if not, the note says why.
        worth: how many independent samples say as much; None where they are taken as independent.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    confidence: float
    note: str = ""
    narrows: bool = True
    worth: float | None = None


class Measure(Protocol):
    """What a plugin adds to be able to judge something new.

    Two attributes may be left out. ``rests_on_lag = False``: the estimate does not depend on when the generator took its
    requests up, so that the send lag is not held against this limit. ``knows_closed_loop = True``: a closed-loop phase
    may be among its phases, though it counts late requests in the others.
    """

    @property
    def name(self) -> str:
        """Name by which criteria ask for it, unique among all plugins."""
        ...

    @property
    def unit(self) -> Unit:
        """What its numbers count."""
        ...

    @property
    def better(self) -> Better:
        """Which direction is an improvement."""
        ...

    def estimate(self, window: Window, criterion: Criterion) -> Estimate:
        """Estimate from the records of the criterion's phases.

        Asked several times of one criterion: at the confidence of the end that PASS goes by and at that of the other, and
        with its numbers at both readings of the yardstick.

        Raises:
            MeasurementError: the records do not allow it: the criterion is INVALID.
            UsageError: the criterion makes no sense for this measure.
        """
        ...


def units_of(measures: Iterable[Measure]) -> Mapping[str, Unit]:
    """Return what the numbers of each measure count, by its name."""
    return {measure.name: measure.unit for measure in measures}


def objective_s(measure: Measure, criterion: Criterion) -> float:
    """Return the latency above which a request is late.

    Raises:
        UsageError: the criterion gives none.
    """
    if not isinstance(criterion.objective_s, (int, float)) or not 0 < criterion.objective_s < math.inf:
        raise UsageError(
            f"{measure.name} needs the criterion's objective_s in seconds, got {criterion.objective_s}"
        )
    return float(criterion.objective_s)


def refuse_server(measure: Measure, criterion: Criterion) -> None:
    """Refuse a criterion that asks the server what only the client knows.

    Raises:
        UsageError: its witness is not the client.
    """
    if criterion.witness is not Witness.CLIENT:
        raise UsageError(
            f"{measure.name} is measured from the client's record only, not by {criterion.witness}"
        )
