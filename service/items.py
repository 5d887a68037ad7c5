"""What travels between the protocol and the executor: one model input, and what the model made of it."""

from typing import Any, NamedTuple

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
