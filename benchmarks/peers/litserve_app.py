"""LitServe: ``python -m benchmarks.peers.litserve_app PORT``."""

import base64
import sys
from collections.abc import Sequence
from typing import Any

import litserve  # type: ignore[import-not-found]

from benchmarks.peers.predictor import build_predictor
from benchmarks.workloads import CAP


class Classifier(litserve.LitAPI):  # type: ignore[misc]
    """The four steps of a LitServe API."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe gives it
        """Load the model in the worker."""
        self.predictor = build_predictor()

    def decode_request(self, request: dict[str, str]) -> Any:
        """Return one item; LitServe reads a body as JSON or as a form, so bytes come in base64."""
        return self.predictor.item(base64.b64decode(request["data"]))

    def batch(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """Leave the items as they are: the executor collates."""
        return inputs

    def predict(self, items: Sequence[Any]) -> Sequence[Any]:
        """Run one batch."""
        return self.predictor.compute(items)

    def unbatch(self, results: Sequence[Any]) -> Sequence[Any]:
        """Leave the results as they are."""
        return results

    def encode_response(self, result: Any) -> dict[str, Any]:
        """Return the answer."""
        return self.predictor.answer(result)


if __name__ == "__main__":
    # A window of 0 polls the queue without pause, on the processor that the model needs; 1 ms is the shortest that
    # sleeps. fast_queue is what the documentation names for high throughput.
    api = Classifier(max_batch_size=CAP, batch_timeout=0.001)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        generate_client_file=False,
        log_level="warning",
        access_log=False,
    )
