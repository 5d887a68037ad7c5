"""How busy the GPU is and how much of its memory is taken, where there is one and its driver tells."""

from collections.abc import Callable, Iterable

import structlog

from tailgate.service.metrics import Gauge


def gpu_gauges(uuid: str) -> Callable[[], Iterable[Gauge]]:
    """Return a function that reads the GPU's gauges; it returns nothing where they cannot be had.

    Args:
        uuid: which GPU, as PyTorch has it: its own numbers are those of CUDA_VISIBLE_DEVICES, of which the driver's
            management library knows nothing.
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
