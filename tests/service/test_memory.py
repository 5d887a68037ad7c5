"""Freed memory stays with the process: a large block that a thread takes again and again is faulted in once."""

import platform
import subprocess
import sys

import pytest

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
