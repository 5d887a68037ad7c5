"""The real size of the planted regressions of ``tests/plants``: processor time of the model, planted over unplanted.

    python -m benchmarks.gate.plants [--rounds 500] [--json FILE]

Both models run in turn on one thread, in a random order; a round gives one ratio of processor seconds, so that what the
machine does to both cancels. The result is the median with its interval. It is the share of *model* work that a plant
adds; a request costs more than its model, so its own processor time grows by less.
"""

import sys
import time
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch import nn

from benchmarks.environments import ROOT
from benchmarks.record import RESULTS, Json, Record
from tailgate.harness import statistics
from tailgate.service.models.folding import fold_batch_norm
from tailgate.service.models.load import load_model
from tailgate.service.settings import load_settings

SIDE = 64
PLANTS = {"more_2": 0.02, "more_5": 0.05, "more_10": 0.10}
BATCHES = (1, 4, 16, 32)
CONFIDENCE = 0.99


@dataclass(frozen=True, slots=True)
class Size:
    """The share that a plant adds at one batch size: meant, and measured with its one-sided 0.99 interval."""

    plant: str
    batch: int
    meant: float
    added: float
    low: float | None
    high: float | None
    rounds: int

    def __str__(self) -> str:
        """One line for a terminal."""
        low, high = ("?" if end is None else f"{end:+.1%}" for end in (self.low, self.high))
        return (
            f"{self.plant}, batch {self.batch}: {self.added:+.1%} ({low} to {high}), meant {self.meant:+.0%}"
        )


def built(name: str) -> nn.Module:
    """Return a model as the eager executor runs it."""
    model = load_model(load_settings({"TAILGATE_MODEL": name, "TAILGATE_INPUT_SIZE": str(SIDE)}))
    folded = fold_batch_norm(model.module, torch.zeros(2, 3, SIDE, SIDE))
    return folded.eval().to(memory_format=torch.channels_last)


def ratios(planted: nn.Module, plain: nn.Module, batch: int, rounds: int) -> NDArray[np.float64]:
    """Return the ratio of processor seconds of each round."""
    rng = np.random.default_rng(0)
    example = torch.rand(batch, 3, SIDE, SIDE).contiguous(memory_format=torch.channels_last)
    sides = (plain, planted)
    found = np.empty((rounds, 2))
    with torch.inference_mode():
        for spent in found:
            for side in rng.permutation(2):
                sides[side](example)  # its weights are in the cache then, as in a busy service
                start_s = time.process_time()
                sides[side](example)
                spent[side] = time.process_time() - start_s
    return found[:, 1] / found[:, 0]


def main(
    rounds: Annotated[int, typer.Option(help="alternated repetitions of each batch")] = 500,
    json: Json = RESULTS / "gate-plants.json",
) -> None:
    """Measure the plants."""
    sys.path.append(str(ROOT / "tests" / "plants"))
    torch.set_num_threads(1)
    record = Record("gate-plants", {"rounds": rounds, "side": SIDE}, json)
    plain = built("torchvision:mobilenet_v3_small")
    sizes: list[Size] = []
    for name, meant in PLANTS.items():
        planted = built(f"planted:{name}")
        for batch in BATCHES:
            seen = ratios(planted, plain, batch, rounds) - 1
            low, high = statistics.quantile_interval(seen, 0.5, CONFIDENCE)
            sizes.append(Size(name, batch, meant, float(np.median(seen)), low, high, len(seen)))
            print(sizes[-1], flush=True)
        record.write({"sizes": sizes})


if __name__ == "__main__":
    typer.run(main)
