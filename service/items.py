"""What travels between the protocol and the executor: one model input, and what the model made of it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Item = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Result:
    """What the model made of one item.

    Attributes:
        outputs: the model's own output, FP32.
        probabilities: of the most likely labels, descending; empty for a model without labels.
        classes: indices of those labels.
    """

    outputs: NDArray[np.float32]
    probabilities: list[float]
    classes: list[int]
