"""Read the service's batch sizes from its ``/metrics``."""

import httpx
from prometheus_client.parser import text_string_to_metric_families

BUCKET = "tailgate_batch_size_bucket"


def batch_sizes(base_url: str) -> dict[str, float]:
    """Return cumulative counts of batches by the bucket's upper edge, as exposed."""
    text = httpx.get(f"{base_url}/metrics", timeout=10, trust_env=False).raise_for_status().text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {sample.labels["le"]: sample.value for sample in samples if sample.name == BUCKET}


def histogram(before: dict[str, float], after: dict[str, float]) -> dict[str, int]:
    """Return batches by size between two readings: ``8.0`` holds those of more than the edge before, up to 8."""
    counts, below = {}, 0.0
    for edge in sorted(after, key=float):
        until = after[edge] - before.get(edge, 0.0)
        counts[edge] = int(until - below)
        below = until
    return {edge: count for edge, count in counts.items() if count}
