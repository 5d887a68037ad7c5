"""What BF16 would give where nobody has chosen a precision: measured at start, offered with its error, never taken.

It takes some tenths of a second, and only where the device computes BF16 by itself.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import structlog
import torch

from tailgate.service.execution.executor import Executor
from tailgate.service.execution.graph import ServedGraph
from tailgate.service.execution.trials.parity import DTYPES, Parity, in_batches
from tailgate.service.execution.trials.trial import Prepared, hold, seconds_of
from tailgate.service.models.items import Item
from tailgate.service.settings import Settings

SETTING = "TAILGATE_PRECISION=bf16"
# A gain that is worth other answers, in every round.
WORTHWHILE = 1.2
ROUNDS = 3
# Of a batch in FP32. Where the largest takes longer, a smaller one is measured: the start of a large model would take a sixth
# more time, and its cost per input depends little on the batch.
LONGEST_BATCH_S = 0.15
# The copy of a model with more weights could be what does not fit into the machine any more.
MOST_WEIGHTS_BYTES = 2**29
# As cpuinfo names them: x86 with AVX-512 or AMX, and ARM.
CPU_CAPABILITIES = ("avx512_bf16", "amx_bf16", "bf16")


@dataclass(frozen=True, slots=True)
class Offer:
    """BF16 beside what runs."""

    batch_size: int
    fp32_per_s: float  # inputs per second, by the executor that runs
    bf16_per_s: float
    parity: Parity

    def facts(self) -> dict[str, float | str | None]:
        """Return all of it for the log and for metadata, with what to set."""
        return {
            "set": SETTING,
            "batch_size": self.batch_size,
            "fp32_per_s": round(self.fp32_per_s, 1),
            "bf16_per_s": round(self.bf16_per_s, 1),
            "largest_error": round(self.parity.largest_error, 5),
            "top1_agreement": self.parity.top1_agreement,
            "inputs": self.parity.inputs,
        }


def offer_of(
    settings: Settings,
    ready: Prepared,
    build: Callable[[ServedGraph], Executor],
    fp32_s: Mapping[int, float],
) -> Offer | None:
    """Return BF16's figures where it is faster and its answers are near enough, and say so in the log.

    ``fp32_s`` are measured seconds of batches by their size, up to the largest, by the executor that runs.
    """
    if not may_be_offered(settings, ready):
        return None
    log = structlog.get_logger("tailgate.offer")
    size = size_to_try(fp32_s)
    try:
        body = copy.deepcopy(ready.graph.body).to(DTYPES["bf16"])
        executor = build(ServedGraph(ready.model, body, DTYPES["bf16"], settings.top_k))
        answers = in_batches(executor.run, ready.examples[: len(ready.expected.outputs)], size)
        parity = hold(answers, expected=ready.expected, limit=settings.precision_max_error, chosen="bf16")
        bf16_s = _seconds(executor, ready.examples[:size], fp32_s[size] / WORTHWHILE)
    except Exception as error:  # noqa: BLE001 - an offer is no reason to fail: not every operator knows BF16
        log.debug("bf16 is not offered", reason=repr(error))
        return None
    if bf16_s is None:
        return None
    found = Offer(size, size / fp32_s[size], size / bf16_s, parity)
    log.info("bf16 is faster", **found.facts())
    return found


def may_be_offered(settings: Settings, ready: Prepared) -> bool:
    """Tell whether a model runs in FP32 by nobody's choice, could run in BF16, and is small enough to try."""
    chosen = "precision" in settings.model_fields_set and settings.precision != "auto"
    weights = [*ready.graph.body.parameters(), *ready.graph.body.buffers()]
    return (
        not chosen
        and ready.precision == "fp32"
        and any(each.dtype == torch.float32 for each in weights)
        and sum(each.nbytes for each in weights) <= MOST_WEIGHTS_BYTES
        and computes_bf16(ready.device)
    )


def computes_bf16(device: torch.device) -> bool:
    """Tell whether a device has instructions for BF16; without them it is slower than FP32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in CPU_CAPABILITIES)


def size_to_try(fp32_s: Mapping[int, float]) -> int:
    """Return the largest batch size that is short enough, or the smallest where none is."""
    return max((size for size, seconds in fp32_s.items() if seconds <= LONGEST_BATCH_S), default=min(fp32_s))


def _seconds(executor: Executor, batch: Sequence[Item], limit_s: float) -> float | None:
    """Return the median seconds of a batch; None as soon as one takes longer than the limit."""
    taken_s = []
    for _ in range(ROUNDS):
        taken_s.append(seconds_of(executor, batch))
        if taken_s[-1] > limit_s:
            return None
    return median(taken_s)
