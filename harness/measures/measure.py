"""What a measure is, and the two questions that each asks of its criterion first."""

import math
from typing import Protocol

from tailgate.harness.errors import UsageError
from tailgate.harness.scenario import Criterion, Witness
from tailgate.harness.verdict import Better, Estimate, Unit
from tailgate.harness.window import Window


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
