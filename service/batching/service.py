"""The service behind both edges: its phases, and the hand-over between the event loop and the executor's thread.

It is live at once and ready after the warm-up. To stop, it refuses new requests, finishes the accepted ones, and ends.
"""

import asyncio
import contextlib
import enum
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import structlog

from tailgate.service.batching.admission import Admission, Crowd
from tailgate.service.batching.dispatcher import Dispatcher
from tailgate.service.batching.forecast import Forecast
from tailgate.service.batching.journal import Journal
from tailgate.service.batching.policy import BatchPolicy
from tailgate.service.batching.request import Request
from tailgate.service.batching.start import build_in_thread
from tailgate.service.batching.workers import Workers
from tailgate.service.errors import BytesFull, ConfigurationError, QueueFull, Unavailable, gist
from tailgate.service.logs import lines_dropped
from tailgate.service.memory import keep_freed_memory
from tailgate.service.metrics import Counter, Gauge, Metrics
from tailgate.service.models.spec import Served
from tailgate.service.settings import LARGEST_CHOSEN_BATCH, Settings, available_processors

if TYPE_CHECKING:
    from tailgate.service.execution.build import Engine

MAX_DECODE_THREADS = 8
# For a batch that still runs after the drain; the process ends without it.
JOIN_TIMEOUT_S = 2.0


class Phase(enum.Enum):
    """Where the service stands between its start and its end."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    FAILED = "failed"
    STOPPED = "stopped"


class Service:
    """One model behind one queue. All methods but ``stop`` are called on the event loop.

    Attributes:
        settings: as read at the start.
        phase: where it stands.
        failure: what the start raised; None unless it failed.
        failed: set when the start has failed.
        metrics: what Prometheus sees.
        journal: the log of single requests.
        in_flight: requests that are read, waiting, computed or answered.
        in_flight_bytes: bytes of their bodies so far.
        decoders: threads that make inputs of bodies; there once the service is ready.
        writers: the thread that writes large answers.
    """

    decoders: Workers[Request]
    writers: Workers[Request]

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.phase = Phase.STARTING
        self.failure: BaseException | None = None
        self.metrics = Metrics(
            settings.histogram_edges_s, settings.max_batch_size or LARGEST_CHOSEN_BATCH, self._gauges
        )
        self.journal = Journal(settings.slow_request_ms)
        self.in_flight = 0
        self.in_flight_bytes = 0
        self.failed = asyncio.Event()
        self.engine: Engine | None = None
        self._dispatcher: Dispatcher[Request] | None = None
        self._admission: Admission | None = None
        self._pools: tuple[Workers[Request], ...] = ()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._nothing_in_flight = asyncio.Event()
        self._log = structlog.get_logger("tailgate.service")

    async def start(self, before_ready: Callable[[], None] = lambda: None) -> None:
        """Load and warm up in a thread, then become ready; a failure is kept in ``failure``.

        Args:
            before_ready: called when all lasting objects exist.
        """
        self._loop = asyncio.get_running_loop()
        kept = keep_freed_memory()
        try:
            engine = await build_in_thread(self.settings)
            if isinstance(engine, BaseException):
                self._fail(engine)
            elif self.phase is Phase.STARTING:
                self._begin(engine, self._loop)
                before_ready()
                self.phase = Phase.READY
                self._log_ready(engine, kept=kept)
        except Exception as error:  # noqa: BLE001 - whatever it is, the service must say it and stop
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """Note and log that the start has failed."""
        self.phase, self.failure = Phase.FAILED, error
        if isinstance(error, ConfigurationError):
            self._log.error("cannot start", reason=str(error))
        else:
            self._log.error("cannot start", reason=gist(error), exc_info=error)
        self.failed.set()

    def _begin(self, engine: "Engine", loop: asyncio.AbstractEventLoop) -> None:
        """Put everything that requests need around the engine, and start its threads."""
        self.engine = engine
        self.metrics.info = engine.facts
        policy = BatchPolicy(
            engine.max_batch_size,
            self.settings.queue_capacity,
            self.settings.max_wait_s,
            self.settings.watchdog_s,
        )
        forecast = Forecast(engine.times.predict_s, engine.max_batch_size)
        dispatcher = Dispatcher(
            policy,
            engine.inference.run,
            self._deliver,
            defer=loop.call_soon,
            begin=engine.inference.begin if engine.inference.pipelined else None,
            expected_s=forecast.expected_s,
        )
        dispatcher.start()
        self._dispatcher = dispatcher
        self.decoders = Workers("tailgate-decode", self._decode_threads, loop)
        # A computed answer must not wait behind pictures that are still to be decoded.
        self.writers = Workers("tailgate-write", 1, loop)
        self._pools = self.decoders, self.writers
        for pool in self._pools:
            pool.start()
        self._admission = Admission(
            forecast,
            self.decoders,
            dispatcher,
            Crowd(loop),
            self.settings.queue_capacity,
            self.settings.latency_objective_s,
        )
        self.decoders.done = self._admission.note_decoding

    @property
    def _decode_threads(self) -> int:
        return self.settings.decode_threads or min(MAX_DECODE_THREADS, available_processors())

    def _log_ready(self, engine: "Engine", *, kept: bool) -> None:
        self._log.info(
            "ready",
            model=engine.served.name,
            weights=engine.facts["weights"],
            processors=engine.facts["processors"],
            model_threads=engine.facts["threads"],
            decode_threads=self._decode_threads,
            keeps_freed_memory=kept,
        )

    # Whether requests are taken.

    @property
    def hung(self) -> str | None:
        """Why the service is not live: a failed start, a batch without an end, a lost device or thread; None where it is."""
        if self.phase is Phase.FAILED:
            return "the start has failed, and the log says why"
        if self.engine is None or self._dispatcher is None:
            return None
        return self._dispatcher.hung or self.engine.inference.broken

    @property
    def status(self) -> str:
        """The phase, or ``hung``."""
        return "hung" if self.hung is not None and self.phase is not Phase.FAILED else self.phase.value

    @property
    def ready(self) -> bool:
        """Whether requests are taken."""
        return self.phase is Phase.READY and self.hung is None

    def require_ready(self, *, admitted: bool = False) -> Served:
        """Return what is served.

        Args:
            admitted: the request was accepted at its head, and its body has come since: a drain waits for it.

        Raises:
            Unavailable: not ready yet, not ready any more, or hung.
        """
        taken = self.phase is Phase.READY or (admitted and self.phase is Phase.DRAINING)
        if taken and self.engine is not None:
            hung = self.hung
            if hung is None:
                return self.engine.served
            raise Unavailable(f"{hung}; try another replica")
        raise Unavailable(f"the service is {self.phase.value}; try again later, or another replica")

    def admit(self, timeout_s: float | None, spent_s: float = 0.0, *, decoded: bool) -> None:
        """Refuse at once a request for which there is no room or no time; see :meth:`Admission.admit`."""
        assert self._admission is not None
        self._admission.admit(timeout_s, spent_s, decoded=decoded)

    # What requests hold.

    def require_room(self, size: int) -> None:
        """Refuse a body, or a piece of it, for which there is no room beside those in flight.

        Raises:
            BytesFull: together they would be more than ``TAILGATE_MAX_IN_FLIGHT_BYTES``.
        """
        if self.in_flight_bytes + size > self.settings.max_in_flight_bytes:
            assert self._admission is not None
            raise BytesFull(self.settings.max_in_flight_bytes, self._admission.retry_after_s())

    def hold(self, size: int) -> None:
        """Count bytes of a body that have come; the caller gives them back with :meth:`give_back`.

        Raises:
            BytesFull: there is no room; nothing is counted.
        """
        self.require_room(size)
        self.in_flight_bytes += size

    def give_back(self, size: int) -> None:
        """Note that bytes of a body are not needed any more."""
        self.in_flight_bytes -= size

    def leave(self) -> None:
        """Note that a request has ended."""
        self.in_flight -= 1
        if self.in_flight == 0:
            self._nothing_in_flight.set()

    def call_later(self, delay_s: float, function: Callable[[], None]) -> asyncio.TimerHandle:
        """Call a function later, on the event loop."""
        assert self._loop is not None
        return self._loop.call_later(delay_s, function)

    # To a batch and back.

    def submit(self, request: Request) -> None:
        """Queue a request; its ``computed`` is called once, on the event loop.

        Raises:
            QueueFull, Unavailable: it is not accepted.
        """
        if self._dispatcher is None or self._admission is None:
            raise Unavailable(f"the service is {self.phase.value}")
        try:
            self._dispatcher.submit(request)
        except QueueFull as error:
            error.retry_after_s = self._admission.retry_after_s()
            raise

    def withdraw(self, request: Request) -> bool:
        """Take a request back; False where a batch has it already."""
        return self._dispatcher is not None and self._dispatcher.withdraw(request)

    def _deliver(self, batch: list[Request]) -> None:
        """Hand a computed batch to the event loop; called in the dispatcher's thread."""
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._end, batch)

    def _end(self, batch: list[Request]) -> None:
        """Record one batch, and answer its requests."""
        metrics = self.metrics
        elapsed_s = batch[0].computed_s or 0.0
        metrics.batch_size.observe(len(batch))
        metrics.compute.observe(elapsed_s, times=len(batch))
        metrics.executor_busy_s += elapsed_s
        if self._admission is not None:
            self._admission.forecast.learn(len(batch), elapsed_s)
        for request in batch:
            metrics.queue.observe(request.waited_s)
        for request in batch:
            try:
                request.computed()
            except Exception:  # noqa: BLE001 - one client's connection must not keep the batch's others waiting
                self._log.exception("an answer could not be given")

    # The end.

    async def drain(self) -> bool:
        """Refuse new requests and wait for the accepted ones; False when some had not ended in time."""
        if self.phase in (Phase.STARTING, Phase.READY):
            self.phase = Phase.DRAINING
        self._log.info("draining", in_flight=self.in_flight, timeout_s=self.settings.drain_timeout_s)
        try:
            async with asyncio.timeout(self.settings.drain_timeout_s):
                while self.in_flight:
                    self._nothing_in_flight.clear()
                    await self._nothing_in_flight.wait()
        except TimeoutError:
            self._log.warning(
                "requests were still in flight when the drain time ended", in_flight=self.in_flight
            )
            return False
        return True

    def stop(self) -> None:
        """End the threads; called after the drain, when nobody waits for a batch that may still run."""
        if self._dispatcher is not None:
            self._dispatcher.close()
            self._dispatcher.join(JOIN_TIMEOUT_S)
        for pool in self._pools:
            pool.stop()
        self.journal.flush()
        if self.phase is not Phase.FAILED:
            self.phase = Phase.STOPPED

    def _gauges(self) -> Iterable[Gauge | Counter]:
        decoding = self._pools[0].decoding(time.perf_counter()).waiting if self._pools else 0
        waiting = 0 if self._dispatcher is None else self._dispatcher.waiting
        yield Gauge("ready", "1 when requests are taken.", float(self.ready))
        yield Gauge("decode_queue_depth", "Requests that wait for a decoding thread.", decoding)
        yield Gauge("queue_depth", "Requests whose input is there and that wait for a batch.", waiting)
        yield Gauge("in_flight", "Requests being read, waiting, computed or answered.", self.in_flight)
        yield Gauge("in_flight_bytes", "Bytes of the bodies of these requests.", self.in_flight_bytes)
        dropped = lines_dropped()
        if dropped is not None:
            yield Counter("log_lines_dropped", "Lines of the log that could not be written.", dropped)
        if self.engine is not None:
            yield from self.engine.gauges()
