"""How a service refuses: how soon, and whether it says when to come back."""

from dataclasses import dataclass

import numpy as np

from tailgate.harness import statistics
from tailgate.harness.errors import MeasurementError
from tailgate.harness.load.samples import Outcome, Samples
from tailgate.harness.measures.dependence import quantile_interval
from tailgate.harness.measures.measure import Estimate, Measure, refuse_server
from tailgate.harness.measures.rates import share_of
from tailgate.harness.observe.window import Seconds, Window, in_order
from tailgate.harness.results.verdict import Better
from tailgate.harness.scenario.scenario import Criterion, quantile_name
from tailgate.harness.units import Unit


@dataclass(frozen=True, slots=True)
class RefusalLatency:
    """A quantile of the time to a refusal (429 or 503): a client that is sent away should learn it at once.

    From the moment at which the generator took the request up, so that a wait for a connection counts and the
    generator's own lag does not; to the last byte. Distribution-free, as all quantiles (:mod:`tailgate.harness.statistics`).
    """

    share: float = 0.5
    unit: Unit = Unit.SECONDS
    better: Better = Better.LOWER
    rests_on_lag: bool = False

    @property
    def name(self) -> str:
        """Such as ``refusal_p50``."""
        return f"refusal_{quantile_name(self.share)}"

    def estimate(self, window: Window, criterion: Criterion) -> Estimate:
        """Estimate in seconds; n is the number of refusals.

        Raises:
            MeasurementError: nothing was refused.
        """
        refuse_server(self, criterion)
        refused = _refused(self, window)
        stretches = [_seconds(part) for part in in_order(refused)]
        (low, high), worth = quantile_interval(stretches, self.share, window.confidence)
        value = statistics.quantile(np.concatenate(stretches), self.share)
        return Estimate(value, low, high, len(refused), window.confidence, worth=worth)


@dataclass(frozen=True, slots=True)
class UnhintedRefusals:
    """The share of refusals without a Retry-After that can be read (RFC 9110, section 10.2.3)."""

    name: str = "unhinted_refusals"
    unit: Unit = Unit.SHARE
    better: Better = Better.LOWER

    def estimate(self, window: Window, criterion: Criterion) -> Estimate:
        """Estimate the share; n is the number of refusals.

        Raises:
            MeasurementError: nothing was refused.
        """
        refuse_server(self, criterion)
        refused = _refused(self, window)
        return share_of([np.isnan(part["retry_after_s"]) for part in in_order(refused)], window, criterion)


def _seconds(refused: Samples) -> Seconds:
    seconds: Seconds = (refused["done_ns"] - refused["dispatched_ns"]) / 1e9
    return seconds


def _refused(measure: Measure, window: Window) -> Samples:
    samples = window.samples
    refused: Samples = samples[samples["outcome"] == Outcome.SHED]
    if not len(refused):
        raise MeasurementError(
            f"{measure.name}: none of {len(samples)} requests was refused: this load was no overload"
        )
    return refused
