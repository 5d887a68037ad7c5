"""A function that is called again and again while something else runs: for witnesses beside the load.

The moments are fixed beforehand, so that a slow call delays none of those after it; what would fall into a call that still
runs is left out.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

# A call that takes longer hangs; its thread ends with the process.
HANGING_S = 5.0


@contextlib.contextmanager
def periodically(function: Callable[[], None], period_s: float) -> Iterator[None]:
    """Call a function within a ``with`` block: at once, so once at least, however short the block is.

    An exception of the function ends the calls, and is raised where the block is left without another one. A call that
    hangs is left to itself.
    """
    stop = threading.Event()
    errors: list[Exception] = []

    def run() -> None:
        due_s, ended = time.monotonic(), False
        try:
            while not ended:
                function()
                due_s = next_due_s(due_s, period_s, time.monotonic())
                ended = stop.wait(due_s - time.monotonic())
        except Exception as error:  # noqa: BLE001 - it belongs to the thread that left the block
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(HANGING_S)
    if errors:
        raise errors[0]


def next_due_s(due_s: float, period_s: float, now_s: float) -> float:
    """Return the first moment after now that lies whole periods after the last one."""
    return due_s + period_s * max(1, int((now_s - due_s) // period_s) + 1)
