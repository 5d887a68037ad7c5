"""Ray Serve: ``python -m benchmarks.peers.ray_app PORT``."""

import signal
import sys
from collections.abc import Sequence
from typing import Any

import ray  # type: ignore[import-not-found]
from ray import serve
from starlette.requests import Request

from benchmarks.peers.predictor import build_predictor
from benchmarks.workloads import CAP


@serve.deployment(num_replicas=1, max_ongoing_requests=256, ray_actor_options={"num_cpus": 1})
class Classifier:
    """One replica with dynamic request batching."""

    def __init__(self) -> None:
        self.predictor = build_predictor()

    @serve.batch(max_batch_size=CAP, batch_wait_timeout_s=0)  # type: ignore[untyped-decorator]
    async def batch(self, bodies: Sequence[bytes]) -> Sequence[dict[str, Any]]:
        """Answer one batch."""
        return self.predictor.predict(bodies)

    async def __call__(self, request: Request) -> Any:
        """Answer one request with raw bytes."""
        return await self.batch(await request.body())


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Classifier.bind(), route_prefix="/predict")  # type: ignore[attr-defined]
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()
