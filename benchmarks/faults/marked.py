"""A model that obeys its pixels, for the benchmarks of faults: ``benchmarks.faults.marked:marked``.

The first pixel of an item is its number, which is appended to the file FAULT_COMPUTED when it is computed. The second
pixel says what happens to the item. While the file FAULT_HOLD exists, every batch waits.
"""

import os
import time
from pathlib import Path

import torch
from torch import nn

from tailgate import ImageInput, Model

SIZE = 8
NOTHING, POISON, NAN, HANG = 0, 1, 2, 3
LOOK_S = 0.001


class Marked(nn.Module):
    """The mean colour of each item; a batch takes ``FAULT_BATCH_MS``."""

    def __init__(self) -> None:
        super().__init__()
        self._hold = Path(os.environ["FAULT_HOLD"])
        self._computed = Path(os.environ["FAULT_COMPUTED"]).open("ab", buffering=0)  # noqa: SIM115 - for the process's life
        self._batch_s = float(os.environ.get("FAULT_BATCH_MS", "0")) / 1000

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Return N×3, or do what a pixel says."""
        pixels = (batch * 255).round().to(torch.int64)
        marks = pixels[:, :, 0, 1].amax(1)
        time.sleep(self._batch_s)
        while self._hold.exists() or bool((marks == HANG).any() and self._hold.with_suffix(".hang").exists()):
            time.sleep(LOOK_S)
        if bool((marks == POISON).any()):
            raise RuntimeError("poison")
        self._computed.write(pixels[:, :, 0, 0].to(torch.uint8).contiguous().numpy().tobytes())
        return torch.where(marks[:, None] == NAN, torch.nan, batch.mean((2, 3)) * 10)


def marked() -> Model:
    """Return the model: 8 × 8 pixels to three labels."""
    image = ImageInput(SIZE, crop=1.0, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    return Model("marked", Marked(), "none", image=image, labels=("red", "green", "blue"))


def item(number: int, mark: int = NOTHING) -> bytes:
    """Return the pixels of an item."""
    return number.to_bytes(3, "big") + bytes([mark] * 3) + bytes(SIZE * SIZE * 3 - 6)


def numbers(computed: bytes) -> list[int]:
    """Return the numbers in FAULT_COMPUTED, in the order of their computation."""
    return [int.from_bytes(computed[place : place + 3], "big") for place in range(0, len(computed), 3)]
