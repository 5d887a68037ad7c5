"""A phase as it runs: what its records say so far, read from their file while the generator writes it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tailgate.harness.load.records.samples import SAMPLE, SAMPLE_FILE, SAMPLES, Outcome, Samples
from tailgate.harness.results.failure import kind
from tailgate.harness.scenario.plan import PlannedPhase

# Rates and quantiles are of this time, and of so many requests at the most: beside the load, reading must cost little.
WINDOW_S = 10.0
_MOST_OF_A_WINDOW = 20_000


@dataclass(frozen=True, slots=True)
class PhaseLoad:
    """A phase that is about to be sent."""

    scenario: str
    index: int
    phase: PlannedPhase
    stretch: float  # of its offsets
    directory: Path  # where its records go

    @property
    def length_s(self) -> float | None:
        """Seconds that its load takes; None where the server's answers decide that."""
        return None if self.phase.closed_loop is not None else self.phase.length_s * self.stretch


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a phase at one moment; rates and quantiles are of the last seconds, None where these had no request."""

    elapsed_s: float
    ended: int
    offered_per_s: float | None
    achieved_per_s: float | None
    quantiles_s: Mapping[str, float] = field(default_factory=dict)
    refused: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)  # by kind


class Following:
    """Reads the records of one phase as they come."""

    def __init__(self, load: PhaseLoad, now_ns: int) -> None:
        self._load = load
        self._start_ns = now_ns
        self._path = load.directory / SAMPLES
        # Earlier phases lie before this one, whole.
        self._offset = self._path.stat().st_size if self._path.is_file() else 0
        self._recent = np.zeros(0, SAMPLE)
        self._outcomes: Counter[tuple[int, int]] = Counter()

    def seen(self, now_ns: int) -> Seen:
        """Return what is known now, of CLOCK_MONOTONIC."""
        new = self._new()
        pairs = zip(new["outcome"].tolist(), new["status"].tolist(), strict=True)
        self._outcomes.update(pairs)
        elapsed_s = (now_ns - self._start_ns) / 1e9
        since_ns = max(self._start_ns, now_ns - int(WINDOW_S * 1e9))
        recent = np.concatenate([self._recent, new])[-_MOST_OF_A_WINDOW:]
        self._recent = recent[recent["done_ns"] >= since_ns]
        window_s = min(elapsed_s, WINDOW_S)
        good = self._recent[self._recent["outcome"] == Outcome.OK]
        seconds = (good["done_ns"] - good["intended_ns"]) / 1e9
        shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99} if len(seconds) else {}
        failures: Counter[str] = Counter()
        for (outcome, status), count in self._outcomes.items():
            if outcome not in {Outcome.OK, Outcome.SHED}:
                failures[kind(Outcome(outcome).name.lower(), status)] += count
        refused = sum(count for (outcome, _), count in self._outcomes.items() if outcome == Outcome.SHED)
        return Seen(
            elapsed_s,
            self._outcomes.total(),
            self._offered(now_ns, window_s),
            len(good) / window_s if window_s > 0 else None,
            {
                name: float(np.quantile(seconds, share, method="inverted_cdf"))
                for name, share in shares.items()
            },
            refused,
            dict(failures.most_common()),
        )

    def _offered(self, now_ns: int, window_s: float) -> float | None:
        load = self._load
        if load.length_s is None or window_s <= 0:
            return None
        to_ns = now_ns - self._start_ns
        ends = np.array([to_ns - window_s * 1e9, to_ns]) / load.stretch
        first, last = np.searchsorted(load.phase.offsets_ns, ends, "right")
        return float(last - first) / window_s

    def _new(self) -> Samples:
        """Return the records that came since the last time; one that is not whole yet is left for the next."""
        header = len(SAMPLE_FILE.header())
        try:
            with self._path.open("rb") as file:
                self._offset = max(self._offset, header)
                file.seek(self._offset)
                content = file.read()
        except OSError:
            content = b""
        whole = len(content) // SAMPLE.itemsize
        self._offset += whole * SAMPLE.itemsize
        new = np.frombuffer(content, SAMPLE, count=whole)
        chosen: Samples = new[new["phase"] == self._load.index]
        return chosen
