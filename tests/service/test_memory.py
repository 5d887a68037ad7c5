"""Freed memory stays with the process: a large block that a thread takes again and again is faulted in once.

And what lasts is no work for the garbage collector.
"""

import gc
import platform
import subprocess
import sys

import pytest
from serving import until

from service.app import create_app
from service.lifecycle import Phase
from service.memory import COLLECT_AFTER, spare_collector
from service.settings import load_settings

PROGRAM = """
import resource, threading
from service.memory import keep_freed_memory
assert keep_freed_memory()
def batch():
    block = b"x" * (96 * 2**20)  # more than a heap of a thread's own arena
    del block
def batches():
    batch()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        batch()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
thread = threading.Thread(target=batches)
thread.start()
thread.join()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep memory")
def test_a_thread_that_needs_a_large_block_again_finds_its_pages_there():
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    # New blocks would be 24,576 pages, each time.
    assert int(done.stdout) < 1_000


def test_a_collection_looks_at_nothing_that_was_there_before():
    thresholds = gc.get_threshold()
    try:
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
    monkeypatch.setattr("service.app.spare_collector", lambda: seen.append((service.phase, service.engine)))
    async with app.router.lifespan_context(app):
        await until(lambda: service.phase is not Phase.STARTING)
    assert seen == [(Phase.STARTING, service.engine)]
    assert service.engine is not None
