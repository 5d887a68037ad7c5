"""What Prometheus reads of the engine: precision, batch times, failures, and how busy the GPU is."""

from collections.abc import Callable, Iterable

import structlog
import torch

from tailgate.service.execution.isolate import Inference
from tailgate.service.execution.trials.batch_times import BatchTimes
from tailgate.service.execution.trials.parity import Parity
from tailgate.service.metrics import Counter, Gauge


def gauges_of(
    parity: Parity, times: BatchTimes, inference: Inference, device: torch.device
) -> Callable[[], Iterable[Gauge | Counter]]:
    """Return a function that reads what is known of precision and times, and counts of failures and the GPU's state."""
    fixed = [
        Gauge(
            "precision_largest_error", "Against FP32, as a share of the largest output.", parity.largest_error
        ),
        Gauge("batch_item_seconds", "a of t(n) = a n + b, the fitted seconds of a batch.", times.per_item_s),
        Gauge("batch_fixed_seconds", "b of t(n) = a n + b, the fitted seconds of a batch.", times.fixed_s),
    ]
    if parity.top1_agreement is not None:
        text = "Share of start-up inputs with FP32's most likely class."
        fixed.append(Gauge("precision_top1_agreement", text, parity.top1_agreement))
    on_cuda = device.type == "cuda"
    read_gpu = gpu_gauges(str(torch.cuda.get_device_properties(device).uuid)) if on_cuda else tuple
    return lambda: (*fixed, *_failures(inference), *read_gpu())


def _failures(inference: Inference) -> Iterable[Counter]:
    yield Counter(
        "failed_runs",
        "Runs in which the model raised, or returned no output of its batch.",
        inference.failed_runs,
    )
    yield Counter("out_of_memory", "Runs that did not fit into the device's memory.", inference.out_of_memory)
    yield Counter(
        "non_finite_outputs", "Items whose output held NaN or infinity.", inference.non_finite_outputs
    )


def gpu_gauges(uuid: str) -> Callable[[], Iterable[Gauge]]:
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

    def read() -> Iterable[Gauge]:
        try:
            used = pynvml.nvmlDeviceGetMemoryInfo(handle).used
            busy = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
        except pynvml.NVMLError:
            return
        yield Gauge(
            "gpu_utilization_ratio", "Share of time in which a kernel ran, as the driver samples it.", busy
        )
        yield Gauge("gpu_memory_used_bytes", "Device memory in use, by any process.", float(used))

    return read
