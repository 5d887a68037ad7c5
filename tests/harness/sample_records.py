"""Records and windows for tests of whatever reads them: a few arguments, everything else plausible."""

import numpy as np
import prometheus_client

from tailgate.harness.load.records.samples import SAMPLE, SAMPLE_FILE, Outcome
from tailgate.harness.measures import built_in_measures
from tailgate.harness.observe.delta import difference
from tailgate.harness.observe.window import PhaseRecord, Window
from tailgate.harness.scenario.arrivals import Poisson
from tailgate.harness.scenario.scenario import Phase
from tailgate.harness.target.asking import exposition as scrape

MEASURES = {measure.name: measure for measure in built_in_measures()}
START_NS = 5_000_000_000
EDGES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


def write_samples(path, records):
    """Write records as the generator does."""
    path.write_bytes(SAMPLE_FILE.header() + records.astype(SAMPLE, copy=False).tobytes())


def samples(latencies_s, *, rate_per_s=100.0, intended_s=None, lag_s=0.0, outcome=Outcome.OK, status=200):
    """Build one record for each latency, counted from its intended time; the wire takes all but the lag."""
    latencies = np.asarray(latencies_s, dtype=np.float64)
    records = np.zeros(len(latencies), SAMPLE)
    offsets_s = np.arange(len(latencies)) / rate_per_s if intended_s is None else np.asarray(intended_s)
    records["intended_ns"] = START_NS + np.rint(offsets_s * 1e9).astype(np.int64)
    records["dispatched_ns"] = records["intended_ns"] + np.rint(np.asarray(lag_s) * 1e9).astype(np.int64)
    records["sent_ns"] = records["dispatched_ns"]
    records["done_ns"] = records["intended_ns"] + np.rint(latencies * 1e9).astype(np.int64)
    records["first_byte_ns"] = records["done_ns"]
    records["request"] = np.arange(len(latencies))
    records["outcome"], records["status"] = outcome, status
    return records


def delta(server_s, *, edges=EDGES, requests=None):
    """Build what a server counted that observed these seconds; ``requests`` where its counter says otherwise."""
    registry = prometheus_client.CollectorRegistry()
    seconds = prometheus_client.Histogram("tailgate_request_seconds", "S.", buckets=edges, registry=registry)
    counter = prometheus_client.Counter("tailgate_requests_total", "R.", ["outcome"], registry=registry)
    before = prometheus_client.generate_latest(registry).decode()
    for value in server_s:
        seconds.observe(value)
    counter.labels("ok").inc(len(server_s) if requests is None else requests)
    after = prometheus_client.generate_latest(registry).decode()
    return difference(scrape.parse(before, 1), scrape.parse(after, 10_000_000_001))


def phase(name="load", arrivals=None, requests=1):
    """Build a phase; its extent matters to nobody here."""
    return Phase(name, arrivals or Poisson(100.0), requests=requests)


def record(records, server=None, *, name="load", arrivals=None):
    """Build what both witnesses saw of one phase."""
    return PhaseRecord(phase(name, arrivals), records, server)


def window(*records, confidence=0.99, **changes):
    """Build a window over phase records, or over bare samples as one phase each."""
    phases = tuple(
        one if isinstance(one, PhaseRecord) else record(one, name=f"phase{index}")
        for index, one in enumerate(records)
    )
    return Window(phases, confidence, **changes)
