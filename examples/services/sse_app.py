r"""A stream of tokens by server-sent events, as servers of language models answer.

    pytest --pyargs tailgate.scenarios -m perf --perf-scenario=steady \
        --perf-target='command:uvicorn sse_app:app --port {port} --log-level warning' \
        --perf-readiness-path=/health --perf-metrics-path= \
        --perf-request='POST /generate'

Run it in this folder.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()
FIRST_S = float(os.environ.get("FIRST_S", "0.01"))
BETWEEN_S = float(os.environ.get("BETWEEN_S", "0.002"))
TOKENS = 8


async def tokens() -> AsyncIterator[str]:
    """Yield some tokens, and the end."""
    await asyncio.sleep(FIRST_S)
    for number in range(TOKENS):
        yield f"data: {json.dumps({'token': number})}\n\n"
        await asyncio.sleep(BETWEEN_S)
    yield "data: [DONE]\n\n"


@app.post("/generate")
async def generate() -> StreamingResponse:
    """Stream them."""
    return StreamingResponse(tokens(), media_type="text/event-stream")


@app.get("/health")
def health() -> dict[str, bool]:
    """Say that it lives."""
    return {"ok": True}
