"""Whether every request was ended exactly once, by the server's books and the client's."""

from dataclasses import dataclass

import numpy as np

from tailgate.harness.errors import MeasurementError, UsageError
from tailgate.harness.load.samples import Outcome
from tailgate.harness.measures.measure import Estimate
from tailgate.harness.observe.window import PhaseRecord, Window, counted_requests
from tailgate.harness.results.criterion import Witness
from tailgate.harness.results.verdict import Better
from tailgate.harness.scenario.behaviour import Behaviour
from tailgate.harness.scenario.scenario import Criterion
from tailgate.harness.units import Unit


@dataclass(frozen=True, slots=True)
class Unaccounted:
    """The number of requests that the server's counter of ended requests holds too few, or too many.

    Over each phase, accepted = answered + failed + expired + cancelled + refused::

        answered + left after sending all  ≤  counted  ≤  answered + left + lost otherwise

    "Answered" is any whole answer, refusals among them. A client that sent its whole request and left was cancelled or
    answered to nobody, and must be in the books; one that broke off in the middle, or lost its connection, may be. The
    value is the distance of the count from that range, summed over the phases. Before a phase with disturbers is
    closed, the harness waits until the server's gauge says that it holds no request any more.
    """

    name: str = "unaccounted"
    unit: Unit = Unit.COUNT
    better: Better = Better.LOWER

    def estimate(self, window: Window, criterion: Criterion) -> Estimate:
        """Count them; n is the number of requests, and the interval is the count itself.

        Raises:
            MeasurementError: the server does not count its requests.
            UsageError: the client is asked, which cannot know.
        """
        if criterion.witness is not Witness.SERVER:
            raise UsageError(f"{self.name} compares the server's books, ask it of {Witness.SERVER}")
        missing = float(sum(_distance(record, window) for record in window.phases))
        n = sum(len(record.every_sample) for record in window.phases)
        return Estimate(missing, missing, missing, n, window.confidence, _books(window))


def _distance(record: PhaseRecord, window: Window) -> float:
    samples, sent = record.every_sample, record.sent
    counts = counted_requests(record, window.names)
    if not counts:
        raise MeasurementError(f"{record.phase.name!r}: the server does not count its requests")
    counted = next(iter(counts.values()))
    left = int(np.sum((samples["outcome"] == Outcome.LEFT) & (samples["behaviour"] == Behaviour.LEAVES)))
    least, most = sent.answered + left, sent.answered + sent.lost
    if record.own_counted(counted, least, most) is not None:
        return 0.0
    return max(0.0, least - counted, counted - most)


def _books(window: Window) -> str:
    """Return what the server counted, by outcome."""
    name = window.names.requests_total
    sums: dict[str, float] = {}
    for record in window.phases:
        if name is not None and record.server is not None:
            for outcome, count in record.server.by_label(name, "outcome").items():
                sums[outcome] = sums.get(outcome, 0.0) + count
    return ", ".join(f"{outcome} {count:,.0f}" for outcome, count in sorted(sums.items()) if count)
