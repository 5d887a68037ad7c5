"""The answers in reduced precision: the demonstration model on photographs, by precision and executor.

    python -m benchmarks.limits.precision [--json FILE]

The reference is FP32 by the eager executor, without TF32. On a CPU: FP32, BF16 and (forced) FP16 eagerly, FP32 and BF16
compiled. On CUDA: all three eagerly and by CUDA graphs. Nothing is timed. The table is Markdown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import skimage
import torch
import typer

from benchmarks import record
from benchmarks.environments import CACHE
from benchmarks.serving.compiling import Executor, executor_of
from benchmarks.workloads import Workload
from tailgate.service.codec.images import decode_image
from tailgate.service.errors import ModelFailure
from tailgate.service.execution.build import Engine, build_engine
from tailgate.service.logs import configure_logging
from tailgate.service.models.items import Result
from tailgate.service.settings import load_settings

PHOTOGRAPHS = ("chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "astronaut.png", "ihc.png")
SETTINGS = {
    "TAILGATE_MODEL": "demo",
    "TAILGATE_ALLOW_FP16_ON_CPU": "true",
    "TAILGATE_PRECISION_MAX_ERROR": "1",  # the error is measured here, so the service must not refuse it
    "TAILGATE_THREADS": "1",
    "TAILGATE_MAX_BATCH_SIZE": "2",
}
ON_CPU = (("fp32", "eager"), ("fp32", "compiled"), ("bf16", "eager"), ("bf16", "compiled"), ("fp16", "eager"))
ON_CUDA = tuple(
    (precision, executor) for precision in ("fp32", "bf16", "fp16") for executor in ("eager", "cuda-graph")
)


@dataclass(frozen=True, slots=True)
class Answer:
    """The most likely label of one photograph, and its probability."""

    label: str
    probability: float


@dataclass(frozen=True, slots=True)
class Variant:
    """One precision by one executor."""

    precision: str  # fp32, bf16 or fp16
    executor: str  # as ``TAILGATE_EXECUTOR`` has it
    answers: list[Answer]  # one per photograph
    agreement: float  # share of photographs with the reference's most likely label
    largest_error: float  # of any logit, as a share of the reference's largest absolute logit


def engine_of(precision: str, executor: str) -> Engine | None:
    """Return the engine; None where its model cannot be compiled here."""
    # A compiled model is found by all of these.
    settings = {**SETTINGS, "TAILGATE_PRECISION": precision, "TAILGATE_CACHE_DIR": str(CACHE / "compiled")}
    if executor == "compiled" and executor_of(Workload(precision, settings, b"")) is not Executor.COMPILED:
        return None
    return build_engine(load_settings(settings, executor=executor))


def results_of(engine: Engine) -> list[Result]:
    """Return the engine's result for each photograph, run one at a time."""
    folder = Path(skimage.__file__).parent / "data"
    image, found = engine.served.image, []
    assert image is not None
    for name in PHOTOGRAPHS:
        item = decode_image((folder / name).read_bytes(), image, 10**8)
        (result,) = engine.inference.run([item])
        if isinstance(result, ModelFailure):
            raise result
        found.append(result)
    return found


def compare(
    precision: str, executor: str, engine: Engine, results: Sequence[Result], reference: Sequence[Result]
) -> Variant:
    """Compare results with the reference's of the same photographs."""
    labels = engine.served.labels
    assert labels is not None
    pairs = list(zip(results, reference, strict=True))
    difference = max(float(np.abs(one.outputs - other.outputs).max()) for one, other in pairs)
    largest = max(float(np.abs(one.outputs).max()) for one in reference)
    return Variant(
        precision,
        executor,
        [Answer(labels[result.classes[0]], result.probabilities[0]) for result in results],
        agreement=float(np.mean([one.classes[0] == other.classes[0] for one, other in pairs])),
        largest_error=difference / largest,
    )


def measure() -> list[Variant]:
    """Run every variant; the first is the reference."""
    reference: list[Result] | None = None
    variants = []
    for precision, executor in ON_CUDA if torch.cuda.is_available() else ON_CPU:
        engine = engine_of(precision, executor)
        if engine is None:
            continue
        results = results_of(engine)
        reference = reference or results
        variants.append(compare(precision, executor, engine, results, reference))
    return variants


def table(variants: Sequence[Variant]) -> str:
    """Return a Markdown table with one column per variant."""
    rows = [
        ["", *(f"{one.precision} {one.executor}" for one in variants)],
        ["---"] * (len(variants) + 1),
    ]
    for row, name in enumerate(PHOTOGRAPHS):
        answers = [one.answers[row] for one in variants]
        rows.append([Path(name).stem, *(f"{one.label} {one.probability:.4f}" for one in answers)])
    rows.append(["same most likely label", *(f"{one.agreement:.0%}" for one in variants)])
    rows.append(["largest error of a logit", *(f"{one.largest_error:.1e}" for one in variants)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main(json: record.Json = record.RESULTS / "precision.json") -> None:
    """Compare precisions and executors on photographs."""
    configure_logging("console")
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    document = record.Record("precision", {**SETTINGS, "device": device}, json)
    variants = measure()
    document.write({"photographs": PHOTOGRAPHS, "variants": variants})
    print(table(variants))
    print(f"\nwritten: {json}")


if __name__ == "__main__":
    typer.run(main)
