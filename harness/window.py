"""What is judged: some phases of one run, each with the records of both witnesses.

Stands between the saved samples and scrapes and whatever reads them, the measures and the judge. Holds records and
says what latency, failure and offered rate mean; estimates nothing.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from tailgate.harness import histogram
from tailgate.harness.counts import Sent, gave_up, own_counted
from tailgate.harness.errors import MeasurementError
from tailgate.harness.histogram import Histogram
from tailgate.harness.probes import ProbeRecord
from tailgate.harness.resources import ResourceSeries
from tailgate.harness.samples import SAMPLE, Outcome, Samples
from tailgate.harness.scenario import Phase
from tailgate.harness.scrape import MetricNames, ServerDelta
from tailgate.harness.yardstick import Yardstick

Seconds = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class PhaseRecord:
    """What both witnesses saw of one phase.

    Attributes:
        phase: as the scenario has it, resolved.
        samples: one SAMPLE record per planned request whose client waits for its answer, in any order.
        server: differenced scrapes around the phase; None where the target has no metrics.
        disturbers: the same of the clients that do not simply wait (:mod:`tailgate.harness.behaviour`).
        resources: what the server's processes held; None where they cannot be seen.
        probes: questions that were asked beside the load; none where the phase asks for no probes.
        own_scrapes: how often the harness asked for the metrics between the two readings, the first of them included.
        yardsticks: the readings before and after it, the server idle; None where it was not timed around.
    """

    phase: Phase
    samples: Samples
    server: ServerDelta | None = None
    disturbers: Samples = field(default_factory=lambda: np.zeros(0, SAMPLE))
    resources: ResourceSeries | None = None
    probes: tuple[ProbeRecord, ...] = ()
    own_scrapes: int = 0
    yardsticks: tuple[Yardstick, Yardstick] | None = None

    @property
    def every_sample(self) -> Samples:
        """The records of all requests: what the server must have counted."""
        return np.concatenate([self.samples, self.disturbers])

    @property
    def sent(self) -> Sent:
        """What the client knows of its requests, by what the server can know of them."""
        samples = self.every_sample
        lost = gave_up(samples)
        answered = int(np.sum((samples["status"] > 0) & ~lost))
        return Sent(int(np.sum(~failed(samples))), answered, int(lost.sum()))

    def own_counted(self, counted: float, least: int, most: int) -> int | None:
        """Return how many of the harness's own requests the server counted (:func:`tailgate.harness.counts.own_counted`)."""
        return own_counted(counted, least, most, self.own_scrapes, self.probes)

    def request_histogram(self, names: MetricNames) -> Histogram:
        """Return the server's own latency histogram.

        Raises:
            MeasurementError: the phase has no metrics, or they hold no such histogram.
        """
        if names.request_seconds is None:
            raise MeasurementError("this target names no histogram of request seconds")
        if self.server is None:
            raise MeasurementError(f"phase {self.phase.name!r} has no metrics of the server")
        found = histogram.from_delta(self.server, names.request_seconds)
        sent = self.sent
        own = self.own_counted(found.n, sent.good, sent.answered + sent.lost)
        # None is a fault of the count, and said by the check of it.
        return replace(found, own=own or 0)


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """The phases that one criterion judges, or that one check looks at, in the order in which they ran.

    Attributes:
        phases: their records.
        confidence: one-sided, for each end of every interval.
        names: what the target calls its metrics.
    """

    phases: tuple[PhaseRecord, ...]
    confidence: float = 0.99
    names: MetricNames = field(default_factory=MetricNames)

    @property
    def samples(self) -> Samples:
        """The records of all clients that wait, pooled."""
        if not self.phases:
            return np.zeros(0, SAMPLE)
        return np.concatenate([record.samples for record in self.phases])

    def request_histogram(self) -> Histogram:
        """Return the server's own latency histogram over all phases.

        Raises:
            MeasurementError: a phase has no metrics, or they hold no such histogram.
        """
        return histogram.merge([record.request_histogram(self.names) for record in self.phases])


def failed(samples: Samples) -> NDArray[np.bool_]:
    """Return for each request whether it ended without a good answer."""
    without_answer: NDArray[np.bool_] = (samples["outcome"] != Outcome.OK) | (samples["done_ns"] == 0)
    return without_answer


def latencies_s(samples: Samples) -> Seconds:
    """Return for each request the seconds from its intended time to its last byte, +inf where it failed."""
    seconds = (samples["done_ns"] - samples["intended_ns"]) / 1e9
    return np.where(failed(samples), np.inf, seconds)


def in_order(samples: Samples) -> list[Samples]:
    """Return the samples of each phase, in order of their intended times: slow ones come in runs there."""
    ordered = samples[np.lexsort((samples["intended_ns"], samples["phase"]))]
    starts = np.flatnonzero(np.diff(ordered["phase"])) + 1
    return np.split(ordered, starts)


def duration_s(samples: Samples) -> float:
    """Return the seconds from the first intended time to the last end; 0 for none."""
    if not len(samples):
        return 0.0
    end_ns = max(int(samples["done_ns"].max()), int(samples["intended_ns"].max()))
    return (end_ns - int(samples["intended_ns"].min())) / 1e9


def throughput_per_s(samples: Samples) -> float:
    """Return good answers a second, from the first intended time to the last end.

    Raises:
        MeasurementError: nothing was answered, or all at one instant.
    """
    answered, seconds = int(np.sum(~failed(samples))), duration_s(samples)
    if not answered or seconds <= 0:
        raise MeasurementError(f"{answered} good answers in {seconds} s give no throughput")
    return answered / seconds


def offered_rate_per_s(samples: Samples) -> float | None:
    """Return the rate of the intended times, (n - 1) / (last - first); None for fewer than two of them."""
    intended = samples["intended_ns"]
    if len(intended) < 2 or intended.max() == intended.min():
        return None
    return float((len(intended) - 1) / ((intended.max() - intended.min()) / 1e9))
