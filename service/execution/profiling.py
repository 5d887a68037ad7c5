"""Traces of PyTorch's profiler, of the next batches, where somebody asks for them.

The batches run in the dispatcher's thread, and the profiler sees the thread that has started it. So it starts with a batch and
stops with one. The first batch has a file of its own, whose size says how many more fit into :data:`MOST_BYTES`.
"""

import contextlib
import tempfile
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from tailgate.service.errors import ConfigurationError
from tailgate.service.models.items import Answers, Item

if TYPE_CHECKING:
    from torch.profiler import profile

    from tailgate.service.execution.isolate import Inference

# Of one recording. While a file is written, no batch runs and the event loop waits: 30 MB took 0.5 to 1 s.
MOST_BYTES = 32 * 2**20


def more_batches(wanted: int, done: int, written_bytes: int) -> int:
    """Return how many batches the next file of a recording has: one, then what is wanted and fits; 0 at the end."""
    if not done:
        return min(1, wanted)
    return max(0, min(wanted - done, (MOST_BYTES - written_bytes) * done // max(1, written_bytes)))


def require_folder(folder: Path | None) -> None:
    """Raise ConfigurationError unless files can be written to a folder for traces; None is none."""
    if folder is None:
        return
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigurationError(
            f"TAILGATE_PROFILE_DIR: expected a folder that this user may write to, got {str(folder)!r}: {error.strerror}"
        ) from None


class Recording:
    """The batches that are recorded, so many as are ``wanted``, at least one. Used by the thread that runs them."""

    def __init__(self, folder: Path, wanted: int) -> None:
        self.folder = folder
        self.done = 0  # batches that are in files
        self._wanted = wanted
        self._written_bytes = 0
        self._files = 0
        self._profile: profile | None = None
        # Of the file that comes next.
        self._size = self._begun = self._ended = 0

    def begin(self) -> bool:
        """Start the profiler where it does not run; tell whether the file that comes next has the batch that begins now."""
        if self._profile is None:
            self._size = more_batches(self._wanted, self.done, self._written_bytes)
            self._begun = self._ended = 0
            self._profile = new_profile()
            self._profile.start()
        if self._begun == self._size:
            return False
        self._begun += 1
        return True

    def end(self) -> bool:
        """Note that one of these batches has ended, and write the file behind the last; tell whether it is the last file."""
        self._ended += 1
        if self._ended < self._size:
            return False
        assert self._profile is not None
        self._files += 1
        path = self.folder / f"{self._files}.json"
        self.stop()
        self._profile.export_chrome_trace(str(path))
        self._profile = None
        self._written_bytes += path.stat().st_size
        self.done += self._size
        return not more_batches(self._wanted, self.done, self._written_bytes)

    def stop(self) -> None:
        """Stop the profiler."""
        if self._profile is not None:
            self._profile.stop()


class Profiling:
    """Runs batches, and records those that are asked for. All methods but ``ask`` are called by one thread.

    ``folder`` is for recordings, None where nobody may ask for one; each has so many ``batches``.
    """

    def __init__(self, inference: "Inference", folder: Path | None, batches: int) -> None:
        self._inference = inference
        self._folder = folder
        self._batches = batches
        self._recording: Recording | None = None
        # Held from a question to the end of its recording.
        self._one = threading.Lock()
        self._log = structlog.get_logger("tailgate.profiling")

    def ask(self) -> None:
        """Have the next batches recorded; called by any thread, and returns at once."""
        if self._folder is None:
            self._log.warning("nothing is recorded", reason="TAILGATE_PROFILE_DIR is unset")
        elif not self._one.acquire(blocking=False):
            self._log.warning("nothing is recorded", reason="a recording is under way")
        else:
            threading.Thread(
                target=self._prepare, args=(self._folder,), name="tailgate-profiling", daemon=True
            ).start()

    def run(self, items: Sequence[Item]) -> Answers:
        """Return what the inference returns."""
        recording = self._recording
        if recording is None:
            return self._inference.run(items)
        counts = self._tried(recording.begin)
        with batch_range(len(items)):
            answers = self._inference.run(items)
        if counts:
            self._end(recording)
        return answers

    def begin(self, items: Sequence[Item]) -> Callable[[], Answers]:
        """Return what the inference returns; a batch that is recorded ends with its answers."""
        recording = self._recording
        if recording is None:
            return self._inference.begin(items)
        counts = self._tried(recording.begin)
        with batch_range(len(items)):
            finish = self._inference.begin(items)
        return partial(self._finish, recording, finish) if counts else finish

    def _finish(self, recording: Recording, finish: Callable[[], Answers]) -> Answers:
        answers = finish()
        if self._recording is recording:
            self._end(recording)
        return answers

    def _prepare(self, folder: Path) -> None:
        """Begin a recording; the profiler's first start in a process takes long, and happens here."""
        try:
            with new_profile():
                pass
            # Nobody else can read it or choose its name.
            made = Path(tempfile.mkdtemp(prefix="profile-", dir=folder))
        except Exception as error:  # noqa: BLE001 - whatever it is, the service goes on
            self._log.exception("nothing is recorded", reason=str(error))
            self._one.release()
            return
        self._log.info("the next batches are recorded", batches=self._batches, folder=str(made))
        self._recording = Recording(made, self._batches)

    def _end(self, recording: Recording) -> None:
        if self._tried(recording.end):
            self._log.info("batches were recorded", batches=recording.done, folder=str(recording.folder))
            self._recording = None
            self._one.release()

    def _tried(self, step: Callable[[], bool]) -> bool:
        """Return what a step of the recording returns; one that fails ends it, and no batch fails with it."""
        try:
            return step()
        except Exception as error:  # noqa: BLE001 - as above
            recording, self._recording = self._recording, None
            assert recording is not None
            self._log.exception("the recording ends early", reason=str(error), batches=recording.done)
            with contextlib.suppress(Exception):
                recording.stop()
            self._one.release()
            return False


def new_profile() -> "profile":
    """Return a profiler of the processor, and of CUDA where there is a device."""
    import torch  # noqa: PLC0415 - takes seconds, and a wrong setting is told without it
    from torch.profiler import ProfilerActivity, profile  # noqa: PLC0415

    activities = [ProfilerActivity.CPU]
    if torch.cuda.is_available():
        activities.append(ProfilerActivity.CUDA)
    return profile(activities=activities)


def batch_range(size: int) -> contextlib.AbstractContextManager[object]:
    """Return a context that a recording shows as one range around a batch."""
    from torch.profiler import record_function  # noqa: PLC0415

    return record_function(f"batch of {size}")
