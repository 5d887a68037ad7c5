r"""The first example of LitServe's documentation: a model that squares a number.

    pytest --pyargs tailgate.scenarios -m perf --perf-scenario=steady \
        --perf-target='command:python litserve_app.py {port}' \
        --perf-readiness-path=/health --perf-metrics-path= \
        --perf-payloads='body:{"input": 4}' --perf-expect='json:$.output=16'

Run it in this folder.
"""

import sys
from typing import Any

import litserve


class Square(litserve.LitAPI):
    """Squares."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe's signature
        """Load the model."""
        self.model = lambda number: number**2

    def decode_request(self, request: dict[str, Any]) -> Any:
        """Take the number out of the body."""
        return request["input"]

    def predict(self, x: Any) -> Any:
        """Square it."""
        return self.model(x)

    def encode_response(self, output: Any) -> dict[str, Any]:
        """Make the answer."""
        return {"output": output}


if __name__ == "__main__":
    server = litserve.LitServer(Square(max_batch_size=1), accelerator="cpu")
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)
