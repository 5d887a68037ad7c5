"""What a measure is, and what it gives."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from tailgate.harness.errors import UsageError
from tailgate.harness.observe.beside.probes import Asked
from tailgate.harness.observe.window import Window
from tailgate.harness.results.criterion import Witness
from tailgate.harness.results.verdict import Better
from tailgate.harness.scenario.scenario import Criterion
from tailgate.harness.units import Unit


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measured value with its interval.

    Attributes:
        value: None where too few samples speak.
        low: lower end of the interval; None when nothing bounds it from below.
        high: upper end; None when nothing bounds it from above.
        n: number of samples.
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

    Five attributes may be left out. ``rests_on_lag = False``: the estimate does not depend on when the generator took its
    requests up, so that the send lag is not held against this limit. ``rests_on_reading = True``: it depends on when the
    generator read each event of a stream, so that the reading lag is. ``knows_closed_loop = True``: a closed-loop phase
    may be among its phases, though it counts late requests in the others. ``by_budget = True``: a budget of its name asks
    for it, over all measured phases in open loop, in a scenario that has no such criterion. ``asked``: the question of the
    harness whose answers it times; a criterion on it is left out for a target that has no place to ask.
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

        Called several times per criterion: at both confidences, and with its numbers at both readings of the yardstick.

        Raises:
            MeasurementError: the records do not allow it: the criterion is INVALID.
            UsageError: the criterion makes no sense for this measure.
        """
        ...


@dataclass(frozen=True, slots=True)
class Measured:
    """A built-in measure: a function and what the judge must know of it."""

    name: str
    unit: Unit
    better: Better
    function: Callable[[Window, Criterion], Estimate]
    witnesses: tuple[Witness, ...] = (Witness.CLIENT,)
    rests_on_lag: bool = True
    rests_on_reading: bool = False
    knows_closed_loop: bool = False
    by_budget: bool = False
    asked: Asked | None = None  # the question of the harness that it times

    def estimate(self, window: Window, criterion: Criterion) -> Estimate:
        """Estimate as the function does; refuse a criterion that asks a witness which cannot know."""
        if criterion.witness not in self.witnesses:
            raise UsageError(
                f"{self.name} is measured from the {self.witnesses[0].value}'s record only, not by {criterion.witness.value}"
            )
        return self.function(window, criterion)


def asked_by_budgets(measures: Iterable[Measure]) -> frozenset[str]:
    """Return the names of the measures that a budget of their name asks for."""
    return frozenset(measure.name for measure in measures if getattr(measure, "by_budget", False))


def units_of(measures: Iterable[Measure]) -> Mapping[str, Unit]:
    """Return what the numbers of each measure count, by its name."""
    return {measure.name: measure.unit for measure in measures}


def objective_s(criterion: Criterion) -> float:
    """Return the latency above which a request is late, which the criterion must give."""
    if not isinstance(criterion.objective_s, (int, float)) or not 0 < criterion.objective_s < math.inf:
        raise UsageError(
            f"{criterion.measure} needs the criterion's objective_s in seconds, got {criterion.objective_s}"
        )
    return float(criterion.objective_s)
