"""Make the dashboard: ``python deploy/grafana/dashboard.py`` writes ``tailgate.json`` beside this file.

Each panel is one row of a table here; everything that Grafana wants besides is the same for all of them. The expressions use
the rules of ``deploy/prometheus/recording.yml``.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("tailgate.json")
# Of Grafana's JSON model: 8.0 and later read it. The grid has 24 columns.
SCHEMA_VERSION, COLUMNS, WIDTH, HEIGHT = 36, 24, 8, 8
SOURCE = {"type": "prometheus", "uid": "${source}"}


@dataclass(frozen=True)
class Panel:
    """One picture of values over time.

    Attributes:
        title: its question.
        says: how to read it.
        unit: Grafana's name of the values' unit.
        lines: expressions and their legends; ``JOB`` stands for the job that is chosen.
        stacked: the lines add up to something.
        exemplars: single requests are shown as well.
    """

    title: str
    says: str
    unit: str
    lines: tuple[tuple[str, str], ...]
    stacked: bool = False
    exemplars: bool = False


def quantile(share: float) -> str:
    """Return the expression of a quantile of the time to a result."""
    buckets = 'rate(tailgate_request_seconds_bucket{JOB, outcome="ok"}[$__rate_interval])'
    return f"histogram_quantile({share}, sum by (le) ({buckets}))"


def mean(histogram: str) -> str:
    """Return the expression of the mean of a histogram."""
    both = (f"sum(rate({histogram}_{part}{{JOB}}[$__rate_interval]))" for part in ("sum", "count"))
    return " / ".join(both)


PANELS = (
    Panel(
        "How do requests end?",
        "full and late were refused because of others, unavailable because the service was not ready.",
        "reqps",
        (("sum by (outcome) (rate(tailgate_requests_total{JOB}[$__rate_interval]))", "{{outcome}}"),),
        stacked=True,
    ),
    Panel(
        "How many are good?",
        "A good request has a result, within the latency objective where one is set. Asked leaves out a client's own mistakes.",
        "reqps",
        (
            ("job:tailgate_asked_requests:rate5m{JOB}", "{{job}} asked"),
            ("job:tailgate_good_requests:rate5m{JOB}", "{{job}} good"),
        ),
    ),
    Panel(
        "How fast does the error budget burn?",
        "1 spends the budget within the period of the objective. Above 14.4 for an hour somebody is paged.",
        "none",
        (
            ("job:tailgate_budget:burn_rate5m{JOB}", "{{job}} 5 min"),
            ("job:tailgate_budget:burn_rate1h{JOB}", "{{job}} 1 h"),
            ("job:tailgate_budget:burn_rate6h{JOB}", "{{job}} 6 h"),
            ("job:tailgate_budget:burn_rate3d{JOB}", "{{job}} 3 d"),
        ),
    ),
    Panel(
        "How long does a result take?",
        "From the end of a request's head to its answer. Dots are single requests with an id.",
        "s",
        ((quantile(0.5), "p50"), (quantile(0.95), "p95"), (quantile(0.99), "p99")),
        exemplars=True,
    ),
    Panel(
        "Which stage is slow?",
        "p99 of each stage over 5 minutes. Percentiles of stages do not add up to that of the whole.",
        "s",
        (("job_stage:tailgate_seconds:p99_5m{JOB}", "{{stage}}"),),
    ),
    Panel(
        "Where does the time go?",
        "Mean time per request by stage.",
        "s",
        tuple(
            (mean(f"tailgate_{stage}_seconds"), stage) for stage in ("queue", "decode", "compute", "encode")
        ),
        stacked=True,
    ),
    Panel(
        "How large are batches?",
        "The mean, and the most that the service takes. Batches grow with load.",
        "none",
        (
            (mean("tailgate_batch_size"), "mean"),
            ("max(tailgate_max_batch_size{JOB})", "most"),
        ),
    ),
    Panel(
        "How busy is the model?",
        "Share of time in which a batch ran.",
        "percentunit",
        (("rate(tailgate_executor_busy_seconds_total{JOB}[$__rate_interval])", "{{instance}}"),),
    ),
    Panel(
        "What waits?",
        "For a decoding thread, and for a batch.",
        "none",
        (
            ("sum(tailgate_decode_queue_depth{JOB})", "to be decoded"),
            ("sum(tailgate_queue_depth{JOB})", "for a batch"),
            ("sum(tailgate_in_flight{JOB})", "in flight, with these"),
        ),
    ),
    Panel(
        "How many replicas are ready, and how many should there be?",
        "Desired is what the requests of the last 30 s need.",
        "none",
        (
            ("sum(tailgate_ready{JOB})", "ready"),
            ("count(up{JOB})", "known"),
            ("sum(tailgate_desired_replicas{JOB})", "desired"),
        ),
    ),
    Panel(
        "How much could come besides?",
        "Requests per second within the capacity of each replica; negative where too many come.",
        "reqps",
        (("tailgate_spare_requests_per_second{JOB}", "{{instance}}"),),
    ),
    Panel(
        "How long would one more wait?",
        "Until all that waits now is done, as the service forecasts it.",
        "s",
        (("tailgate_predicted_wait_seconds{JOB}", "{{instance}}"),),
    ),
    Panel(
        "Which connections does the service end?",
        "idle is usual; slow_reader, malformed and refused are not.",
        "cps",
        (("sum by (reason) (rate(tailgate_connections_cut_total{JOB}[$__rate_interval]))", "{{reason}}"),),
        stacked=True,
    ),
    Panel(
        "What fails in the model?",
        "Each is counted where it happens; a failed batch is computed again in parts.",
        "none",
        (
            ("sum(increase(tailgate_failed_runs_total{JOB}[$__rate_interval]))", "runs that failed"),
            ("sum(increase(tailgate_out_of_memory_total{JOB}[$__rate_interval]))", "out of memory"),
            ("sum(increase(tailgate_non_finite_outputs_total{JOB}[$__rate_interval]))", "NaN or infinity"),
        ),
    ),
    Panel(
        "How many processors does it use?",
        "Processor time per second, of all threads.",
        "none",
        (("rate(process_cpu_seconds_total{JOB}[$__rate_interval])", "{{instance}}"),),
    ),
    Panel(
        "How much memory does it use?",
        "Resident memory of the process.",
        "bytes",
        (("process_resident_memory_bytes{JOB}", "{{instance}}"),),
    ),
    Panel(
        "How many connections are open?",
        "TAILGATE_MAX_CONNECTIONS are the most.",
        "none",
        (("tailgate_connections{JOB}", "{{instance}}"),),
    ),
    Panel(
        "What is served?",
        "A step is a replica with another model, version or device.",
        "none",
        (
            (
                "count by (model, version, device, precision) (tailgate_info{JOB})",
                "{{model}} {{version}} {{device}} {{precision}}",
            ),
        ),
        stacked=True,
    ),
)


def panel_json(number: int, panel: Panel) -> dict[str, Any]:
    """Return a panel as Grafana has it; they stand in rows of three."""
    across = COLUMNS // WIDTH
    custom = {"fillOpacity": 20 if panel.stacked else 0, "showPoints": "never"}
    custom["stacking"] = {"mode": "normal" if panel.stacked else "none"}
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.says,
        "datasource": SOURCE,
        "gridPos": {"x": number % across * WIDTH, "y": number // across * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "custom": custom}, "overrides": []},
        "options": {"tooltip": {"mode": "multi", "sort": "desc"}},
        "targets": [
            {"refId": chr(ord("A") + place), "expr": expression, "legendFormat": legend}
            | ({"exemplar": True} if panel.exemplars else {})
            for place, (expression, legend) in enumerate(lines(panel))
        ],
    }


def lines(panel: Panel) -> Iterator[tuple[str, str]]:
    """Yield a panel's expressions for the chosen job, and their legends."""
    for expression, legend in panel.lines:
        yield expression.replace("JOB", 'job=~"$job"'), legend


def dashboard() -> dict[str, Any]:
    """Return the whole dashboard."""
    source = {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    job = {
        "name": "job",
        "type": "query",
        "datasource": SOURCE,
        "query": "label_values(tailgate_ready, job)",
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
        "refresh": 2,
    }
    return {
        "uid": "tailgate",
        "title": "tailgate",
        "description": "Made by deploy/grafana/dashboard.py: change that, not this.",
        "tags": ["tailgate"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": False,
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "15s",
        "templating": {"list": [source, job]},
        "panels": [panel_json(number, panel) for number, panel in enumerate(PANELS)],
    }


def text() -> str:
    """Return the file's content."""
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
