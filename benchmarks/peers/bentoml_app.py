"""BentoML: ``bentoml serve benchmarks.peers.bentoml_app:Classifier``."""

import base64
from typing import Any

import bentoml  # type: ignore[import-not-found]

from benchmarks.peers.predictor import build_predictor
from benchmarks.workloads import CAP


@bentoml.service(
    workers=1, traffic={"timeout": 60}, metrics={"enabled": True}, logging={"access": {"enabled": False}}
)
class Classifier:
    """One worker with adaptive batching."""

    def __init__(self) -> None:
        self.predictor = build_predictor()

    # A latency that is not foreseen keeps BentoML from refusing requests as overload.
    # Each request brings a list of one, as batchable endpoints want it; JSON holds no bytes, hence base64.
    @bentoml.api(batchable=True, batch_dim=0, max_batch_size=CAP, max_latency_ms=60_000)  # type: ignore[untyped-decorator]
    def predict(self, items: list[str]) -> list[dict[str, Any]]:
        """Answer one batch."""
        return self.predictor.predict([base64.b64decode(item) for item in items])
