"""Whether this machine has a CUDA device, asked of the driver itself, since the harness needs no PyTorch."""

import ctypes


def cuda_devices() -> int:
    """Return how many CUDA devices the driver counts; 0 without a driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    # CUresult 0 is CUDA_SUCCESS.
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value
