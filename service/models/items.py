"""What travels between the protocol and the executor: one model input, and what the model made of it."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Item = NDArray[Any]


class Result(NamedTuple):
    """What the model made of one item; a tuple, since one is made for every request and a dataclass takes 3 times as long.

    Attributes:
        outputs: the model's own output: an array, or one number of NumPy's where a row is a single number.
        probabilities: of the most likely labels, descending; empty for a model without labels.
        classes: indices of those labels.
    """

    outputs: NDArray[Any]
    probabilities: list[float]
    classes: list[int]


def non_finite_rows(outputs: NDArray[Any]) -> list[int]:
    """Return the rows with NaN or infinity.

    One sum over all tells that there is none, which is nearly always so: both survive every addition. It may also overflow
    where all are finite, so it only decides whether to look closer.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(outputs.sum()):
            return []
    return np.flatnonzero(~np.isfinite(outputs).reshape(len(outputs), -1).all(axis=1)).tolist()
