"""Whether every request was ended exactly once, by the server's books and the client's."""

from collections import Counter

import numpy as np

from tailgate.harness.errors import MeasurementError
from tailgate.harness.load.records.samples import Outcome
from tailgate.harness.measures.measure import Estimate
from tailgate.harness.observe.window import PhaseRecord, Window, counted_requests
from tailgate.harness.scenario.behaviour import Behaviour
from tailgate.harness.scenario.scenario import Criterion


def unaccounted(window: Window, criterion: Criterion) -> Estimate:  # noqa: ARG001 - every measure's signature
    """Count the requests that the server's counter of ended requests has too few, or too many.

    Over each phase, accepted = answered + failed + expired + cancelled + refused::

        answered + left after sending all  ≤  counted  ≤  answered + left + lost otherwise

    "Answered" is any whole answer, refusals among them. A client that sent its whole request and left was cancelled or
    answered to nobody, and must be in the books; one that broke off in the middle, or lost its connection, may be. The
    value is the distance of the count from that range, summed over the phases. Before a phase with disturbers is
    closed, the harness waits until the server's gauge says that it holds no request any more.
    """
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
    sums: Counter[str] = Counter()
    for record in window.phases:
        if name is not None and record.server is not None:
            sums.update(record.server.by_label(name, "outcome"))
    return ", ".join(f"{outcome} {count:,.0f}" for outcome, count in sorted(sums.items()) if count)
