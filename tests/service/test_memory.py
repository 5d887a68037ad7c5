"""Freed memory stays with the process until it is given back: a large block that is taken again and again is faulted in once.

And what lasts is no work for the garbage collector.
"""

import gc
import platform
import subprocess
import sys

import pytest
from serving import until

from tailgate.service.batching.service import Phase
from tailgate.service.http.app import create_app
from tailgate.service.memory import (
    COLLECT_AFTER,
    COLLECT_AFTER_AT_START,
    M_ARENA_MAX,
    M_MMAP_THRESHOLD,
    M_TRIM_THRESHOLD,
    collect_seldom,
    give_back_freed_memory,
    keep_freed_memory,
    spare_collector,
)
from tailgate.service.settings import load_settings

GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep memory")
# With the service's own start in place of its model: a thread that comes after those of the start.
PROGRAM = """
import os, resource, sys, threading
from tailgate.service import __main__ as service
def batch():
    block = b"x" * (96 * 2**20)  # more than a heap of a thread's own arena
    del block
def batches():
    batch()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        batch()
    os.write(1, b"%d" % (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before))
def run(settings):
    thread = threading.Thread(target=batches)
    thread.start()
    thread.join()
    return 0
service.run = run
sys.argv[1:] = []
service.main()
"""


GIVE_BACK = """
from pathlib import Path
from tailgate.service.memory import give_back_freed_memory, keep_freed_memory
assert keep_freed_memory()
def pages():
    return int(Path("/proc/self/statm").read_text().split()[1])
before = pages()
blocks = [bytearray(2**20) for _ in range(64)]  # below any threshold
kept_alive = bytearray(1000)
del blocks
print(pages() - before)
give_back_freed_memory()
print(pages() - before)
"""


def run(program):
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return [int(number) for number in done.stdout.split()]


@GLIBC
def test_a_thread_of_the_service_that_needs_a_large_block_again_finds_its_pages_there():
    # New blocks would be 24,576 pages, each time.
    assert run(PROGRAM)[0] < 1_000


@GLIBC
def test_freed_memory_is_kept_until_it_is_given_back():
    kept, given_back = run(GIVE_BACK)
    assert kept > 60 * 256
    assert given_back < 1_000


class OldLibrary:
    """A C library that refuses an option, or a value beyond its limit."""

    def __init__(self, refuses):
        self.told, self.refuses = {}, refuses

    def mallopt(self, option, value):
        if (option, value) in self.refuses or option in self.refuses:
            return 0
        self.told[option] = value
        return 1


@GLIBC
@pytest.mark.parametrize(
    ("refuses", "told"),
    [
        ((), {M_MMAP_THRESHOLD: 2**30}),
        (((M_MMAP_THRESHOLD, 2**30),), {M_MMAP_THRESHOLD: 32 * 2**20}),
        ((M_MMAP_THRESHOLD,), {}),
    ],
)
def test_an_option_that_is_refused_keeps_the_library_from_no_other(monkeypatch, refuses, told):
    library = OldLibrary(refuses)
    monkeypatch.setattr("ctypes.CDLL", lambda _: library)
    assert keep_freed_memory() == (not refuses)
    assert library.told == {M_TRIM_THRESHOLD: 2**31 - 1, M_ARENA_MAX: 1} | told


def test_another_c_library_is_told_nothing(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())
    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    assert not keep_freed_memory()
    give_back_freed_memory()


def test_a_collection_looks_at_nothing_that_was_there_before():
    thresholds = gc.get_threshold()
    try:
        collect_seldom()
        assert gc.get_threshold() == (COLLECT_AFTER_AT_START, *thresholds[1:])
        spare_collector()
        assert gc.get_freeze_count() > 10_000
        assert len(gc.get_objects()) < 1_000
        assert gc.get_threshold() == (COLLECT_AFTER, *thresholds[1:])
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)


@pytest.mark.asyncio
async def test_the_collector_is_spared_what_the_start_has_made_and_before_requests_are_taken(monkeypatch):
    app = create_app(load_settings({}, model="tiny_models:doubler", threads=1, max_batch_size=8))
    service, seen = app.state.service, []
    monkeypatch.setattr(
        "tailgate.service.http.app.spare_collector", lambda: seen.append((service.phase, service.pipeline))
    )
    async with app.router.lifespan_context(app):
        await until(lambda: service.phase is not Phase.STARTING)
    assert seen == [(Phase.STARTING, service.pipeline)]
    assert service.pipeline is not None
