"""Mosec: ``python -m benchmarks.peers.mosec_app --address 127.0.0.1 --port PORT``."""

import os
from collections.abc import Sequence
from typing import Any

import orjson
from mosec import Server, Worker  # type: ignore[import-not-found]

from benchmarks.peers.predictor import build_predictor
from benchmarks.workloads import CAP


class Classifier(Worker):  # type: ignore[misc]
    """One stage, with raw bytes in and JSON out."""

    def __init__(self) -> None:
        super().__init__()
        self.predictor = build_predictor()

    def deserialize(self, data: bytes) -> Any:
        """Return one item."""
        return self.predictor.item(data)

    def forward(self, data: Sequence[Any]) -> Sequence[Any]:
        """Run one batch."""
        return self.predictor.compute(data)

    def serialize(self, data: Any) -> bytes:
        """Return the answer's body."""
        return orjson.dumps(self.predictor.answer(data))


if __name__ == "__main__":
    server = Server()
    # 1 ms is the shortest window that Mosec knows; 0 stands for its default of 10 ms.
    window_ms = int(os.environ.get("BENCH_WINDOW_MS", "1"))
    server.append_worker(Classifier, num=1, max_batch_size=CAP, max_wait_time=window_ms)
    server.run()
