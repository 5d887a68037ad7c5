r"""A plain FastAPI application, instrumented by prometheus-fastapi-instrumentator.

    pytest --pyargs tailgate.scenarios -m perf --perf-scenario=steady \
        --perf-target='command:uvicorn fastapi_app:app --port {port} --log-level warning' \
        --perf-readiness-path= \
        --perf-request='POST /score' \
        --perf-payloads='body:{"text": "hello"}' \
        --perf-expect='json:$.label=bad' \
        --perf-metric='request_seconds=http_request_duration_seconds{handler="/score"}' \
        --perf-metric='requests_total=http_requests_total{handler="/score"}'

Run it in this folder; WORK=20000 in the environment of a second run plants a slowdown.
"""

import os

from fastapi import FastAPI
from prometheus_fastapi_instrumentator import Instrumentator
from pydantic import BaseModel

app = FastAPI()
Instrumentator().instrument(app).expose(app)
WORK = int(os.environ.get("WORK", "1"))


class Text(BaseModel):
    """What is scored."""

    text: str


@app.post("/score")
def score(text: Text) -> dict[str, float | str]:
    """Score a text; ``WORK`` times, to plant a slowdown."""
    for _ in range(WORK):
        value = sum(text.text.encode()) % 101 / 100
    return {"label": "good" if value > 0.5 else "bad", "score": value}
