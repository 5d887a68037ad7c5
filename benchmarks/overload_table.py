"""The overload benchmark's rows as a Markdown table."""

from collections.abc import Mapping, Sequence
from typing import Any

HEADINGS = (
    "server",
    "model",
    "offered",
    "saturated",
    "goodput",
    "accepted p99",
    "refused",
    "lost",
    "refusal p50",
    "CPU of a refusal",
    "health p90",
    "memory before → after",
    "settled after",
)


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table; an empty cell could not be measured, or has nothing to measure."""
    lines = ["| " + " | ".join(HEADINGS) + " |", "|" + " --- |" * len(HEADINGS)]
    lines += ["| " + " | ".join(_cells(row)) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    outcomes, memory = row["outcomes"], row["rss_bytes"]
    total = sum(outcomes.values())
    refusal_us = None if row["refusal_cpu_s"] is None else row["refusal_cpu_s"] * 1e6
    return (
        row["server"],
        row["workload"],
        f"{row['times']:g} ×",
        _value(row["saturated_per_s"], "/s"),
        _value(row["goodput_share"], " %", 100),
        _value(row["accepted_p99_s"], " ms", 1e3),
        f"{outcomes['shed'] / total:.0%}",
        _value(row["lost_rate"], " %", 100),
        _value(row["refusal_p50_s"], " ms", 1e3),
        "" if refusal_us is None else f"{refusal_us:,.0f} µs",
        _value(row["health_p90_s"], " ms", 1e3),
        "" if memory is None else f"{memory['before'] / 2**20:,.0f} → {memory['after'] / 2**20:,.0f} MiB",
        _value(row["settle_s"], " s"),
    )


def _value(estimate: Mapping[str, Any] | None, unit: str, scale: float = 1.0) -> str:
    if estimate is None or estimate["value"] is None:
        return ""
    value = estimate["value"] * scale
    return (
        "never" if value == float("inf") else f"{value:,.3g}{unit}" if value < 1000 else f"{value:,.0f}{unit}"
    )
