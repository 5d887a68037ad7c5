"""The service behind both edges: its phases, from the start to the end.

It is live at once and ready after the warm-up. To stop, it says that it is not ready and serves on, so that load balancers
send no more requests. Then it refuses new requests, finishes the accepted ones, and ends.
"""

import asyncio
import enum
import time
from collections.abc import Callable, Iterable

import structlog

from tailgate.service.batching.headroom import Counts, Lately, headroom, stages_of
from tailgate.service.batching.in_flight import InFlight
from tailgate.service.batching.pipeline import Pipeline
from tailgate.service.batching.requests.journal import Journal, call_later
from tailgate.service.batching.requests.traces import Traces, start_traces
from tailgate.service.batching.start import build_in_thread
from tailgate.service.errors import ConfigurationError, Outcome, Unavailable, gist
from tailgate.service.logs import lines_dropped
from tailgate.service.memory import keep_freed_memory
from tailgate.service.metrics import Metrics, Reading
from tailgate.service.settings import LARGEST_CHOSEN_BATCH, Settings


class Phase(enum.Enum):
    """Where the service stands between its start and its end."""

    STARTING = "starting"
    READY = "ready"
    LEAVING = "leaving"
    DRAINING = "draining"
    FAILED = "failed"
    STOPPED = "stopped"


# Requests to the model that cost it something, or were refused because of others.
_ASKED = (Outcome.OK, Outcome.FULL, Outcome.LATE, Outcome.EXPIRED, Outcome.CANCELLED, Outcome.ERROR)
_READY = Phase.READY  # looking up a member of an enum costs as much as six calls of a function


class Service:
    """One model behind one queue. All methods but ``stop`` are called on the event loop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.call_later = call_later
        self.phase = Phase.STARTING
        self.failure: BaseException | None = None  # what the start raised; None unless it failed
        self.metrics = Metrics(
            settings.histogram_edges_s,
            settings.max_batch_size or LARGEST_CHOSEN_BATCH,
            self._readings,
            settings.latency_objective_s,
        )
        self.journal = Journal(settings.slow_request_ms, share=settings.access_log)
        self.traces: Traces | None = None  # of requests; None where none are asked for, and before the start
        self.in_flight = InFlight(settings.max_in_flight_bytes)
        self.started = asyncio.Event()  # set when the start is done
        self.failed = asyncio.Event()  # set when it has failed
        self.pipeline: Pipeline | None = None  # what requests pass; None until the model is loaded
        self._lately: Lately | None = None
        self._log = structlog.get_logger("tailgate.service")

    async def start(self, before_ready: Callable[[], None] = lambda: None) -> None:
        """Load and warm up in a thread, then become ready; a failure is kept in ``failure``.

        ``before_ready`` is called when all lasting objects exist.
        """
        loop = asyncio.get_running_loop()
        keep_freed_memory()  # under another server nobody has done it yet
        try:
            if self.settings.traces:
                self.traces = await asyncio.to_thread(start_traces)
            engine = await build_in_thread(self.settings)
            if isinstance(engine, BaseException):
                self._fail(engine)
            elif self.phase is Phase.STARTING:
                pipeline = Pipeline(engine, self.settings, self.metrics, loop, self.traces)
                pipeline.start()
                self.pipeline, self.metrics.info = pipeline, engine.facts
                self._lately = Lately(self._counts(pipeline))
                before_ready()
                self.phase = Phase.READY
                self.started.set()
                self._log.info(
                    "ready",
                    model=engine.served.name,
                    weights=engine.facts["weights"],
                    processors=engine.facts["processors"],
                    model_threads=engine.facts["threads"],
                    decode_threads=self.settings.decoding_threads,
                )
        except Exception as error:  # noqa: BLE001 - whatever it is, the service must say it and stop
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self.phase, self.failure = Phase.FAILED, error
        if isinstance(error, ConfigurationError):
            self._log.error("cannot start", reason=str(error))
        else:
            self._log.error("cannot start", reason=gist(error), exc_info=error)
        self.failed.set()

    # Whether requests are taken.

    @property
    def hung(self) -> str | None:
        """Why the service is not live: a failed start, a batch without an end, a lost device or thread; None where it is."""
        if self.phase is Phase.FAILED:
            return "the start has failed, and the log says why"
        return None if self.pipeline is None else self.pipeline.hung

    @property
    def status(self) -> str:
        """The phase, or ``hung``."""
        return "hung" if self.hung is not None and self.phase is not Phase.FAILED else self.phase.value

    @property
    def ready(self) -> bool:
        """Whether requests are wanted; while it leaves they are taken all the same."""
        return self.phase is Phase.READY and self.hung is None

    def require_ready(self, *, admitted: bool = False) -> Pipeline:
        """Return what a request passes; a drain waits for one that was ``admitted`` at its head, and whose body has come since.

        Raises:
            Unavailable: not ready yet, draining, or hung.
        """
        pipeline = self.pipeline
        phase = self.phase
        taken = phase is _READY or phase is Phase.LEAVING or (admitted and phase is Phase.DRAINING)
        if pipeline is None or not taken:
            raise Unavailable(f"the service is {self.phase.value}; try again later, or another replica")
        hung = pipeline.hung
        if hung is not None:
            raise Unavailable(f"{hung}; try another replica")
        return pipeline

    def turn_away(self) -> int:
        """Return after how many seconds a request may come back that is refused because of others."""
        assert self.pipeline is not None  # else there are no others
        return self.pipeline.admission.turn_away()

    def profile(self) -> None:
        """Have the next batches recorded by PyTorch's profiler."""
        if self.pipeline is None:
            self._log.warning("nothing is recorded", reason=f"the service is {self.status}")
        else:
            self.pipeline.profiling.ask()

    # The end.

    def leave(self) -> float:
        """Say that no more requests are wanted, and return for how many seconds they are still taken."""
        delay_s = self.settings.drain_delay_s
        if self.phase is not Phase.READY or not delay_s:
            return 0.0
        self.phase = Phase.LEAVING
        self._log.info("leaving", delay_s=delay_s)
        return delay_s

    async def drain(self) -> bool:
        """Refuse new requests and wait for the accepted ones; False when some had not ended in time."""
        if self.phase in (Phase.STARTING, Phase.READY, Phase.LEAVING):
            self.phase = Phase.DRAINING
        requests, timeout_s = self.in_flight.requests, self.settings.drain_timeout_s
        self._log.info("draining", in_flight=requests, timeout_s=timeout_s)
        try:
            async with asyncio.timeout(timeout_s):
                await self.in_flight.nothing()
        except TimeoutError:
            self._log.warning(
                "requests were still in flight when the drain time ended", in_flight=self.in_flight.requests
            )
            return False
        return True

    def stop(self) -> None:
        """End the threads; called after the drain, when nobody waits for a batch that may still run."""
        if self.pipeline is not None:
            self.pipeline.stop()
        self.journal.flush()
        if self.traces is not None:
            self.traces.stop()
        if self.phase is not Phase.FAILED:
            self.phase = Phase.STOPPED

    def _readings(self) -> Iterable[Reading]:
        pipeline = self.pipeline
        decoding = 0 if pipeline is None else pipeline.decoders.decoding(time.perf_counter()).waiting
        waiting = 0 if pipeline is None else pipeline.dispatcher.waiting
        yield Reading("tailgate_ready", float(self.ready))
        yield Reading("tailgate_decode_queue_depth", decoding)
        yield Reading("tailgate_queue_depth", waiting)
        yield Reading("tailgate_in_flight", self.in_flight.requests)
        yield Reading("tailgate_in_flight_bytes", self.in_flight.bytes)
        dropped = lines_dropped()
        if dropped is not None:
            yield Reading("tailgate_log_lines_dropped", dropped)
        if self.traces is not None:
            yield Reading("tailgate_traces_dropped", self.traces.dropped)
        if pipeline is not None:
            yield Reading("tailgate_max_batch_size", pipeline.engine.max_batch_size)
            yield from pipeline.engine.gauges()
            yield from self._headroom(pipeline)

    def _headroom(self, pipeline: Pipeline) -> Iterable[Reading]:
        assert self._lately is not None
        yield Reading("tailgate_predicted_wait_seconds", pipeline.admission.wait_s())
        lately = self._lately.note(self._counts(pipeline))
        forecast, cap = pipeline.admission.forecast, pipeline.engine.max_batch_size
        stages = stages_of(lately, forecast, cap, self.settings.decoding_threads)
        left = headroom(lately, stages, self.settings.latency_objective_s)
        if left is not None:
            yield Reading("tailgate_spare_requests_per_second", left.spare_per_s)
            yield Reading("tailgate_desired_replicas", left.replicas)

    def _counts(self, pipeline: Pipeline) -> Counts:
        metrics = self.metrics
        return Counts(
            time.perf_counter(),
            asked=sum(metrics.requests[outcome] for outcome in _ASKED) + self.in_flight.requests,
            answered=metrics.requests[Outcome.OK],
            decoded=pipeline.admission.forecast.decoded,
            items=int(metrics.batch_size.sum),
        )
