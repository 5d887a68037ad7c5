"""Linear layers in int8 beside FP32 and BF16: a small trained network on 500 named crops of photographs, one thread.

    taskset -c 1 python -m benchmarks.limits.int8 [--json FILE]

Trained models of linear layers cannot be had from packages, so one is trained here, in a minute: it tells from which photograph
of scikit-image a crop of 32 × 32 pixels comes. Agreement is the share of crops with FP32's answer, each computed alone, with
its exact lower bound (Clopper and Pearson, one-sided, 95 %). Times are processor time, and the precisions take turns.
"""

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import skimage
import torch
import typer
from PIL import Image
from scipy.stats import beta
from torch import nn

from benchmarks import record
from tailgate.service.models.int8 import in_int8

PHOTOGRAPHS = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "rocket.jpg",
    "motorcycle_left.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "retina.jpg",
)
SIDE, WIDTH, JUDGED, LEARNED, EPOCHS, PORTION = 32, 2048, 500, 1600, 5, 100
BATCHES, ROUNDS, RUNS = (1, 8, 32), 9, 10
Call = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, slots=True)
class Row:
    """One precision."""

    precision: str
    agreement: float  # share of crops with FP32's most likely answer
    agreement_at_least: float
    largest_error: float  # share of FP32's largest output
    per_s: Mapping[str, float]  # crops per second of processor time, by batch size


def crops(count: int, rng: np.random.Generator) -> dict[str, torch.Tensor]:
    """Return so many crops by their names, ``PHOTOGRAPH[left,top,side]``, of each photograph in turn."""
    folder = Path(skimage.__file__).parent / "data"
    pictures = [Image.open(folder / name).convert("RGB") for name in PHOTOGRAPHS]
    found: dict[str, torch.Tensor] = {}
    while len(found) < count:
        which = len(found) % len(PHOTOGRAPHS)
        picture = pictures[which]
        side = int(rng.integers(48, 160))
        left, top = (int(rng.integers(0, room - side + 1)) for room in picture.size)
        box = (left, top, left + side, top + side)
        pixels = np.asarray(picture.resize((SIDE, SIDE), box=box), np.float32)
        found[f"{PHOTOGRAPHS[which]}[{left},{top},{side}]"] = torch.from_numpy(pixels / 255 - 0.5).flatten()
    return found


def trained(named: Mapping[str, torch.Tensor]) -> nn.Module:
    """Return a network that tells the photograph of a crop."""
    torch.manual_seed(0)
    inputs = torch.stack(list(named.values()))
    wanted = torch.tensor([PHOTOGRAPHS.index(name.partition("[")[0]) for name in named])
    network = nn.Sequential(
        nn.Linear(SIDE * SIDE * 3, WIDTH),
        nn.ReLU(),
        nn.Linear(WIDTH, WIDTH),
        nn.ReLU(),
        nn.Linear(WIDTH, len(PHOTOGRAPHS)),
    )
    optimizer = torch.optim.Adam(network.parameters(), 2e-4)
    for _ in range(EPOCHS):
        for part in torch.randperm(len(inputs)).view(-1, PORTION):
            loss = nn.functional.cross_entropy(network(inputs[part]), wanted[part])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return network.eval()


def calls_of(network: nn.Module) -> dict[str, Call]:
    """Return the network in each precision."""
    half = copy.deepcopy(network).bfloat16()
    return {
        "fp32": network,
        "bf16": lambda batch: half(batch.bfloat16()).float(),
        "int8": in_int8(network, "network"),
    }


def per_s(calls: Mapping[str, Call], inputs: torch.Tensor) -> dict[str, dict[str, float]]:
    """Return the crops per second of processor time, by precision and batch size."""
    found: dict[str, dict[str, float]] = {name: {} for name in calls}
    for size in BATCHES:
        taken_s: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(ROUNDS):
            for name, call in calls.items():
                call(inputs[:size])
                start_s = time.thread_time()
                for _ in range(RUNS):
                    call(inputs[:size])
                taken_s[name].append((time.thread_time() - start_s) / RUNS)
        for name, seconds in taken_s.items():
            found[name][str(size)] = size / float(np.median(seconds))
    return found


def measure() -> list[Row]:
    """Train, compare and time; the first row is FP32."""
    rng = np.random.default_rng(0)
    calls = calls_of(trained(crops(LEARNED, rng)))
    inputs = torch.stack(list(crops(JUDGED, rng).values()))
    with torch.inference_mode():
        outputs = {name: torch.cat([call(row[None]) for row in inputs]) for name, call in calls.items()}
        speeds = per_s(calls, inputs)
    reference = outputs["fp32"]
    rows = []
    for name, given in outputs.items():
        same = int((given.argmax(1) == reference.argmax(1)).sum())
        bound = float(beta.ppf(0.05, same, JUDGED - same + 1))
        error = float((given - reference).abs().max() / reference.abs().max())
        rows.append(Row(name, same / JUDGED, bound, error, speeds[name]))
    return rows


def main(json: record.Json = record.RESULTS / "int8.json") -> None:
    """Compare FP32, BF16 and int8 on one thread."""
    torch.set_num_threads(1)
    document = record.Record("int8", {"photographs": PHOTOGRAPHS, "crops": JUDGED, "width": WIDTH}, json)
    rows = measure()
    document.write({"rows": rows})
    for row in rows:
        speeds = ", ".join(f"{value:.0f}/s at {size}" for size, value in row.per_s.items())
        print(
            f"{row.precision}: agreement {row.agreement:.1%} (at least {row.agreement_at_least:.1%}), {speeds}"
        )
    print(f"written: {json}")


if __name__ == "__main__":
    typer.run(main)
