"""Build the engine while the event loop goes on."""

import asyncio
import os
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING

from tailgate.service.settings import Settings

if TYPE_CHECKING:
    from tailgate.service.execution.build import Engine

IDLEST = 19  # the niceness of what only has what others leave


async def build_in_thread(settings: Settings) -> "Engine | BaseException":
    """Load and warm up a model, which takes seconds to minutes, in a thread that a stop need not wait for.

    The start of a replacement takes only processor time that the service in use leaves: the thread has the lowest priority,
    and so have those that it starts. It ends with the start, and the thread that computes batches has the usual priority.

    Returns:
        The engine, or whatever building it raised. Raised here, some exceptions would be taken for this task's own: that it is
        cancelled, or that the process is to end.
    """
    done: Future[Engine | BaseException] = Future()
    done.set_running_or_notify_cancel()

    def work() -> None:
        try:
            if settings.replace is not None:
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), IDLEST)
            done.set_result(_build(settings))
        except BaseException as error:  # noqa: BLE001 - a factory may raise anything
            done.set_result(error)

    threading.Thread(target=work, name="tailgate-build", daemon=True).start()
    return await asyncio.wrap_future(done)


def _build(settings: Settings) -> "Engine":
    from tailgate.service.execution.build import build_engine  # noqa: PLC0415 - imports PyTorch, which takes seconds

    return build_engine(settings)
