"""A stand-in for a CUDA device, in the processor's memory: what is asked of it is noted, and results come when they are waited for."""

import torch

from tailgate.service.execution.cuda import Recording


class Tape:
    """A device: a replay runs the function again and puts its results where they were.

    What is downloaded is there only after the mark behind it has been waited for, as on a device that is still computing.
    """

    def __init__(self, room=None):
        self.room = room  # of the largest batch that can be recorded
        self.recorded, self.replayed, self.beside, self.marks, self.waits = [], [], [], 0, 0
        self._coming = []

    def host_buffer(self, shape, dtype):
        return torch.zeros(tuple(shape), dtype=dtype)

    device_buffer = host_buffer

    def record(self, run):
        outputs = run()
        size = len(outputs.outputs)
        if self.room is not None and size > self.room:
            raise torch.OutOfMemoryError("tried to allocate 2 GiB")
        self.recorded.append(size)

        def replay():
            self.replayed.append(size)
            for kept, new in zip(outputs, run(), strict=True):
                kept.copy_(new)

        return Recording(replay, outputs)

    def upload(self, target, source, *, beside):
        self.beside.append(beside)
        target.copy_(source)

    def download(self, part):
        taken = torch.full_like(part, 99)
        self._coming.append((taken, part.clone()))
        return taken

    def mark(self):
        self.marks += 1
        coming, self._coming = self._coming, []

        def wait():
            self.waits += 1
            with torch.inference_mode():
                for taken, part in coming:
                    taken.copy_(part)

        return wait
