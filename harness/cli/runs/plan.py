"""``tailgate plan``: what a replica keeps, and how many replicas a load needs, before it comes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from tailgate.harness.cli import Status
from tailgate.harness.cli.run import target_of
from tailgate.harness.cli.runs.newest import find_run
from tailgate.harness.cli.told import as_json as tell
from tailgate.harness.errors import BudgetError, UsageError
from tailgate.harness.report.console import parts, sentence, table
from tailgate.harness.report.escape import terminal
from tailgate.harness.scenario.trace import read_trace
from tailgate.harness.sizing.sizing import (
    COURSES,
    REQUESTS,
    Foreseen,
    Shape,
    Sizing,
    gamma_shape,
    size,
    trace_rate_per_s,
    trace_shape,
)
from tailgate.harness.sizing.sources import Source, by_hand, by_run, by_service
from tailgate.harness.units import Unit, Yards, interval, parse_quantity, quantity, significant

HEADER = ("load", "requests/s", "p50", "interval of p50", "p99", "interval of p99", "batch")


def plan(  # noqa: PLR0913 - each is an option
    asked: str | None,
    batch_times: str | None,
    max_batch: int | None,
    objective: str | None,
    rate: str | None,
    burstiness: float | None,
    trace: Path | None,
    *,
    as_json: bool,
) -> Status:
    """Print the plan; FAIL where no number of replicas keeps the objective."""
    objective_s = _positive("--objective", objective, Unit.SECONDS, "50ms")
    rate_per_s = _positive("--rate", rate, Unit.PER_SECOND, "400/s")
    shape, own_rate_per_s, requests = _arrivals(burstiness, trace)
    source = _source(asked, batch_times, max_batch)
    found = size(source.replica, shape, objective_s, rate_per_s or own_rate_per_s, requests, COURSES)
    batch_s = source.replica.batch_s
    if as_json:
        known = {str(n): float(batch_s[n]) for n in range(1, source.replica.cap + 1)}
        facts = {"name": source.name, "whole": source.whole, "largest_known": source.largest_known}
        tell(source=facts, batch_s=known, requests=requests, plan=found, manifest=manifest(found, source))
    else:
        _render(found, source, requests, Console(highlight=False))
    return Status.FAIL if found.capacity_per_s is None else Status.PASS


def manifest(found: Sizing, source: Source) -> dict[str, Any] | None:
    """Return the numbers of a deployment; None where no number of replicas keeps the objective.

    An autoscaler asks Prometheus the query, and divides by the threshold: requests per second for each replica.
    """
    if found.capacity_per_s is None:
        return None
    settings: dict[str, float] = {"TAILGATE_MAX_BATCH_SIZE": source.replica.cap}
    if found.objective_s is not None:
        settings["TAILGATE_LATENCY_OBJECTIVE_MS"] = round(found.objective_s * 1e3, 9)
    return {
        "replicas": found.replicas,
        "settings": settings,
        "query": "sum(rate(tailgate_requests_total[1m]))",
        "threshold": found.capacity_per_s,
    }


def _positive(option: str, text: str | None, unit: Unit, example: str) -> float | None:
    if text is None:
        return None
    try:
        found = parse_quantity(text)
    except BudgetError:
        found = None
    if found is None or found.unit is not unit or found.yards is not Yards.NONE or not found.number:
        raise UsageError(f"{option}: got {text!r}, expected a quantity above 0, such as {option}={example}")
    return found.number


def _arrivals(burstiness: float | None, path: Path | None) -> tuple[Shape, float | None, int]:
    """Return how requests come, the rate that this says itself, and how many of them a course has."""
    if path is not None and burstiness is not None:
        raise UsageError("--trace and --burstiness both say how requests come; leave one of them out")
    if path is None:
        return gamma_shape(1.0 if burstiness is None else burstiness), None, REQUESTS
    trace = read_trace(path)
    return trace_shape(trace), trace_rate_per_s(trace), min(REQUESTS, len(trace.times_s))


def _source(asked: str | None, batch_times: str | None, max_batch: int | None) -> Source:
    if batch_times is not None:
        if asked is not None:
            raise UsageError(f"--batch-times and {asked!r} both say what t(n) is; leave one of them out")
        return by_hand(batch_times, max_batch)
    target = None if asked is None or Path(asked).exists() else target_of(asked)
    if target is not None and target.startswith(("http://", "https://")):
        return by_service(target, max_batch)
    run = find_run(None if asked is None else Path(asked))
    return by_run(run if run.is_dir() else run.parent, max_batch)


def _render(found: Sizing, source: Source, requests: int, console: Console) -> None:
    for line in _about(source):
        sentence(console, terminal(line), indent=0)
    table(console, HEADER, [[Text(cell) for cell in row] for row in _rows(found)], left=())
    sentence(
        console, f"an interval holds 98 % of {COURSES} simulated runs of {requests:,} requests", indent=0
    )
    for line in _answer(found):
        sentence(console, line, indent=0)
    if (numbers := manifest(found, source)) is not None:
        parts(console, "settings", [f"{name}={value:g}" for name, value in numbers["settings"].items()])
        parts(console, "autoscaler", [f"query {numbers['query']}", f"threshold {numbers['threshold']:.6g}"])


def _about(source: Source) -> Iterator[str]:
    cap, batch_s = source.replica.cap, source.replica.batch_s
    shown = dict.fromkeys((1, max(1, cap // 4), cap))
    times = ", ".join(f"t({n}) {quantity(float(batch_s[n]), Unit.SECONDS)}" for n in shown)
    yield f"one replica, from {source.name}: {times}"
    if source.largest_known < cap:
        yield (
            f"no batch of more than {source.largest_known} was seen: t(n) of larger ones is a straight line, and may be wrong"
        )
    if not source.whole:
        yield "batches alone are known: transport, scheduling and decoding come on top; plan from a run to have them in"


def _rows(found: Sizing) -> Iterator[tuple[str, ...]]:
    for row in found.rows:
        yield (
            f"{row.load:.0%}",
            significant(row.rate_per_s),
            *_cells(row.p50_s),
            *_cells(row.p99_s),
            significant(row.batch),
        )


def _cells(one: Foreseen) -> tuple[str, str]:
    return quantity(one.value, Unit.SECONDS), interval(one.low, one.high, Unit.SECONDS)


def _answer(found: Sizing) -> Iterator[str]:
    full = quantity(found.saturated_per_s, Unit.PER_SECOND)
    objective = quantity(found.objective_s, Unit.SECONDS)
    if found.capacity_per_s is None:
        lone = quantity(found.rows[0].p99_s.value, Unit.SECONDS)
        yield f"no number of replicas keeps p99 within {objective}: with hardly any load it is {lone}"
        return
    why = f"no more than 0.8 of the {full} of full batches"
    if found.knee_per_s is not None:
        knee = quantity(found.knee_per_s.value, Unit.PER_SECOND)
        ends = interval(found.knee_per_s.low, found.knee_per_s.high, Unit.PER_SECOND)
        yield f"knee: {knee}, {ends}, the highest rate with p99 within {objective}"
        why = f"no more than the low end of the knee, and {why}"
    yield f"a replica should get {quantity(found.capacity_per_s, Unit.PER_SECOND)}: {why}"
    if found.replicas is not None:
        yield f"replicas for {quantity(found.rate_per_s, Unit.PER_SECOND)}: {found.replicas}"
