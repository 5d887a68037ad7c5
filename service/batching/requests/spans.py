"""OpenTelemetry spans of requests and batches that have ended, from their times. Used by one thread.

A request's span is the child of its caller's, and has a child for each stage. A batch's span has a trace of its own and a link
to each request that had a part in it, whose span for computing has a link to the batch. The caller's flag decides whether a
request is traced, and the SDK's sampler where there is no caller. A batch is traced if one of its requests is.
"""

import io
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import requests
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from tailgate import __version__
from tailgate.service.batching.requests.request import Request
from tailgate.service.batching.requests.traces import Batch, Ended

# Of a collector's answer, which is empty or says in a few bytes what it has not taken.
MOST_ANSWER_BYTES = 2**16
FIRST_FAULT = 500


@dataclass(slots=True)
class _Begun:
    """The span of a request."""

    span: Span  # its context has no flag where the request is not traced
    offset_ns: int  # from time.perf_counter to the time since the epoch
    batches: list[Link] = field(default_factory=list)  # that it had a part in


class Spans:
    """Makes spans.

    Args:
        of_requests: has the sampler.
        of_batches: keeps all, and takes any number of links.
    """

    def __init__(self, of_requests: TracerProvider, of_batches: TracerProvider) -> None:
        self._provider = of_requests
        self._requests, self._batches = (
            each.get_tracer("tailgate", __version__) for each in (of_requests, of_batches)
        )
        # Each stays as long as its request: a batch may end after a request that had a part in it.
        self._begun: WeakKeyDictionary[Request, _Begun] = WeakKeyDictionary()

    def make(self, batches: Sequence[Batch], ended: Sequence[Ended]) -> None:
        """Make spans of what has ended."""
        offset_ns = time.time_ns() - time.perf_counter_ns()
        for batch in batches:
            self._make_batch(batch, offset_ns)
        for each in ended:
            self._make_request(each, offset_ns)

    def close(self) -> None:
        """Send what has not been sent."""
        self._provider.shutdown()

    def _make_batch(self, batch: Batch, offset_ns: int) -> None:
        begun = [self._begin(request, offset_ns) for request in batch.requests]
        traced = [each for each in begun if each.span.get_span_context().trace_flags.sampled]
        if not traced:
            return
        span = self._batches.start_span(
            "batch",
            Context(),
            links=[Link(each.span.get_span_context()) for each in traced],
            attributes={"tailgate.batch.size": batch.size},
            start_time=_ns(batch.bound_s, offset_ns),
        )
        span.end(_ns(batch.bound_s + batch.computed_s, offset_ns))
        for each in traced:
            each.batches.append(Link(span.get_span_context()))

    def _begin(self, request: Request, offset_ns: int) -> _Begun:
        """Return the span of a request, which a batch may need before the request has ended."""
        begun = self._begun.get(request)
        if begun is None:
            context, caller = Context(), request.caller
            if caller is not None:
                remote = SpanContext(
                    caller.trace_id, caller.span_id, is_remote=True, trace_flags=TraceFlags(caller.flags)
                )
                context = set_span_in_context(NonRecordingSpan(remote), context)
            start_ns = _ns(request.start_s, offset_ns)
            span = self._requests.start_span(
                request.verb, context, SpanKind.SERVER, {"http.request.method": "POST"}, start_time=start_ns
            )
            begun = self._begun[request] = _Begun(span, offset_ns)
        return begun

    def _make_request(self, ended: Ended, offset_ns: int) -> None:
        request = ended.request
        begun = self._begin(request, offset_ns)
        span, offset_ns = begun.span, begun.offset_ns
        if not span.is_recording():
            return
        end_s = request.start_s + ended.total_s
        within = set_span_in_context(span, Context())
        for name, begin_s, stage_end_s in request.stages(end_s):
            links = begun.batches if name == "compute" else ()
            stage = self._requests.start_span(name, within, links=links, start_time=_ns(begin_s, offset_ns))
            stage.end(_ns(stage_end_s, offset_ns))
        span.set_attributes(_facts(ended))
        if ended.status is not None and ended.status >= FIRST_FAULT:
            span.set_status(StatusCode.ERROR)
        span.end(_ns(end_s, offset_ns))


def _facts(ended: Ended) -> dict[str, str | int]:
    request = ended.request
    facts: dict[str, str | int | None] = {
        "tailgate.outcome": ended.outcome.value,
        "tailgate.request_id": None if request.request_id is None else request.request_id.decode(),
        "tailgate.batch.size": request.batch_size or None,
        "http.response.status_code": ended.status,
    }
    return {name: value for name, value in facts.items() if value is not None}


def _ns(at_s: float, offset_ns: int) -> int:
    return round(at_s * 1e9) + offset_ns


def spans_to(processor: SpanProcessor) -> Spans:
    """Return what makes spans for a processor; the resource and the sampler are those of the ``OTEL_`` variables."""
    resource = Resource.create({"service.version": __version__})
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: "tailgate"}))
    # Not shut down by the interpreter, which would wait for a collector that hangs.
    of_requests = TracerProvider(resource=resource, shutdown_on_exit=False)
    of_batches = TracerProvider(
        ALWAYS_ON, resource, shutdown_on_exit=False, span_limits=SpanLimits(max_links=SpanLimits.UNSET)
    )
    for provider in (of_requests, of_batches):
        provider.add_span_processor(processor)
    return Spans(of_requests, of_batches)


def sent_spans() -> Spans:
    """Return what makes spans, and sends them by OTLP over HTTP to where the ``OTEL_`` variables say.

    The SDK raises ValueError for a variable that means nothing.
    """
    session = requests.Session()
    session.hooks["response"].append(_bounded)
    return spans_to(BatchSpanProcessor(OTLPSpanExporter(session=session)))


def _bounded(response: requests.Response, *_: Any, **__: Any) -> None:
    """Read no answer whose length is not known or is large: it could have no end, and the memory has one."""
    length = response.headers.get("content-length", "")
    if not (length.isdecimal() and int(length) <= MOST_ANSWER_BYTES):
        response.close()
        response.raw = io.BytesIO()
