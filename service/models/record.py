"""Several inputs of a model, packed into the records that are its items (:func:`tailgate.service.models.spec.record_spec`)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tailgate.service.models.spec import TensorSpec, places


def pack(arrays: Sequence[NDArray[Any]], specs: Sequence[TensorSpec]) -> NDArray[np.uint8]:
    """Return one record per row of the inputs, each of which is n × its spec."""
    count, begins = len(arrays[0]), places(specs)
    records = np.zeros((count, begins[-1]), np.uint8)
    for array, spec, begin in zip(arrays, specs, begins[:-1], strict=True):
        rows = np.ascontiguousarray(array, spec.dtype).reshape(count, -1)
        records[:, begin : begin + spec.nbytes] = rows.view(np.uint8)
    return records
