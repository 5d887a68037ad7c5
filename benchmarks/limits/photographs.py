"""What a photograph costs before the model sees it, and what that does to the answers.

    python -m benchmarks.limits.photographs [--crops 500] [--json FILE]

The reference is Pillow with torchvision's own ``Resize`` and ``CenterCrop``; torchvision's decoder, with the same on tensors, stands
beside it. Times are of one thread's processor, all ways interleaved in one process, medians. Answers are those of the
demonstration model on crops of scikit-image's photographs, each scaled to a size of its own and saved as JPEG.
"""

import io
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import skimage
import torch
import typer
from numpy.typing import NDArray
from PIL import Image
from torchvision.io import decode_jpeg
from torchvision.transforms import CenterCrop, Compose, Resize

from benchmarks import record
from tailgate.service.codec.images import decode_image
from tailgate.service.errors import ModelFailure
from tailgate.service.execution.build import Engine, build_engine
from tailgate.service.memory import keep_freed_memory
from tailgate.service.models.spec import ImageInput
from tailgate.service.settings import load_settings

Pixels = NDArray[np.uint8]
Way = Callable[[bytes], Pixels]
OWN, REFERENCE, TENSORS = "tailgate", "Pillow and torchvision", "torchvision's decoder, tensors"
PHOTOGRAPHS = (
    *(
        "astronaut.png",
        "chelsea.png",
        "coffee.png",
        "hubble_deep_field.jpg",
        "ihc.png",
        "motorcycle_left.png",
    ),
    *("retina.jpg", "rocket.jpg"),
)
SIZES = ((451, 300), (800, 532), (1804, 1200), (4000, 2660))
ROUNDS, SEED = 15, 0
MANY = 10**8


@dataclass(frozen=True, slots=True)
class Answers:
    """How a way's answers differ from the reference's, over all crops."""

    crops: int
    agreement: float  # share of crops with the reference's most likely label
    disagree: list[str]  # names of the others
    largest_difference: float  # of the probability of the reference's most likely label
    mean_levels: float  # of 255, of the pixels
    largest_levels: int


def ways(target: ImageInput) -> dict[str, Way]:
    """Return each way from a JPEG's bytes to the model's pixels."""
    cut = Compose([Resize(target.resize), CenterCrop(target.size)])

    def reference(body: bytes) -> Pixels:
        return np.asarray(cut(Image.open(io.BytesIO(body)).convert("RGB")))

    def tensors(body: bytes) -> Pixels:
        pixels: torch.Tensor = cut(decode_jpeg(torch.frombuffer(bytearray(body), dtype=torch.uint8)))
        return np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())

    return {OWN: lambda body: decode_image(body, target, MANY), REFERENCE: reference, TENSORS: tensors}


def photograph(name: str) -> Image.Image:
    """Return one of scikit-image's photographs."""
    return Image.open(Path(skimage.__file__).parent / "data" / name).convert("RGB")


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    """Return the bytes of a JPEG."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def costs(by: Mapping[str, Way]) -> dict[str, dict[str, float]]:
    """Return the milliseconds of each way for chelsea in each size."""
    found: dict[str, dict[str, float]] = {}
    for size in SIZES:
        body = jpeg(photograph("chelsea.png").resize(size, Image.Resampling.BICUBIC))
        taken: dict[str, list[float]] = {name: [] for name in by}
        for number in range(1 + ROUNDS):
            for name, way in by.items():
                start_s = time.thread_time()
                way(body)
                if number:  # the first warms up
                    taken[name].append(time.thread_time() - start_s)
        found["{} x {}".format(*size)] = {name: 1e3 * float(np.median(each)) for name, each in taken.items()}
    return found


def crops_of_all(count: int) -> Iterator[tuple[str, bytes]]:
    """Yield crops of all photographs: a name, and a JPEG whose shorter side has 100 to 2,000 pixels."""
    random = np.random.default_rng(SEED)
    images = {name: photograph(name) for name in PHOTOGRAPHS}
    for number in range(count):
        name = PHOTOGRAPHS[number % len(PHOTOGRAPHS)]
        image = images[name]
        width, height = (int(random.integers(side // 3, side + 1)) for side in image.size)
        left, top = (
            int(random.integers(0, side - part + 1))
            for side, part in zip(image.size, (width, height), strict=True)
        )
        times = float(random.uniform(100, 2000)) / min(width, height)
        scaled = image.resize(
            (round(width * times), round(height * times)),
            Image.Resampling.BICUBIC,
            box=(left, top, left + width, top + height),
        )
        yield (
            f"{name} {width}x{height}+{left}+{top} at {times:.2f}",
            jpeg(scaled, int(random.integers(75, 96))),
        )


def answers(by: Mapping[str, Way], engine: Engine, count: int) -> dict[str, Answers]:
    """Return how the answers of each way differ from the reference's."""
    names, agree = list[str](), {name: list[bool]() for name in by}
    levels = {name: list[Pixels]() for name in by}
    apart = {name: list[float]() for name in by}
    for crop, body in crops_of_all(count):
        names.append(crop)
        pixels = {name: way(body) for name, way in by.items()}
        rows = dict(zip(pixels, probabilities(engine, list(pixels.values())), strict=True))
        best = int(rows[REFERENCE].argmax())
        for name, row in rows.items():
            agree[name].append(int(row.argmax()) == best)
            apart[name].append(abs(float(row[best] - rows[REFERENCE][best])))
            levels[name].append(np.abs(pixels[name].astype(np.int16) - pixels[REFERENCE]).astype(np.uint8))
    return {
        name: Answers(
            len(names),
            float(np.mean(agree[name])),
            [crop for crop, same in zip(names, agree[name], strict=True) if not same],
            max(apart[name]),
            float(np.mean(levels[name])),
            int(np.max(levels[name])),
        )
        for name in by
        if name != REFERENCE
    }


def probabilities(engine: Engine, batch: list[Pixels]) -> NDArray[np.float64]:
    """Return the probability of each label for each item."""
    outputs = []
    for result in engine.inference.run(batch):
        if isinstance(result, ModelFailure):
            raise result
        outputs.append(result.outputs)
    logits = np.asarray(outputs, np.float64)
    powers = np.exp(logits - logits.max(1, keepdims=True))
    found: NDArray[np.float64] = powers / powers.sum(1, keepdims=True)
    return found


def markdown(found: Mapping[str, Mapping[str, float]], differ: Mapping[str, Answers]) -> str:
    """Return both tables."""
    names = list(next(iter(found.values())))
    lines = [f"| pixels | {' | '.join(f'{name}, ms' for name in names)} |", "| --- " * (1 + len(names)) + "|"]
    lines += [
        f"| {size} | {' | '.join(f'{row[name]:.2f}' for name in names)} |" for size, row in found.items()
    ]
    lines += [
        "",
        "| beside the reference | same label | largest difference of its probability | levels: mean, largest |",
    ]
    lines += ["| --- | --- | --- | --- |"]
    lines += [
        f"| {name} | {one.agreement:.1%} of {one.crops} | {one.largest_difference:.3f} | {one.mean_levels:.2f}, {one.largest_levels} |"
        for name, one in differ.items()
    ]
    return "\n".join(lines)


def main(
    crops: Annotated[int, typer.Option(min=1, help="whose answers are compared")] = 500,
    json: record.Json = record.RESULTS / "photographs.json",
) -> None:
    """Measure both, and print the tables."""
    keep_freed_memory()  # as the service does
    settings = {"TAILGATE_MODEL": "demo", "TAILGATE_EXECUTOR": "eager", "TAILGATE_THREADS": "1"}
    engine = build_engine(load_settings(settings, max_batch_size=4))
    assert engine.served.image is not None
    by = ways(engine.served.image)
    document = record.Record("photographs", {"rounds": ROUNDS, "crops": crops, "seed": SEED}, json)
    found = costs(by)
    document.write({"cost_ms": found})
    differ = answers(by, engine, crops)
    document.write({"cost_ms": found, "answers": differ})
    print(f"{markdown(found, differ)}\n\nwritten: {json}")


if __name__ == "__main__":
    typer.run(main)
