"""The tables of figures, made of the results of benchmarks."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
import orjson

from benchmarks.faults import pictures
from benchmarks.gate import coverage, estimators, naive, shown_runs
from benchmarks.gate import tables as ledger_tables
from benchmarks.gate.simulation.tally import markdown, worst
from benchmarks.limits import precision
from benchmarks.record import RESULTS
from benchmarks.serving import overload
from benchmarks.spread import figure
from docs.declared import table
from tailgate.harness.report.terminal import Detail, render, screen_of
from tailgate.harness.results import file as results_file
from tailgate.harness.results import ledger

WIDTH = 100  # of a terminal

PEERS = {
    "mosec": "Mosec",
    "triton": "Triton",
    "litserve": "LitServe",
    "bentoml": "BentoML",
    "ray": "Ray Serve",
}
WORKLOADS = {
    "noop": "no-op",
    "mobilenet-best": "MobileNet, each at its best",
    "mobilenet": "MobileNet, same executor",
    "photo-best": "photographs, each at its best",
    "photo": "photographs, same executor",
}


def result(name: str) -> Any:
    """Read a file of results."""
    return orjson.loads((RESULTS / f"{name}.json").read_bytes())


def peers(name: str) -> str:
    """Return requests per second of tailgate, and tailgate over each peer, by workload and connections."""
    cells = result(name)["cells"]
    connections = sorted({cell["connections"] for cell in cells})
    workloads = [name for name in WORKLOADS if any(cell["workload"] == name for cell in cells)]
    found = {(cell["workload"], cell["connections"], cell["server"]): cell for cell in cells}

    def row(title: str, server: str, measured: str) -> Iterable[str]:
        yield title
        for workload in workloads:
            mine = [found.get((workload, at, server)) for at in connections]
            yield " / ".join("–" if cell is None else figure(cell[measured]["median"]) for cell in mine)

    counted = " / ".join(map(str, connections))
    headings = ("connections", *(f"{WORKLOADS[name]}, {counted}" for name in workloads))
    rows = [row("tailgate, requests/s", "tailgate", "requests_per_s")]
    rows += [row(f"tailgate over {title}", server, "tailgate_over_it") for server, title in PEERS.items()]
    return table(headings, [tuple(one) for one in rows])


def targets(name: str) -> str:
    """Return every target of a benchmark, what came out, and whether it is met."""
    words = {None: "not measured", True: "yes", False: "**no**"}
    return table(
        ("", "target", "measured", "range", "met"),
        [
            (
                one["what"],
                _with_unit(one["target"], one["unit"]),
                *_spread(one["measured"], one["unit"]),
                words[one["met"]],
            )
            for one in result(name)["targets"]
        ],
    )


def waiting_rates() -> str:
    """Return the requests per second of the rule of waiting, of fixed windows and of Mosec, by connections."""
    by_count = result("waiting")["requests_per_s"]
    names = list(next(iter(by_count.values())))
    rows = [(name, *(figure(cells[name]["median"]) for cells in by_count.values())) for name in names]
    return table(("connections", *by_count), rows)


def _spread(measured: Any, unit: str) -> tuple[str, str]:
    if isinstance(measured, Mapping):
        return _with_unit(
            figure(measured["median"]), unit
        ), f"{figure(measured['low'])} to {figure(measured['high'])}"
    return ("" if measured is None else _with_unit(figure(measured), unit)), ""


def load_claims() -> str:
    """Return every claim of the load generator, its limit, and what came out."""
    return table(
        ("claim", "target", "measured", "how"),
        [
            (
                one["what"],
                _with_unit(one["target"], one["unit"]),
                _with_unit(figure(one["measured"]), one["unit"]),
                one["note"],
            )
            for one in result("load-proofs")["claims"]
        ],
    )


def _with_unit(number: str, unit: str) -> str:
    return f"{number} {unit}".strip()


def of_ledger() -> str:
    """Return the ledger of the gate's runs against code whose answer is known."""
    return ledger_tables.tables(ledger.read(RESULTS / "gate-ledger.jsonl").entries)


def tallies(name: str) -> str:
    """Return the tables of a simulation of the gate, one for each kind of condition."""
    parts = []
    for title, rows in result(name).items():
        if isinstance(rows, list) and rows and isinstance(rows[0], Mapping):
            after = f"\n\n{worst(rows)}" if title.startswith("unchanged") else ""
            parts.append(f"**{title[0].upper()}{title[1:]}**\n\n{markdown(rows)}{after}")
    return "\n\n".join(parts)


def beside_naive_rules(*effects: str) -> str:
    """Return false alarms of the rules that people use, and of the gate; and their misses of these effects, or of all."""
    found = msgspec.convert(result("gate-naive")["rules"], list[naive.Standing])
    return naive.table(found, effects or list(found[0].misses))


def budgets_in_a_queue() -> str:
    """Return how often a budget's PASS and FAIL are false where requests queue."""
    return coverage.table(msgspec.convert(result("gate-coverage")["cells"], list[coverage.Cell]))


def spreads_of_estimators() -> str:
    """Return how much each estimator of a block spreads without a change."""
    lines = next(iter(result("gate-estimators")["cuts"].values()))
    machines = {
        "no stalls": ("p50", "p95", "p99"),
        "rare long stalls": ("p95", "p99"),
        "many stalls": ("p99",),
    }
    asked = [(quantile, machine) for machine, quantiles in machines.items() for quantile in quantiles]
    return estimators.spreads(msgspec.convert(lines, list[estimators.Line]), asked)


def shown_run(name: str, *, only: str = "") -> str:
    """Return a kept run as the terminal shows it, behind its command; with ``-v`` and ``only`` the lines that begin so."""
    result = results_file.read(shown_runs.SHOWN / f"{name}.json")
    detail = Detail.EVERYTHING if only else Detail.USUAL
    screen = screen_of(WIDTH, colours=False)
    with screen.capture() as captured:
        render(result, screen, detail)
    lines = [line.rstrip() for line in captured.get().splitlines()]
    told = [line for line in lines if re.match(rf" *(?:{only})", line)] if only else lines
    return "\n".join(["```console", f"$ {result.command}", "…", *told, "```"])


def real_drills() -> str:
    """Return every real drill of a healthy or a sabotaged gate, and what it came to."""
    told = {True: "right", False: "**contradicted**", None: "says nothing"}
    return table(
        ("gate", "asked", "the gate says", "what is known", "minutes"),
        [
            (one["name"], f"`{one['case']}`", one["verdict"], told[one["right"]], figure(one["minutes"]))
            for one in result("gate-sabotage")["drills"]
        ],
    )


def precisions() -> str:
    """Return the answers of each precision and executor to the same photographs."""
    return precision.table(msgspec.convert(result("precision")["variants"], list[precision.Variant]))


def rollouts() -> str:
    """Return what was lost while fleets were replaced and replicas killed, by gateway, server and load."""
    rows = []
    for run in (run for name in ("rollout", "rollout-overload") for run in result(name)["runs"]):
        phases = run.get("phases", {})
        rollout, kill = phases.get("rollout"), phases.get("kill")
        name = run["server"] if run["server"] == "tailgate" else PEERS[run["server"]]
        lost = run.get("error", "") if rollout is None else f"{rollout['lost']:,} of {rollout['requests']:,}"
        cells = (
            ("", "", "", "")
            if rollout is None
            else (
                f"{rollout['refused']:,}",
                f"{rollout['duplicated']:,}",
                " / ".join(_milliseconds(phases[one]["p99_s"]) for one in ("before", "rollout")),
                "client and gateway" if rollout["replicas_without_counts"] else "all three",
            )
        )
        killed = (
            ""
            if kill is None
            else f"{kill['lost'] - kill['lost_elsewhere']:,} of {kill['in_flight']:,} / {kill['lost_elsewhere']:,}"
        )
        rows.append((run["gateway"], f"{run['load']:g} ×", name, lost, *cells, killed))
    headings = (
        "gateway",
        "load",
        "server",
        "lost",
        "refused",
        "twice",
        "p99 before / meanwhile, ms",
        "books that agree",
    )
    return table((*headings, "kill: lost of those in flight / others lost"), rows)


def _milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else figure(seconds * 1e3)


def planning() -> str:
    """Return each percentile of each run beside the interval that was predicted for it."""

    def row(model: str, case: Mapping[str, Any]) -> tuple[str, ...]:
        low, value, high, measured = (
            figure(case[name] * 1e3) for name in ("low_s", "foreseen_s", "high_s", "measured_s")
        )
        inside = "yes" if case["inside"] else "**no**"
        return model, f"{case['load']:.0%}", case["percentile"], value, f"{low} to {high}", measured, inside

    headings = ("model", "load", "percentile", "predicted, ms", "interval, ms", "measured, ms", "inside")
    rows = [
        row(one["workload"], case)
        for one in result("planning")["runs"]
        for case in sorted(one["cases"], key=lambda case: (case["percentile"], case["load"]))
    ]
    return table(headings, rows)


def decoded_pictures() -> str:
    """Return what a picture at the limit of pixels costs, by its kind."""
    return pictures.markdown(msgspec.convert(result("fault_pictures")["pictures"], list[pictures.Picture]))


MEASURED: Mapping[str, Callable[[], str]] = {
    "peers": lambda: peers("serving"),
    "peers-slow": lambda: peers("serving-slow"),
    "targets": lambda: targets("serving"),
    "startup": lambda: targets("startup"),
    "startup-cold": lambda: targets("startup-cold"),
    "waiting": lambda: targets("waiting"),
    "waiting-rates": waiting_rates,
    "protocols": lambda: targets("protocols"),
    "load-claims": load_claims,
    "ledger": of_ledger,
    "drills": real_drills,
    "replay": lambda: tallies("gate-replay"),
    "simulation": lambda: tallies("gate-simulation"),
    "naive": beside_naive_rules,
    "naive-short": lambda: beside_naive_rules("all +5 %", "all +10 %"),
    "coverage": budgets_in_a_queue,
    "estimators": spreads_of_estimators,
    "overload": lambda: overload.markdown(result("overload")["cases"]),
    "precision": precisions,
    "pictures": decoded_pictures,
    "planning": planning,
    "planning-targets": lambda: targets("planning"),
    "many-generators": lambda: targets("many-generators"),
    "run-pass": lambda: shown_run("pass"),
    "run-fail": lambda: shown_run("fail"),
    "run-stream": lambda: shown_run("stream", only="time to first token|between tokens|tokens:"),
    "rollout": rollouts,
    "faults": lambda: str(result("faults")["table"]),
}
