"""What the protocol tells of the server and its model: metadata, and the configuration and statistics of Triton's extensions.

The forms are those that Triton's clients and its ``perf_analyzer`` read; whatever is said here is so.
"""

from typing import Any

from tailgate.service.codec.oip.datatypes import NAMES
from tailgate.service.codec.oip.reply import VERSION
from tailgate.service.errors import Outcome
from tailgate.service.metrics import Histogram, Metrics
from tailgate.service.models.spec import NamedTensor, Served

# "model_repository" and "schedule_policy" are left out: models cannot be loaded, and there are no priorities.
EXTENSIONS = ("binary_tensor_data", "classification", "model_configuration", "parameters", "statistics")
# The specification's own list of platforms has no name for a module of PyTorch.
PLATFORM, BACKEND = "pytorch_module", "pytorch"
NANOSECONDS = 1_000_000_000


def server(version: str) -> dict[str, Any]:
    """Return ``$metadata_server_response``."""
    return {"name": "tailgate", "version": version, "extensions": list(EXTENSIONS)}


def model(served: Served) -> dict[str, Any]:
    """Return ``$metadata_model_response``; the first dimension is that of a client's batch."""
    return {
        "name": served.name,
        "versions": [VERSION],
        "platform": PLATFORM,
        "inputs": [_tensor(tensor) for tensor in served.inputs],
        "outputs": [_tensor(tensor) for tensor in served.outputs],
    }


def _tensor(tensor: NamedTensor) -> dict[str, Any]:
    shape = [-1, *tensor.spec.shape]
    return {"name": tensor.name, "datatype": NAMES[tensor.spec.dtype], "shape": shape}


def config(served: Served, max_batch_size: int, max_wait_s: float | None) -> dict[str, Any]:
    """Return the parts of ``ModelConfig`` (model_config.proto) that hold here; shapes are those of one item.

    ``max_wait_s`` is a batching window that is set, None where the service waits by its own rule.
    """
    delay = {} if max_wait_s is None else {"max_queue_delay_microseconds": round(max_wait_s * 1e6)}
    return {
        "name": served.name,
        "platform": PLATFORM,
        "backend": BACKEND,
        "version_policy": {"specific": {"versions": [int(VERSION)]}},
        "max_batch_size": max_batch_size,
        "input": [_configured(tensor) for tensor in served.inputs],
        "output": [_configured(tensor) for tensor in served.outputs],
        "instance_group": [{"name": served.name, "count": 1}],
        "dynamic_batching": delay,
    }


def _configured(tensor: NamedTensor) -> dict[str, Any]:
    data_type = f"TYPE_{NAMES[tensor.spec.dtype]}"
    return {"name": tensor.name, "data_type": data_type, "dims": list(tensor.spec.shape)}


def index(served_name: str, reason: str | None) -> list[dict[str, str]]:
    """Return ``$repository_index_response``; ``reason`` is why the model is not ready, None where it is."""
    state = "READY" if reason is None else "UNAVAILABLE"
    return [{"name": served_name, "version": VERSION, "state": state, "reason": reason or ""}]


def stats(served: Served, metrics: Metrics) -> dict[str, Any]:
    """Return ``$stats_model_response``, of the requests of all protocols.

    Stages are counted per item, and so are ``queue`` and the stages of a batch's items; success and failure per request.
    """
    failed = [histogram for outcome, histogram in metrics.request.items() if outcome is not Outcome.OK]
    return {
        "model_stats": [
            {
                "name": served.name,
                "version": VERSION,
                "last_inference": round(metrics.last_batch_s * 1000),
                "inference_count": sum(size * count for size, count in metrics.batches.items()),
                "execution_count": metrics.batches.total(),
                "inference_stats": {
                    "success": _duration(metrics.request[Outcome.OK]),
                    "fail": _duration(*failed),
                    "queue": _duration(metrics.queue),
                    "compute_input": _duration(metrics.decode),
                    "compute_infer": _duration(metrics.compute),
                    "compute_output": _duration(metrics.encode),
                    "cache_hit": _duration(),
                    "cache_miss": _duration(),
                },
                "batch_stats": [
                    {
                        "batch_size": size,
                        "compute_input": _duration(),
                        "compute_infer": {"count": count, "ns": round(metrics.batches_s[size] * NANOSECONDS)},
                        "compute_output": _duration(),
                    }
                    for size, count in sorted(metrics.batches.items())
                ],
            }
        ]
    }


def _duration(*histograms: Histogram) -> dict[str, int]:
    count = sum(sum(histogram.counts) for histogram in histograms)
    return {"count": count, "ns": round(sum(histogram.sum for histogram in histograms) * NANOSECONDS)}
