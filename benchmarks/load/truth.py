"""The generator's truth: against a server that records its own times, and against theory."""

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from benchmarks.load import law_server
from benchmarks.load.rig import payload, send, server
from benchmarks.targets import Sense, Target
from tailgate import Constant, Phase, Poisson, Trace, latencies_s
from tailgate.harness.load.records.samples import Samples

LAWS = ("zero", "constant", "exponential", "bimodal")
RATE_PER_S = 400.0
QUANTILES = (0.5, 0.95, 0.99)
# Each true time is paired with so many costs, drawn from the zero-service requests of the same run.
PAIRINGS = 200

Seconds = NDArray[np.float64]


def prove(seconds: float) -> tuple[list[Target], dict[str, Any]]:
    """Run all proofs of truth; ``seconds`` is the length of the longest."""
    of_laws, laws = prove_laws(seconds)
    of_frozen, frozen = prove_frozen()
    of_rate, rate = prove_rate(seconds / 3)
    return [*of_laws, *of_frozen, of_rate], {"laws": laws, "frozen": frozen, "rate": rate}


def prove_laws(seconds: float) -> tuple[list[Target], dict[str, Any]]:
    """Compare quantiles under four laws, mixed in one run, with the server's own.

    The client sees the server's time plus the cost of the way, which zero-service requests show alone. The quantiles of
    a sum are not the sums of quantiles. So the true times are paired at random with costs, and the excess of the
    quantiles of these sums over the true ones is subtracted from the client's.
    """
    phases = [
        Phase("warm-up", Poisson(RATE_PER_S), duration_s=1.0, measured=False),
        Phase("laws", Poisson(RATE_PER_S), duration_s=seconds),
    ]
    with tempfile.TemporaryDirectory() as directory:
        truth_file = Path(directory) / "truth.json"
        with server("law_server", str(truth_file)) as port:
            (warm_up, report), samples = send(port, phases, [payload(f"/{law}") for law in LAWS])
        truth = orjson.loads(truth_file.read_bytes())
    seen = {law: latencies_s(_of_payload(samples, index)) for index, law in enumerate(LAWS)}
    # The server answers in another order than that of the plan, but the warm-up's requests all come first.
    true = {law: np.array(truth[f"/{law}"][-len(seen[law]) :]) for law in LAWS}
    cost_s = seen["zero"] - np.median(true["zero"])
    found: list[Target] = []
    figures: dict[str, Any] = {}
    for law in LAWS[1:]:
        figures[law] = compare(true[law], seen[law], cost_s)
        worst = max(figures[law].values(), key=lambda row: row["error_of_limit"])
        what = f"{law} service times: error of p50, p95 and p99 against the server's own record"
        error = f"{worst['error_s'] * 1e6:.1f} µs of {worst['true_s'] * 1e3:.3f} ms"
        note = f"n = {len(seen[law])}; the worst is {error}"
        found.append(Target(what, Sense.AT_MOST, 1.0, worst["error_of_limit"], "× (1 % or 50 µs)", note))
    figures["cost_s"] = quantiles(cost_s)
    figures["failed"] = warm_up.failed + report.failed
    return found, figures


def _of_payload(samples: Samples, index: int) -> Samples:
    """Return one payload's requests after the warm-up."""
    chosen: Samples = samples[(samples["payload"] == index) & (samples["phase"] == samples["phase"].max())]
    return chosen


def compare(true: Seconds, seen: Seconds, cost_s: Seconds) -> dict[str, dict[str, float]]:
    """Return for each quantile: the true one, the one seen, the cost to subtract, and the remaining error."""
    rng = np.random.default_rng(1)
    expected = np.tile(true, PAIRINGS) + rng.choice(cost_s, len(true) * PAIRINGS)
    rows = {}
    for share in QUANTILES:
        of_true, of_seen, of_sum = (float(np.quantile(times, share)) for times in (true, seen, expected))
        error_s = of_seen - (of_sum - of_true) - of_true
        rows[f"p{share * 100:g}"] = {
            "true_s": of_true,
            "seen_s": of_seen,
            "cost_s": of_sum - of_true,
            "error_s": error_s,
            "error_of_limit": abs(error_s) / max(50e-6, 0.01 * of_true),
        }
    return rows


def prove_frozen() -> tuple[list[Target], dict[str, Any]]:
    """Freeze the server for 2 s of 20 s at 100 requests/s: mean F²/2T, and p99 F − T/100 (coordinated omission)."""
    length_s, rate_per_s, freeze_s = 20.0, 100.0, law_server.FREEZE_S
    count = round(length_s * rate_per_s)
    names = ["zero"] * count
    names[count // 2] = "freeze"
    trace = Trace(tuple(index / rate_per_s for index in range(count)), tuple(names))
    phases, payloads = [Phase("frozen", trace, requests=count)], [payload("/zero"), payload("/freeze")]
    with server("law_server", os.devnull) as port:
        _, samples = send(port, phases, payloads)
    seconds = latencies_s(samples)
    p99_s = float(np.quantile(seconds, 0.99, method="inverted_cdf"))
    measured_s = {"mean": float(seconds.mean()), "p99": p99_s}
    theory_s = {"mean": freeze_s**2 / (2 * length_s), "p99": freeze_s - length_s / 100}
    found = []
    for name, wanted_s in theory_s.items():
        what = f"server frozen for 2 s of 20 s: error of the {name} against theory ({wanted_s:g} s)"
        error = abs(measured_s[name] / wanted_s - 1) * 100
        found.append(Target(what, Sense.AT_MOST, 2.0, error, "%", f"{count} requests"))
    figures = {f"{name}_s": value_s for name, value_s in measured_s.items()}
    return found, figures | {f"theory_{name}_s": value_s for name, value_s in theory_s.items()}


def prove_rate(seconds: float) -> tuple[Target, dict[str, float]]:
    """Compare the rate of what was sent with that of the schedule."""
    rate_per_s = 1_000.0
    phases = [Phase(law.__name__, law(rate_per_s), duration_s=seconds) for law in (Constant, Poisson)]
    with server("echo_server") as port:
        _, samples = send(port, phases, [payload("/predict")])
    errors = {}
    for index, phase in enumerate(phases):
        rows = samples[samples["phase"] == index]
        intended_s, sent_s = (float(np.ptp(rows[name])) / 1e9 for name in ("intended_ns", "sent_ns"))
        errors[phase.name] = abs(intended_s / sent_s - 1) * 100
    what = f"rate sent against the schedule, {rate_per_s:,.0f}/s for {seconds:.0f} s"
    note = "constant and Poisson, the worse"
    return Target(what, Sense.AT_MOST, 0.1, max(errors.values()), "%", note), errors


def quantiles(seconds: Seconds) -> dict[str, float]:
    """Return the quantiles to compare."""
    return {f"p{share * 100:g}": float(np.quantile(seconds, share)) for share in QUANTILES}
