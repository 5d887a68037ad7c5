"""The truth of streamed answers: when the generator says that a token came, against the server's own record of its write."""

import dataclasses
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from benchmarks.load.rig import SEED, hogs, payload, server
from benchmarks.processors import client_processor
from benchmarks.targets import Sense, Target
from tailgate import Phase, PhaseRecord, Poisson, Scenario, Window, draw_plan
from tailgate.harness.load import Generator, LoadSettings, Scheduling
from tailgate.harness.load.records.events import Events, gaps_ns
from tailgate.harness.load.records.samples import Samples
from tailgate.harness.load.wire.request_id import request_id
from tailgate.harness.observe.window import reading_lags_s
from tailgate.harness.verdict.faults import check_reading_lag

RATE_PER_S = 40.0
PREFIX = "5eed" * 4
QUANTILES = (0.5, 0.95, 0.99)
# A limit on the time between tokens that a generator which is kept from its processor cannot resolve.
LIMIT_S = 0.005

Seconds = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What both sides recorded of one measured phase."""

    phase: PhaseRecord
    written_ns: Mapping[str, list[int]]  # by the request's id

    @property
    def first_s(self) -> tuple[Seconds, Seconds]:
        """The times from the intended time to the first token, by the server and by the client."""
        samples = self.phase.samples
        written = np.array([self.written_ns[one][0] for one in self._ids])
        intended = samples["intended_ns"]
        return (written - intended) / 1e9, (samples["first_event_ns"] - intended) / 1e9

    @property
    def gaps_s(self) -> tuple[Seconds, Seconds]:
        """The times between tokens, likewise."""
        written = np.concatenate([np.diff(self.written_ns[one]) for one in self._ids])
        return written / 1e9, gaps_ns(self.phase.events) / 1e9

    @property
    def lag_s(self) -> float:
        """p99 of the generator's own reading lag."""
        return float(np.quantile(reading_lags_s([self.phase]), 0.99))

    @property
    def _ids(self) -> list[str]:
        return [request_id(PREFIX, int(one["phase"]), int(one["request"])) for one in self.phase.samples]


def prove(seconds: float) -> tuple[list[Target], dict[str, Any]]:
    """Compare quantiles of the time to the first token and between tokens with the server's own record."""
    seen = measure(seconds)
    found: list[Target] = []
    figures: dict[str, Any] = {"reading_lag_p99_s": seen.lag_s, "processors": len(os.sched_getaffinity(0))}
    for what, (true_s, seen_s) in (
        ("time to first token", seen.first_s),
        ("time between tokens", seen.gaps_s),
    ):
        figures[what] = compare(true_s, seen_s, seen.lag_s)
        for name, row in figures[what].items():
            stated = " and the stated reading lag" if name == "p99" else ""
            found.append(
                Target(
                    f"{what}: error of {name} against the server's own record",
                    Sense.AT_MOST,
                    1.0,
                    row["error_of_limit"],
                    f"× (1 % or 50 µs{stated})",
                    f"n = {len(seen_s)}; {row['error_s'] * 1e6:.1f} µs of {row['true_s'] * 1e3:.3f} ms",
                )
            )
    starved = measure(min(seconds, 10.0), starved=True)
    faults = [fault.text for fault in check_reading_lag(Window((starved.phase,)), [LIMIT_S])]
    figures["starved"] = {"reading_lag_p99_s": starved.lag_s, "faults": faults}
    what = f"4 loops on its processor: a limit of {LIMIT_S * 1e3:g} ms between tokens is INVALID"
    found.append(Target(what, Sense.AT_LEAST, 1.0, float(len(faults)), "fault", "; ".join(faults)))
    return found, figures


def measure(seconds: float, *, starved: bool = False) -> Seen:
    """Load the server from a processor of the generator's own; ``starved``: one that four endless loops want, too."""
    phases = (
        Phase("warm-up", Poisson(RATE_PER_S), duration_s=1.0, measured=False),
        Phase("streams", Poisson(RATE_PER_S), duration_s=seconds),
    )
    plan = draw_plan(Scenario("benchmark", "streams of tokens", phases, ()), [payload("/stream")], SEED)
    with tempfile.TemporaryDirectory() as directory:
        truth_file = Path(directory) / "truth.json"
        with server("stream_server", str(truth_file)) as port:
            settings = LoadSettings(
                "127.0.0.1",
                port,
                connections_warm=32,
                processor=client_processor(),
                id_prefix=PREFIX,
                scheduling=Scheduling.NORMAL if starved else Scheduling.FIFO,
            )
            with (
                hogs([client_processor()] * 4 if starved else []),
                Generator(plan, settings, Path(directory)) as generator,
            ):
                for index in range(len(phases)):
                    generator.run_phase(index)
                samples, events = generator.samples(), generator.events()
        return Seen(_last(phases[-1], samples, events), orjson.loads(truth_file.read_bytes()))


def _last(phase: Phase, samples: Samples, events: Events) -> PhaseRecord:
    index = samples["phase"].max()
    return PhaseRecord(phase, samples[samples["phase"] == index], events=events[events["phase"] == index])


def compare(true_s: Seconds, seen_s: Seconds, lag_s: float) -> dict[str, dict[str, float]]:
    """Return for each quantile the true one, the one seen, and the error as a share of what it may be."""
    if len(true_s) != len(seen_s):
        raise ValueError(f"the server wrote {len(true_s)} times, and the generator has {len(seen_s)}")
    rows = {}
    for share in QUANTILES:
        of_true, of_seen = (float(np.quantile(times, share)) for times in (true_s, seen_s))
        allowed_s = max(50e-6, 0.01 * of_true) + (lag_s if share > 0.95 else 0.0)
        error_s = of_seen - of_true
        rows[f"p{share * 100:g}"] = {
            "true_s": of_true,
            "seen_s": of_seen,
            "error_s": error_s,
            "error_of_limit": abs(error_s) / allowed_s,
        }
    return rows
