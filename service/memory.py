"""Keep the memory that a batch has freed for the next batch, and give back what a huge picture has freed.

glibc gives blocks above a threshold back to the kernel at once, and every page of the next batch's activations
is then faulted in and zeroed again. Measured on two cores with EfficientNet-Lite0 at a batch of 16: 18.4 ms an image with
glibc's defaults, 11.2 ms with freed memory kept. The price is that the process stays as large as its largest batch.

It also gives each thread an arena of its own, whose heaps of 64 MiB are too small for the activations of a large batch and
are unmapped when they are empty, whatever the thresholds say. At a batch of 32 that was 142,000 page faults a second: 34.9
images/s served from 64 connections, and 47.0 with one arena for all threads, whose lock nobody was seen to wait for.

Python's own share: :func:`spare_collector` keeps the garbage collector from what lasts.
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
# New objects before the collector looks at them; Python's own default is 700 to 2,000. Parsing JSON makes 50,000 lists for a photograph, and each
# look stops all threads.
COLLECT_AFTER = 10_000


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed blocks; return whether it takes all that it is told. Other C libraries are left alone.

    To be called before the process has a second thread: one that has an arena keeps it.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    taken = [mallopt(option, value) for option, value in OPTIONS]  # a refused one keeps none from being told
    return all(taken)


def give_back_freed_memory() -> None:
    """Give freed blocks back to the kernel, those that are kept for the next batch among them.

    That batch faults its memory in again: 93,000 page faults and 25 % more time for EfficientNet-Lite0 at a batch of 16.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc alone
    if trim is not None:
        trim(0)


def fault_in(size: int) -> None:
    """Have so many bytes of the heap backed by pages, without the interpreter lock, and free them.

    An allocation of this size that follows finds these pages there: a copy of 200 MB that is made with the lock held
    took 55 ms instead of 300.
    """
    np.full(size, 0, np.uint8)


def spare_collector() -> None:
    """Take all objects that there are out of garbage collection; to be called when the model is loaded.

    PyTorch and FastAPI bring 230,000 objects. A full collection looked at each of them: 240 ms in which every thread of
    the process stood still. None of them is ever garbage.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, *gc.get_threshold()[1:])
