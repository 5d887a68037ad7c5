"""Print what a request costs the service, as JSON: its own connections, queue and answers, with a model that does nothing.

    python benchmarks/limits/request_cost.py LINE SETTINGS REQUESTS

LINE is a header line of each request, with its number in it, and SETTINGS a JSON object. Run by
:mod:`benchmarks.limits.observing` in either revision: only names that both have. Requests come as bytes and are answered in
batches of eight, in one thread. There is no socket, no thread of an executor and no PyTorch, so that a tenth of a microsecond
can be seen. Spans are encoded, and go nowhere.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import uvloop

from tailgate.service.__main__ import SWITCH_INTERVAL_S
from tailgate.service.batching.pipeline import Pipeline
from tailgate.service.batching.service import Phase, Service
from tailgate.service.http.app import create_app
from tailgate.service.http.connection import Connection
from tailgate.service.http.site import Site
from tailgate.service.logs import close_logging, configure_logging
from tailgate.service.memory import collect_seldom, spare_collector
from tailgate.service.models.items import Result
from tailgate.service.models.spec import Served, TensorSpec
from tailgate.service.settings import load_settings

BATCH, WARM_UP = 8, 2_000
MOST_BEHIND, MOST_SPANS = 1_000, 100_000
HEAD = "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: 16\r\n"


class Wire:
    """A transport without a client."""

    def write(self, data: bytes) -> None:
        """Check that a request was served."""
        assert data.startswith(b"HTTP/1.1 200 "), data

    def is_closing(self) -> bool:
        """Tell that it is open."""
        return False

    def get_write_buffer_size(self) -> int:
        """Tell that its client has read everything."""
        return 0


def traces_into_nothing() -> Any:
    """Return traces whose spans go nowhere."""
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import (  # noqa: PLC0415 - an extra
        BatchSpanProcessor,
        SpanExporter,
        SpanExportResult,
    )

    from tailgate.service.batching.requests.spans import spans_to  # noqa: PLC0415 - not in every revision
    from tailgate.service.batching.requests.traces import Traces  # noqa: PLC0415

    class Nowhere(SpanExporter):
        def export(self, spans: Sequence[Any]) -> SpanExportResult:
            encode_spans(spans).SerializeToString()
            return SpanExportResult.SUCCESS

    traces = Traces(spans_to(BatchSpanProcessor(Nowhere(), max_queue_size=MOST_SPANS)))
    traces.start()
    return traces


def started(settings: Mapping[str, Any], traces: Any) -> tuple[Service, list[Connection], list[Any]]:
    """Return a service, connections to it, and the queue, which the caller empties; called on the event loop."""
    loop = asyncio.get_running_loop()
    app = create_app(load_settings({}, **settings))
    service: Service = app.state.service
    engine: Any = SimpleNamespace(
        served=Served("noop", TensorSpec((4,), np.dtype(np.float32)), None, None),
        max_batch_size=BATCH,
        times=SimpleNamespace(predict_s=lambda _: 0.001),
        inference=SimpleNamespace(run=None, pipelined=False, broken=None),
    )
    more = [] if traces is None else [traces]
    pipeline: Any = Pipeline(engine, service.settings, service.metrics, loop, *more)
    queue: list[Any] = []
    pipeline.dispatcher = SimpleNamespace(submit=queue.append, running=None, waiting=0, hung=None)
    pipeline.admission._dispatcher = pipeline.dispatcher  # noqa: SLF001 - no thread stands behind this one
    service.pipeline, service.phase = pipeline, Phase.READY
    if traces is not None:
        service.traces = traces
    connections = [Connection(Site(app, loop)) for _ in range(BATCH)]
    for each in connections:
        each.connection_made(Wire())  # type: ignore[arg-type] # what of a transport is used
    return service, connections, queue


async def spend(line: str, settings: Mapping[str, Any], requests: int) -> dict[str, float]:
    """Return the microseconds of a request."""
    traces = traces_into_nothing() if settings.get("traces") else None
    service, connections, queue = started(settings, traces)
    pipeline: Any = service.pipeline
    spare_collector()
    result = Result(np.zeros(4, np.float32), [], [])
    sent = [
        f"{HEAD}{line.format(number + 1)}\r\n".encode() + bytes(16) for number in range(WARM_UP + requests)
    ]
    loop_s = process_s = 0.0
    for first in range(0, len(sent), BATCH):
        if first == WARM_UP:
            loop_s, process_s = time.thread_time(), time.process_time()
        for connection, data in zip(connections, sent[first : first + BATCH], strict=True):
            connection.data_received(data)
        batch, now_s = queue[:], time.perf_counter()
        queue.clear()
        for request in batch:
            request.bound_s, request.computed_s, request.batch_size = now_s, 0.0, len(batch)
            request.outcome = result
        pipeline._end(batch)  # noqa: SLF001 - what the dispatcher's thread has called
        await asyncio.sleep(0)
        while traces is not None and traces._noted - traces._made > MOST_BEHIND:  # noqa: SLF001, ASYNC110
            await asyncio.sleep(0.02)
    spent = {"loop_us": (time.thread_time() - loop_s) / requests * 1e6}
    if traces is not None:
        traces.stop()
        assert not traces.dropped
    return spent | {"process_us": (time.process_time() - process_s) / requests * 1e6}


def main() -> None:
    """Read the command line, and print."""
    line, settings, requests = sys.argv[1:]
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    collect_seldom()
    configure_logging("json")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        spent = runner.run(spend(line, json.loads(settings), int(requests) // BATCH * BATCH))
    print(json.dumps(spent), flush=True)
    close_logging()
    os._exit(0)


if __name__ == "__main__":
    main()
