"""Which number format the model computes in, and how far that moves its answers from strict FP32 without TF32.

Both are compared at start-up on the same inputs; beyond ``TAILGATE_PRECISION_MAX_ERROR`` the service does not become ready.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from tailgate.service.errors import ConfigurationError
from tailgate.service.execution.graph import GraphOutput
from tailgate.service.models.items import Item
from tailgate.service.settings import Precision, Settings

# By other kernels in FP32, rounding moves an output by a millionth; a wrong kernel or a stale library by more than this.
FP32_MAX_ERROR = 1e-3
Inputs = TypeVar("Inputs", torch.Tensor, Sequence[Item])
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class Parity:
    """How a reduced precision compares with FP32 over so many inputs."""

    largest_error: float  # absolute, of any output, as a share of FP32's largest absolute output
    top1_agreement: float | None  # share with the same most likely class; None for a model without labels
    inputs: int


def choose_device(settings: Settings) -> torch.device:
    """Return the device; ConfigurationError where CUDA is asked for and there is none."""
    if settings.device == "cuda" and not torch.cuda.is_available():
        reason = "PyTorch finds no CUDA device; use cpu or auto"
        if torch.version.cuda is None:
            reason = f"this PyTorch ({torch.__version__}) is built without CUDA; install one with it, or use cpu or auto"
        raise ConfigurationError(f"TAILGATE_DEVICE: cuda is asked for, but {reason}")
    if settings.device == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda")


def choose_precision(settings: Settings, device: torch.device) -> Precision:
    """Return fp32, fp16 or bf16; ConfigurationError for FP16 on a CPU that is not forced."""
    if settings.precision == "auto":
        return "fp16" if device.type == "cuda" else "fp32"
    if settings.precision == "fp16" and device.type == "cpu" and not settings.allow_fp16_on_cpu:
        raise ConfigurationError(
            "TAILGATE_PRECISION: fp16 on a CPU is about ten times slower than fp32 for convolutions; use bf16 there, "
            "or TAILGATE_ALLOW_FP16_ON_CPU=true to run it all the same"
        )
    return settings.precision


def set_strict_fp32() -> None:
    """Keep FP32 exact on CUDA: no TF32 in products or convolutions."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


def compare(reduced: GraphOutput, reference: GraphOutput) -> Parity:
    """Return how far ``reduced`` is from ``reference``, which are results of the same inputs.

    The same infinity, or NaN in both, agrees; in one of them alone it makes the error no number. Whole numbers may be amounts,
    or codes of which another is wrong however near: the smaller of the error and the share that differs counts. Of several
    outputs the worst counts.
    """
    pairs = zip(reduced.all_outputs, reference.all_outputs, strict=True)
    errors = [_error(got.cpu(), expected) for got, expected in pairs]
    # max() would pass over NaN, which is no number and beyond every limit.
    error = next((each for each in errors if math.isnan(each)), max(errors))
    agreement = None
    if reference.classes.shape[1]:
        agreement = float((reduced.classes[:, 0].cpu() == reference.classes[:, 0]).float().mean())
    return Parity(error, agreement, len(reference.outputs))


def _error(got: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the largest error of an output as a share of its largest number."""
    same = (got == expected) | (got.isnan() & expected.isnan())
    difference = (got.double() - expected.double()).abs().masked_fill(same, 0.0).max()
    finite = expected.double().abs().masked_fill(~expected.isfinite(), 0.0)
    error = float(difference / finite.max().clamp_min(torch.finfo(torch.float32).tiny))
    return error if expected.is_floating_point() else min(error, float((~same).double().mean()))


def in_batches(run: Callable[[Inputs], GraphOutput], inputs: Inputs, size: int) -> GraphOutput:
    """Return the results of all inputs, run in batches of at most ``size``."""
    parts = [run(inputs[first : first + size]) for first in range(0, len(inputs), size)]
    return GraphOutput(*(torch.cat(part) for part in zip(*parts, strict=True)))


def require(parity: Parity, limit: float, precision: Precision) -> None:
    """Raise ConfigurationError where the error is beyond the limit, or no number."""
    if not math.isfinite(parity.largest_error):
        raise ConfigurationError(
            f"TAILGATE_PRECISION: with {precision} the model returns NaN or infinity where fp32 does not; fp16 ends at "
            "65,504, bf16 and fp32 at 3e38"
        )
    if parity.largest_error > limit:
        raise ConfigurationError(
            f"TAILGATE_PRECISION: {precision} differs from the model as it came by {parity.largest_error:.3g} of the largest output, "
            f"and at most {limit:.3g} is allowed (TAILGATE_PRECISION_MAX_ERROR, and less for fp32)"
        )
