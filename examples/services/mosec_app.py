r"""A worker of Mosec: the exponential of a number, in JSON.

    pytest --pyargs tailgate.scenarios -m perf --perf-scenario=steady \
        --perf-target='command:python mosec_app.py --address 127.0.0.1 --port {port}' \
        --perf-readiness-path=/ \
        --perf-request='POST /inference' \
        --perf-payloads='body:{"x": 0}' --perf-expect='json:$.y=1' \
        --perf-metric='request_seconds=mosec_service_process_duration_second{stage="total"}' \
        --perf-metric=requests_total=mosec_service_throughput_total

Run it in this folder.
"""

import math
from typing import Any

from mosec import Server, Worker


class Exponential(Worker):
    """Computes."""

    def forward(self, data: dict[str, float]) -> dict[str, Any]:
        """Return the exponential."""
        return {"y": math.exp(data["x"])}


if __name__ == "__main__":
    server = Server()
    server.append_worker(Exponential, num=1)
    server.run()
