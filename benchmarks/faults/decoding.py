"""The cost of decoding one picture, in a fresh process without PyTorch, for :mod:`benchmarks.faults.pictures`.

python -m benchmarks.faults.decoding < PICTURE
"""

import io
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import orjson
from PIL import Image

from tailgate import ImageInput
from tailgate.service.codec.images import decode_image
from tailgate.service.memory import keep_freed_memory

MAX_PIXELS = 50_000_000
INPUT = ImageInput(224, crop=1.0)
TICK_S, TRIES = 0.0005, 2


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one picture."""

    peak_bytes: int  # growth of the process at its largest
    kept_bytes: int  # growth that remains afterwards
    cpu_s: float  # of the decoding thread
    late_s: float  # longest wait of another thread for the interpreter


def cost_of(body: bytes) -> Cost:
    """Decode a picture and return its cost; to be called in a process that has decoded none."""
    keep_freed_memory()
    small = io.BytesIO()
    Image.new("RGB", (300, 300)).save(small, "PNG")
    decode_image(small.getvalue(), INPUT, MAX_PIXELS)  # loads what Pillow loads once
    before = _memory("VmRSS")
    first, cpu_s, late_s = _decode(body)
    peak, kept = _memory("VmHWM") - before, _memory("VmRSS") - before
    del first
    for _ in range(TRIES - 1):
        _, again_s, again_late_s = _decode(body)
        cpu_s, late_s = min(cpu_s, again_s), min(late_s, again_late_s)
    return Cost(peak, kept, cpu_s, late_s)


def _decode(body: bytes) -> tuple[object, float, float]:
    """Return the pixels, the processor seconds, and the longest wait of another thread."""
    done, late_s = threading.Event(), 0.0

    def tick() -> None:
        nonlocal late_s
        due_s = time.perf_counter() + TICK_S
        while not done.is_set():
            time.sleep(TICK_S)
            late_s = max(late_s, time.perf_counter() - due_s)
            due_s = time.perf_counter() + TICK_S

    ticker = threading.Thread(target=tick)
    ticker.start()
    start_s = time.thread_time()
    pixels = decode_image(body, INPUT, MAX_PIXELS)
    cpu_s = time.thread_time() - start_s
    done.set()
    ticker.join()
    return pixels, cpu_s, late_s


def _memory(name: str) -> int:
    """Return a figure of this process's memory in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


if __name__ == "__main__":
    sys.stdout.buffer.write(orjson.dumps(cost_of(sys.stdin.buffer.read())))
