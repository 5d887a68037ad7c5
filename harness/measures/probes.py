"""How soon the service answers those who look after it, while others load it."""

from dataclasses import dataclass

import numpy as np

from tailgate.harness import statistics
from tailgate.harness.errors import MeasurementError
from tailgate.harness.measures.measure import Estimate, refuse_server
from tailgate.harness.observe.probes import Asked
from tailgate.harness.observe.window import Window
from tailgate.harness.results.verdict import Better
from tailgate.harness.scenario.scenario import Criterion, quantile_name
from tailgate.harness.units import Unit


@dataclass(frozen=True, slots=True)
class ProbeLatency:
    """A quantile of the time to a whole answer from the readiness path, or from the metrics (:mod:`tailgate.harness.observe.probes`).

    Without an answer, or with one that is not 2xx, a probe is infinitely late: a service that says under load that it is
    not ready takes itself out of service. Distribution-free; 44 probes without a miss bound p90 at confidence 0.99,
    and 7 bound p50.
    """

    asked: Asked
    share: float
    unit: Unit = Unit.SECONDS
    better: Better = Better.LOWER
    rests_on_lag: bool = False

    @property
    def name(self) -> str:
        """Such as ``health_p90``."""
        return f"{self.asked.value}_{quantile_name(self.share)}"

    def estimate(self, window: Window, criterion: Criterion) -> Estimate:
        """Estimate in seconds; n is the number of probes.

        Raises:
            MeasurementError: none was sent.
        """
        refuse_server(self, criterion)
        probes = [probe for record in window.phases for probe in record.probes if probe.asked is self.asked]
        if not probes:
            raise MeasurementError(
                f"{self.name}: no probe was sent; does the phase ask for probes, and has the target such a path?"
            )
        seconds = np.array([probe.seconds for probe in probes])
        low, high = statistics.quantile_interval(seconds, self.share, window.confidence)
        unanswered = int(np.isinf(seconds).sum())
        note = f"{unanswered} of {len(probes)} probes had no good answer" if unanswered else ""
        value = statistics.quantile(seconds, self.share)
        return Estimate(value, low, high, len(probes), window.confidence, note)
