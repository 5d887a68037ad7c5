"""Triton's classification extension: the largest values of an output as text, ``value:index`` or ``value:index:label``."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def classified(row: NDArray[Any], count: int, labels: Sequence[str] | None) -> list[bytes]:
    """Return the ``count`` largest values of an item's output, the largest first; all where it has fewer.

    Equal values stand in the order of their indices. Floats have six decimals, as Triton writes them.
    """
    flat = np.asarray(row).reshape(-1)
    if flat.dtype.kind == "b":
        flat = flat.astype(np.uint8)
    # Sorted backwards, so that a stable order of equal values comes out forwards.
    best = flat.size - 1 - np.argsort(flat[::-1], kind="stable")[::-1][:count]
    form = "{:f}:{}" if flat.dtype.kind == "f" else "{}:{}"
    texts = [
        form.format(value, index) for value, index in zip(flat[best].tolist(), best.tolist(), strict=True)
    ]
    if labels is not None and len(labels) == flat.size:
        texts = [f"{text}:{labels[index]}" for text, index in zip(texts, best.tolist(), strict=True)]
    return [text.encode() for text in texts]
