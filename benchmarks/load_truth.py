"""Is what the generator measures true? Against a server that records its own times, and against theory."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from benchmarks import law_server
from benchmarks.claims import Claim, Sense
from benchmarks.load_run import payload, send, server
from tailgate.harness.load.samples import Samples
from tailgate.harness.scenario.arrivals import Constant, Poisson
from tailgate.harness.scenario.scenario import Phase
from tailgate.harness.scenario.trace import Trace

LAWS = ("zero", "constant", "exponential", "bimodal")
RATE_PER_S = 400.0
QUANTILES = (0.5, 0.95, 0.99)
# Each true time is paired with so many of the costs, drawn from the zero-service requests of the same run.
PAIRINGS = 200

Seconds = NDArray[np.float64]


def prove(seconds: float) -> tuple[list[Claim], dict[str, Any]]:
    """Run all proofs of truth; ``seconds`` is the length of the longest."""
    claims, figures = prove_laws(seconds)
    frozen_claims, frozen = prove_frozen()
    rate_claims, rate = prove_rate(seconds / 3)
    return [*claims, *frozen_claims, *rate_claims], {"laws": figures, "frozen": frozen, "rate": rate}


def prove_laws(seconds: float) -> tuple[list[Claim], dict[str, Any]]:
    """Compare quantiles under four laws, mixed in one run, with the server's own.

    What the client sees is the server's time plus the cost of the way, which zero-service requests show alone. The
    quantiles of a sum are not the sum of quantiles: so the true times are paired at random with costs, and what the
    quantiles of such sums exceed the true ones by is taken off the client's.
    """
    with tempfile.TemporaryDirectory() as directory:
        truth_file = Path(directory) / "truth.json"
        with server("law_server", str(truth_file)) as port:
            phases = [
                Phase("warm-up", Poisson(RATE_PER_S), duration_s=1.0, measured=False),
                Phase("laws", Poisson(RATE_PER_S), duration_s=seconds),
            ]
            (warm_up, report), samples = send(port, phases, [payload(f"/{law}") for law in LAWS])
        truth = orjson.loads(truth_file.read_bytes())
    seen = {law: latencies_s(samples, index) for index, law in enumerate(LAWS)}
    # The server answers in another order than requests were meant, but the warm-up's all come first.
    true = {law: np.array(truth[f"/{law}"][-len(seen[law]) :]) for law in LAWS}
    cost_s = seen["zero"] - np.median(true["zero"])
    claims: list[Claim] = []
    figures: dict[str, Any] = {}
    for law in LAWS[1:]:
        figures[law] = compare(true[law], seen[law], cost_s)
        worst = max(figures[law].values(), key=lambda row: row["error_of_limit"])
        claims.append(
            Claim(
                f"{law} service times: error of p50, p95 and p99 against the server's own record",
                worst["error_of_limit"],
                Sense.AT_MOST,
                1.0,
                "× (1 % or 50 µs)",
                f"n = {len(seen[law])}; the worst is {worst['error_s'] * 1e6:.1f} µs of {worst['true_s'] * 1e3:.3f} ms",
            )
        )
    figures["cost_s"] = quantiles(cost_s)
    figures["failed"] = warm_up.failed + report.failed
    return claims, figures


def compare(true: Seconds, seen: Seconds, cost_s: Seconds) -> dict[str, dict[str, float]]:
    """Return for each quantile the true one, the one seen, the cost to take off, and the error that is left."""
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


def prove_frozen() -> tuple[list[Claim], dict[str, Any]]:
    """Freeze the server for 2 s of 20 s at 100 requests/s: mean F²/2T, and p99 F − T/100 (coordinated omission)."""
    length_s, rate_per_s, freeze_s = 20.0, 100.0, law_server.FREEZE_S
    count = round(length_s * rate_per_s)
    names = ["zero"] * count
    names[count // 2] = "freeze"
    trace = Trace(tuple(index / rate_per_s for index in range(count)), tuple(names))
    with (
        tempfile.TemporaryDirectory() as directory,
        server("law_server", str(Path(directory) / "truth")) as port,
    ):
        _, samples = send(
            port, [Phase("frozen", trace, requests=count)], [payload("/zero"), payload("/freeze")]
        )
    seconds = latencies_s(samples)
    mean_s, p99_s = freeze_s**2 / (2 * length_s), freeze_s - length_s / 100
    measured = {
        "mean_s": float(seconds.mean()),
        "p99_s": float(np.quantile(seconds, 0.99, method="inverted_cdf")),
    }
    note = f"{count} requests; the sender's own simulation of it is a test"
    claims = [
        Claim(
            f"server frozen for 2 s of 20 s: error of the {name} against theory ({theory_s:g} s)",
            abs(value_s / theory_s - 1) * 100,
            Sense.AT_MOST,
            2.0,
            "%",
            note,
        )
        for name, theory_s, value_s in (
            ("mean", mean_s, measured["mean_s"]),
            ("p99", p99_s, measured["p99_s"]),
        )
    ]
    return claims, {**measured, "theory_mean_s": mean_s, "theory_p99_s": p99_s}


def prove_rate(seconds: float) -> tuple[list[Claim], dict[str, Any]]:
    """Compare the rate of what was sent with that of the schedule."""
    rate_per_s = 1_000.0
    with server("echo_server") as port:
        phases = [Phase(law.__name__, law(rate_per_s), duration_s=seconds) for law in (Constant, Poisson)]
        _, samples = send(port, phases, [payload("/predict")])
    errors = {}
    for index, phase in enumerate(phases):
        rows = samples[samples["phase"] == index]
        intended_s, sent_s = (float(np.ptp(rows[name])) / 1e9 for name in ("intended_ns", "sent_ns"))
        errors[phase.name] = abs(intended_s / sent_s - 1) * 100
    worst = max(errors.values())
    what = f"rate sent against the schedule, {rate_per_s:,.0f}/s for {seconds:.0f} s"
    return [Claim(what, worst, Sense.AT_MOST, 0.1, "%", "constant and Poisson, the worse")], errors


def latencies_s(samples: Samples, payload_index: int | None = None) -> Seconds:
    """Return seconds from the intended time to the last byte, of one payload's requests after the warm-up, or of all."""
    if payload_index is not None:
        samples = samples[
            (samples["payload"] == payload_index) & (samples["phase"] == samples["phase"].max())
        ]
    seconds: Seconds = (samples["done_ns"] - samples["intended_ns"]) / 1e9
    return seconds


def quantiles(seconds: Seconds) -> dict[str, float]:
    """Return the quantiles that are compared."""
    return {f"p{share * 100:g}": float(np.quantile(seconds, share)) for share in QUANTILES}
