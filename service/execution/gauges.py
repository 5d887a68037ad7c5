"""What Prometheus reads of the engine: precision, batch times, failures, and how busy the GPU is."""

from collections.abc import Callable, Iterable

import structlog
import torch

from tailgate.service.execution.isolate import Inference
from tailgate.service.execution.trials.batch_times import BatchTimes
from tailgate.service.execution.trials.parity import Parity
from tailgate.service.metrics import Reading


def gauges_of(
    parity: Parity, times: BatchTimes, inference: Inference, device: torch.device
) -> Callable[[], Iterable[Reading]]:
    """Return a function that reads what is known of precision and times, and counts of failures and the GPU's state."""
    fixed = [
        Reading("tailgate_precision_largest_error", parity.largest_error),
        Reading("tailgate_batch_item_seconds", times.per_item_s),
        Reading("tailgate_batch_fixed_seconds", times.fixed_s),
    ]
    if parity.top1_agreement is not None:
        fixed.append(Reading("tailgate_precision_top1_agreement", parity.top1_agreement))
    on_cuda = device.type == "cuda"
    read_gpu = gpu_gauges(str(torch.cuda.get_device_properties(device).uuid)) if on_cuda else tuple
    return lambda: (*fixed, *_failures(inference), *read_gpu())


def _failures(inference: Inference) -> Iterable[Reading]:
    yield Reading("tailgate_failed_runs", inference.failed_runs)
    yield Reading("tailgate_out_of_memory", inference.out_of_memory)
    yield Reading("tailgate_non_finite_outputs", inference.non_finite_outputs)


def gpu_gauges(uuid: str) -> Callable[[], Iterable[Reading]]:
    """Return a function that reads a GPU's gauges, or nothing where its driver does not tell.

    By UUID: PyTorch's numbers are those of CUDA_VISIBLE_DEVICES, which the driver's library does not know.
    """
    try:
        import pynvml  # noqa: PLC0415 - an extra

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
    except Exception as error:  # noqa: BLE001 - no package, no driver, no device: all mean no gauges
        structlog.get_logger("tailgate.accelerator").warning(
            "no GPU gauges: pip install 'tailgate[gpu]' where there is a driver", error=repr(error)
        )
        return tuple

    def read() -> Iterable[Reading]:
        try:
            used = pynvml.nvmlDeviceGetMemoryInfo(handle).used
            busy = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
        except pynvml.NVMLError:
            return
        yield Reading("tailgate_gpu_utilization_ratio", busy)
        yield Reading("tailgate_gpu_memory_used_bytes", float(used))

    return read
