"""A function that is called again and again while something else runs: for witnesses beside the load.

The moments are fixed beforehand, so that a slow call delays none of those after it; what would fall into a call that still
runs is left out.
"""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

# A call that takes longer hangs; its thread ends with the process.
HANGING_S = 5.0


class Periodic:
    """Calls a function every ``period_s`` within a ``with`` block: at once, so once at least, however short the block is.

    An exception of the function ends the calls, and is raised where the block is left without another one.
    """

    def __init__(self, function: Callable[[], None], period_s: float) -> None:
        self._function = function
        self._period_s = period_s
        self._stop = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        """Start."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the call that runs, if any, and make no further one; a call that hangs is left to itself."""
        self._stop.set()
        self._thread.join(HANGING_S)
        if self._error is not None and error is None:
            raise self._error

    def _run(self) -> None:
        due_s = time.monotonic()
        try:
            ended = False
            while not ended:
                self._function()
                due_s = next_due_s(due_s, self._period_s, time.monotonic())
                ended = self._stop.wait(due_s - time.monotonic())
        except Exception as error:  # noqa: BLE001 - it belongs to the thread that left the block
            self._error = error


def next_due_s(due_s: float, period_s: float, now_s: float) -> float:
    """Return the first moment after now that lies whole periods after the last one."""
    return due_s + period_s * max(1, int((now_s - due_s) // period_s) + 1)
