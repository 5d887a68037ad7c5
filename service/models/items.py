"""What travels between the protocol and the executor: one model input, and what the model made of it."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tailgate.service.errors import ModelFailure

Item = NDArray[Any]


class Result(NamedTuple):
    """What the model made of one item. A dataclass takes 3 times as long to make."""

    outputs: NDArray[Any]  # or one number of NumPy's, where a row is a single number
    probabilities: list[float]  # of the most likely labels, descending; empty without labels
    classes: list[int]  # indices of those labels
    more: tuple[NDArray[Any], ...] = ()  # further outputs, of a model with several

    @property
    def all_outputs(self) -> tuple[NDArray[Any], ...]:
        """The outputs in the model's order."""
        return (self.outputs, *self.more)


# One for each item of a batch, in their order.
Answers = list[Result | ModelFailure]


def non_finite_rows(outputs: NDArray[Any]) -> list[int]:
    """Return the rows with NaN or infinity.

    Both survive every addition, so a finite sum shows that there is none. A sum can also overflow, so rows are looked at then.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(outputs.sum()):
            return []
    return np.flatnonzero(~np.isfinite(outputs).reshape(len(outputs), -1).all(axis=1)).tolist()
