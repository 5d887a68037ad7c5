"""The model file of Triton's Python backend; :mod:`benchmarks.peers.triton_app` puts it into a model repository."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as triton  # type: ignore[import-not-found]

from benchmarks.peers.predictor import build_predictor


class TritonPythonModel:
    """What the Python backend looks for."""

    def initialize(self, _: dict[str, str]) -> None:
        """Load the model."""
        self.predictor = build_predictor()

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer one batch: each request is one item, and gets its most likely classes, or its outputs."""
        bodies = [triton.get_input_tensor_by_name(request, "BODY").as_numpy() for request in requests]
        items = [
            self.predictor.item(body.item() if body.dtype == object else body.tobytes()) for body in bodies
        ]
        return [self._response(result) for result in self.predictor.compute(items)]

    def _response(self, result: Any) -> Any:
        row = [*result.classes, *result.probabilities] if result.classes else result.outputs
        return triton.InferenceResponse([triton.Tensor("ANSWER", np.asarray([row], np.float32))])
