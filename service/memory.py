"""Keep the memory that a batch has freed for the next batch, and give back what a huge picture has freed.

glibc gives large blocks back to the kernel at once, which zeroes every page of the next batch's activations again:
18.4 ms per image instead of 11.2 (two cores, EfficientNet-Lite0, a batch of 16). The process stays as large as its
largest batch. Arenas of threads, heaps of 64 MiB, are unmapped when empty: at a batch of 32, 142,000 page faults and 34.9
images per second, against 47.0 with one arena, whose lock nobody was seen to wait for. A small model pays
for it: MobileNetV3-small at 64 px, beside threads that decode photographs, computed 4 % longer.
"""

import ctypes
import gc
import platform

import numpy as np

# malloc.h of glibc. mallopt(3) gives M_MMAP_THRESHOLD an upper limit of 32 MiB, which newer versions do not have.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
OPTIONS = (
    (M_MMAP_THRESHOLD, 32 * 2**20),
    (M_MMAP_THRESHOLD, 2**30),
    (M_TRIM_THRESHOLD, 2**31 - 1),
    (M_ARENA_MAX, 1),
)
# New objects between collections, each of which stops all threads; Python's default is 700 to 2,000, and the JSON of a
# photograph makes 50,000 lists.
COLLECT_AFTER = 10_000
# The same until the service is ready. Imports make objects that stay, and each collection looks through them again: 655
# collections took 0.66 of the 6.9 s of processor time until a small model was loaded, and with this number 4 took 0.19 s.
COLLECT_AFTER_AT_START = 100_000


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed blocks; return whether it takes every option. Other C libraries are left alone.

    Call it before the process has a second thread: one that has an arena keeps it.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    taken = [mallopt(option, value) for option, value in OPTIONS]  # a refused one keeps none from being told
    return all(taken)


def give_back_freed_memory() -> None:
    """Give freed blocks back to the kernel; the next batch faults its memory in again.

    That is 93,000 page faults and 25 % more time for EfficientNet-Lite0 at a batch of 16.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc alone
    if trim is not None:
        trim(0)


def fault_in(size: int) -> None:
    """Back so many bytes of the heap by pages, without the interpreter lock, for the next allocation of that size.

    A copy of 200 MB with the lock held then took 55 ms instead of 300.
    """
    np.full(size, 0, np.uint8)


def collect_seldom() -> None:
    """Put off garbage collections until :func:`spare_collector`; call it before PyTorch is imported."""
    gc.set_threshold(COLLECT_AFTER_AT_START, *gc.get_threshold()[1:])


def spare_collector() -> None:
    """Take all present objects out of garbage collection; call it when the model is loaded.

    PyTorch and FastAPI bring 230,000 objects that are never garbage: a full collection stopped all threads for 240 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, *gc.get_threshold()[1:])
