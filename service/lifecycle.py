"""The service's state: starting, ready, draining, stopped; and the hand-over between event loop and batcher.

Live at once, ready only after warm-up. On a stop it refuses new requests, finishes the accepted ones, and ends.
"""

import asyncio
import contextlib
import enum
import math
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import structlog

from tailgate.service.admission import Admission
from tailgate.service.batcher import Batcher
from tailgate.service.batching import BatchPolicy, Ticket
from tailgate.service.crowd import Crowd
from tailgate.service.errors import BytesFull, ConfigurationError, QueueFull, Unavailable, gist
from tailgate.service.forecast import Forecast
from tailgate.service.logs import lines_dropped
from tailgate.service.memory import keep_freed_memory
from tailgate.service.metrics import Counter, Gauge, Metrics
from tailgate.service.protocol import Served
from tailgate.service.settings import LARGEST_CHOSEN_BATCH, Settings, available_processors
from tailgate.service.watchdog import Watchdog
from tailgate.service.workers import Then, Work, Workers

if TYPE_CHECKING:
    from tailgate.service.engine import Engine

T = TypeVar("T")
MAX_DECODE_THREADS = 8
# A batch that still runs after the drain; the process ends without it.
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
        settings: as read at start.
        phase: where it stands.
        failure: what the start raised; None unless it failed.
        failed: set when the start has failed.
        metrics: what Prometheus sees.
        in_flight: requests being read, waiting, computed or answered.
        in_flight_bytes: of their bodies, as far as these have come.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.phase = Phase.STARTING
        self.failure: BaseException | None = None
        self.metrics = Metrics(
            settings.histogram_edges_s, settings.max_batch_size or LARGEST_CHOSEN_BATCH, self._gauges
        )
        self.in_flight = 0
        self.in_flight_bytes = 0
        self.failed = asyncio.Event()
        self.engine: Engine | None = None
        self._batcher: Batcher | None = None
        self._admission: Admission | None = None
        self._watchdog: Watchdog | None = None
        self._workers: Workers | None = None
        self._writers: Workers | None = None
        # When the earliest deadline is looked at, infinity while nobody has one.
        self._look_s = math.inf
        self._look: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._nothing_in_flight = asyncio.Event()
        self._log = structlog.get_logger("tailgate.lifecycle")

    async def start(self, before_ready: Callable[[], None] = lambda: None) -> None:
        """Load and warm up in a thread, then become ready; a failure is kept in ``failure``.

        Args:
            before_ready: called when all that lasts is there.
        """
        self._loop = asyncio.get_running_loop()
        kept = keep_freed_memory()
        try:
            engine = await _in_thread(_build, self.settings)
            if isinstance(engine, BaseException):
                self._fail(engine)
            elif self.phase is Phase.STARTING:
                self._begin(engine)
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

    def _begin(self, engine: "Engine") -> None:
        """Put everything that requests need around the engine, and start its threads."""
        assert self._loop is not None
        self.engine = engine
        self.metrics.info = engine.facts
        policy = BatchPolicy(
            engine.max_batch_size, self.settings.queue_capacity, max_wait_s=self.settings.max_wait_s
        )
        forecast = Forecast(engine.times.predict_s, engine.max_batch_size)
        self._watchdog = Watchdog(engine.inference.run, self.settings.watchdog_s)
        begin = self._watchdog.watched(engine.inference.begin) if engine.inference.pipelined else None
        batcher = Batcher(
            policy,
            self._watchdog.run,
            self._deliver,
            defer=self._loop.call_soon,
            begin=begin,
            expected_s=forecast.expected_s,
        )
        batcher.start()
        self._batcher = batcher
        self._workers = Workers("tailgate-decode", self._decode_threads, self._loop)
        # A computed answer must not stand behind pictures that have yet to be decoded.
        self._writers = Workers("tailgate-write", 1, self._loop)
        self._workers.start()
        self._writers.start()
        self._admission = Admission(
            forecast,
            self._workers,
            self._batcher,
            Crowd(self._loop),
            self.settings.queue_capacity,
            self.settings.latency_objective_s,
        )
        self._workers.done = self._admission.note_decoding

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

    @property
    def _decoding(self) -> int:
        """Requests that wait for a decoding thread, or have one."""
        return 0 if self._workers is None else self._workers.unfinished

    @property
    def hung(self) -> str | None:
        """Why the service is not live: no start, a batch that does not end, or nothing that would run one; None where it is."""
        if self.phase is Phase.FAILED:
            return "the start has failed, and the log says why"
        if self.engine is None or self._watchdog is None or self._batcher is None:
            return None
        return self._watchdog.reason() or self.engine.inference.broken or self._batcher.lost

    @property
    def status(self) -> str:
        """Where it stands, or ``hung``."""
        return "hung" if self.hung is not None and self.phase is not Phase.FAILED else self.phase.value

    @property
    def ready(self) -> bool:
        """Whether requests are taken."""
        return self.phase is Phase.READY and self.hung is None

    def require_ready(self, *, admitted: bool = False) -> Served:
        """Return what is served.

        Args:
            admitted: the request was taken at its head, and its body has come since; it is finished in a drain, which
                waits for it.

        Raises:
            Unavailable: not ready yet, or not any more, or a batch does not end.
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

    def require_room(self, size: int) -> None:
        """Refuse a body, or a piece of it, for which there is no room beside those in flight.

        Raises:
            BytesFull: all together would be more than ``TAILGATE_MAX_IN_FLIGHT_BYTES``.
        """
        if self.in_flight_bytes + size > self.settings.max_in_flight_bytes:
            assert self._admission is not None
            raise BytesFull(self.settings.max_in_flight_bytes, self._admission.retry_after_s())

    def hold(self, size: int) -> None:
        """Count bytes of a body that have come; whoever calls gives them back with :meth:`give_back`.

        Raises:
            BytesFull: there is no room; nothing is counted.
        """
        self.require_room(size)
        self.in_flight_bytes += size

    def give_back(self, size: int) -> None:
        """Note that bytes of a body are not needed any more."""
        self.in_flight_bytes -= size

    def submit(self, ticket: Ticket) -> None:
        """Queue a ticket; its ``ended`` is called exactly once, on the event loop.

        Raises:
            QueueFull, Unavailable: it is not accepted.
        """
        if self._batcher is None or self._admission is None:
            raise Unavailable(f"the service is {self.phase.value}")
        try:
            self._batcher.submit(ticket)
        except QueueFull as error:
            error.retry_after_s = self._admission.retry_after_s()
            raise
        if ticket.deadline_s is not None and ticket.deadline_s < self._look_s:
            self._look_at(ticket.deadline_s)

    def _look_at(self, deadline_s: float) -> None:
        """See to it that what is late then is answered then, and not only when the executor is free."""
        assert self._loop is not None
        if self._look is not None:
            self._look.cancel()
        self._look_s = deadline_s
        self._look = self._loop.call_later(max(0.0, deadline_s - time.perf_counter()), self._expire)

    def _expire(self) -> None:
        assert self._batcher is not None
        self._look, self._look_s = None, math.inf
        expired, next_deadline_s = self._batcher.expire()
        if expired:
            self._end(expired)
        if next_deadline_s < math.inf:
            self._look_at(next_deadline_s)

    def withdraw(self, ticket: Ticket) -> None:
        """Take back a ticket whose client has gone; a batch that has it already goes on."""
        if self._batcher is not None:
            self._batcher.withdraw(ticket)

    def offload(
        self,
        then: Then,
        function: Callable[..., object],
        *arguments: object,
        began_s: float,
        timeout_s: float | None,
    ) -> Work:
        """Run work of more than some microseconds in the decoding threads, and go on with ``then``.

        It is given what ``function`` returned or raised, and the seconds that this took; see :meth:`Workers.submit`. It takes
        a place in the queue meanwhile. ``timeout_s`` is the client's patience from ``began_s`` on.
        """
        assert self._workers is not None
        return self._workers.submit(then, partial(function, *arguments), began_s=began_s, timeout_s=timeout_s)

    def write_out(self, then: Then, function: Callable[..., object], *arguments: object) -> Work:
        """Have a large answer written in a thread of its own, and go on as after :meth:`offload`."""
        assert self._writers is not None
        return self._writers.submit(then, partial(function, *arguments))

    def leave(self) -> None:
        """Note that a request has ended."""
        self.in_flight -= 1
        if self.in_flight == 0:
            self._nothing_in_flight.set()

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
        """End the threads; called when the drain is over, so that only a batch may run for which nobody waits."""
        if self._batcher is not None:
            self._batcher.close()
            self._batcher.join(JOIN_TIMEOUT_S)
        for workers in (self._workers, self._writers):
            if workers is not None:
                workers.stop()
        if self.phase is not Phase.FAILED:
            self.phase = Phase.STOPPED

    def _deliver(self, tickets: list[Ticket]) -> None:
        """Hand ended tickets to the event loop; called in the batcher's thread."""
        self._on_loop(self._end, tickets)

    def _on_loop(self, function: Callable[..., None], *arguments: object) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody waits any more
            self._loop.call_soon_threadsafe(function, *arguments)

    def _end(self, tickets: list[Ticket]) -> None:
        """Record one batch, or tickets that expired together, and wake those who wait."""
        metrics = self.metrics
        computed = [ticket for ticket in tickets if ticket.bound_s is not None]
        if computed:
            elapsed_s = computed[0].computed_s or 0.0
            metrics.batch_size.observe(len(computed))
            metrics.compute.observe(elapsed_s, times=len(computed))
            metrics.executor_busy_s += elapsed_s
            if self._admission is not None:
                self._admission.forecast.learn(len(computed), elapsed_s)
        for ticket in computed:
            metrics.queue.observe(ticket.waited_s)
        for ticket in tickets:
            try:
                ticket.ended(ticket)
            except Exception:  # noqa: BLE001 - one client's connection must not keep the batch's others waiting
                self._log.exception("an answer could not be given")

    def _gauges(self) -> Iterable[Gauge | Counter]:
        decoding = None if self._workers is None else self._workers.decoding(time.perf_counter())
        yield Gauge("ready", "1 when requests are taken.", float(self.ready))
        yield Gauge(
            "decode_queue_depth",
            "Requests that wait for a decoding thread.",
            0 if decoding is None else decoding.waiting,
        )
        yield Gauge(
            "queue_depth",
            "Requests whose input is there and that wait for a batch.",
            0 if self._batcher is None else self._batcher.waiting,
        )
        yield Gauge("in_flight", "Requests being read, waiting, computed or answered.", self.in_flight)
        yield Gauge("in_flight_bytes", "Bytes of the bodies of these requests.", self.in_flight_bytes)
        dropped = lines_dropped()
        if dropped is not None:
            yield Counter("log_lines_dropped", "Lines of the log that could not be written.", dropped)
        if self.engine is not None:
            yield from self.engine.gauges()


async def _in_thread(function: Callable[[Settings], T], settings: Settings) -> T | BaseException:
    """Run what may take minutes in a thread that a stop need not wait for, as it would for the event loop's own.

    Returns:
        What it returned, or whatever it raised. Raised here, some of that would be taken for this task's own: that it is
        cancelled, or that the process is to end.
    """
    done: Future[T | BaseException] = Future()
    done.set_running_or_notify_cancel()

    def work() -> None:
        try:
            done.set_result(function(settings))
        except BaseException as error:  # noqa: BLE001 - a factory may raise anything
            done.set_result(error)

    threading.Thread(target=work, name="tailgate-build", daemon=True).start()
    return await asyncio.wrap_future(done)


def _build(settings: Settings) -> "Engine":
    from tailgate.service.engine import build_engine  # noqa: PLC0415 - imports PyTorch, which takes seconds

    return build_engine(settings)
