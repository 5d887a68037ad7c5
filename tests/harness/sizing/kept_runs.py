"""A run's folder, as the gate keeps one, of the service's own queue in virtual time."""

from dataclasses import replace
from functools import cache

import numpy as np
import orjson
from sample_records import record, write_samples
from virtual_service import as_samples, recorded

from tailgate.harness.observe import slot_file
from tailgate.harness.observe.scrapes import SCRAPES
from tailgate.harness.observe.slot_record import Slot, SlotRecord
from tailgate.harness.results import file as results_file
from tailgate.harness.scenario.arrivals import ClosedLoop, Poisson
from tailgate.harness.scenario.scenario import Phase, Scenario
from tailgate.harness.testing import run_result

CAP, REQUESTS, RATE = 32, 3_000, 700.0


def batch_s(size):
    return (4.4 + 0.55 * size) / 1000


@cache
def records():
    arrivals_s = Poisson(RATE).draw(np.random.default_rng(1), requests=REQUESTS, duration_s=None)
    return as_samples(recorded(batch_s, CAP, arrivals_s, event_loop_s=50e-6, spread=0.05))


def keep(run, *, arm="head", cap=CAP, law=None, measured=True, changed=None):
    """Write a slot into a run's folder; ``changed`` are fields of its records, ``cap`` what its metrics name, None for nothing."""
    phase = Phase("load", law or Poisson(RATE), requests=REQUESTS, measured=measured)
    own = records().copy()
    for name, value in (changed or {}).items():
        own[name] = value
    slot = Slot(Scenario("x", "d", (phase,), ()), arm, 0, 1, 7)
    kept = SlotRecord(slot, (REQUESTS,), (replace(record(own), phase=phase),), (), (), run, ())
    directory = run / f"x-{arm}-0"
    directory.mkdir(parents=True)
    write_samples(directory / "samples.bin", own)
    slot_file.write(kept, directory)
    results_file.write(run_result([], scenario="x"), run / results_file.RESULTS)
    label = "" if cap is None else f'max_batch_size="{cap}",'
    text = f'# TYPE tailgate_info gauge\ntailgate_info{{{label}model="m"}} 1.0\n'
    lines = [orjson.dumps({"phase": 0, "time_ns": time_ns, "text": text}) for time_ns in (1, 2)]
    (directory / SCRAPES).write_bytes(b"\n".join(lines))
    return run


CLOSED = ClosedLoop(8)
