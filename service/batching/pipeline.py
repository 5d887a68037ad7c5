"""What a request passes between its body and its answer: decoding threads, a queue, the executor, a thread that writes.

It stands around one loaded model, hands inputs over to the executor's thread, and takes the results back to the event loop.
"""

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

import structlog

from tailgate.service.batching.admission import Admission, Crowd
from tailgate.service.batching.decoded import Coming
from tailgate.service.batching.dispatcher import Dispatcher
from tailgate.service.batching.forecast import Forecast
from tailgate.service.batching.policy import BatchPolicy
from tailgate.service.batching.requests.infer import Waiting
from tailgate.service.batching.requests.traces import Traces
from tailgate.service.batching.workers import Workers
from tailgate.service.codec.oip.body import KnownCalls
from tailgate.service.execution.profiling import Profiling
from tailgate.service.metrics import Metrics
from tailgate.service.processors import processors
from tailgate.service.settings import Settings

if TYPE_CHECKING:
    from tailgate.service.execution.build import Engine

# For a batch that still runs after the drain; the process ends without it.
JOIN_TIMEOUT_S = 2.0


class Pipeline:
    """The stages around an engine. All methods but ``stop`` are called on the event loop."""

    def __init__(
        self,
        engine: "Engine",
        settings: Settings,
        metrics: Metrics,
        loop: asyncio.AbstractEventLoop,
        traces: Traces | None = None,
    ) -> None:
        self.engine = engine
        self.served = engine.served
        self.known_calls = KnownCalls()
        self._metrics = metrics
        self._loop = loop
        self._traces = traces
        self.profiling = Profiling(engine.inference, settings.profile_dir, settings.profile_batches)
        forecast = Forecast(engine.times.predict_s, engine.max_batch_size)
        # Where a device of its own computes, or there are processors for all threads, waiting would leave it idle.
        self._shares = not engine.inference.pipelined and (
            settings.model_threads + settings.decoding_threads > processors().available
        )
        self.dispatcher: Dispatcher[Waiting] = Dispatcher(
            BatchPolicy(
                engine.max_batch_size, settings.queue_capacity, settings.max_wait_s, settings.watchdog_s
            ),
            self.profiling.run,
            self._deliver,
            defer=loop.call_soon,
            begin=self.profiling.begin if engine.inference.pipelined else None,
            expected_s=forecast.expected_s,
            coming=self._coming,
        )
        self.decoders = Workers("tailgate-decode", settings.decoding_threads, loop)
        # For large answers: a computed one must not wait behind pictures that are still to be decoded.
        self.writers = Workers("tailgate-write", 1, loop)
        self.admission = Admission(
            forecast,
            self.decoders,
            self.dispatcher,
            Crowd(loop),
            settings.queue_capacity,
            settings.latency_objective_s,
        )
        self.decoders.done = self.admission.note_decoding
        self._log = structlog.get_logger("tailgate.pipeline")

    def start(self) -> None:
        """Start all threads, or none; RuntimeError where the system allows no more."""
        with contextlib.ExitStack() as started:
            for stage, end in (
                (self.dispatcher, self.dispatcher.close),
                (self.decoders, self.decoders.stop),
                (self.writers, self.writers.stop),
            ):
                started.callback(end)
                stage.start()
            started.pop_all()

    def stop(self) -> None:
        """End the threads; called when nobody waits for a batch that may still run."""
        self.dispatcher.close()
        self.dispatcher.join(JOIN_TIMEOUT_S)
        self.decoders.stop()
        self.writers.stop()

    def _coming(self) -> Coming:
        """Return what is being decoded on the model's processors; called in the dispatcher's thread."""
        decode_s = self.admission.forecast.decode_s
        if not self._shares or decode_s is None:
            return Coming()
        decoding = self.decoders.decoding(time.perf_counter())
        return Coming(decoding.waiting + decoding.running, decode_s / decoding.threads)

    @property
    def hung(self) -> str | None:
        """Why no batch ends any more: it runs too long, or the device or the thread is lost; None while all is well."""
        return self.dispatcher.hung or self.engine.inference.broken

    def _deliver(self, batch: list[Waiting]) -> None:
        """Hand a computed batch to the event loop; called in the dispatcher's thread."""
        with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._end, batch)

    def _end(self, batch: list[Waiting]) -> None:
        metrics = self._metrics
        first = batch[0]  # which has waited longest
        elapsed_s = first.computed_s or 0.0
        metrics.note_batch(len(batch), elapsed_s, time.time(), first.request_id)
        self.admission.forecast.learn(len(batch), elapsed_s)
        metrics.queue.observe(first.waited_s, 1, first.request_id, time.perf_counter())
        metrics.queue.observe_all([request.waited_s for request in batch[1:]])
        for request in batch:
            try:
                request.computed()
            except Exception:  # noqa: BLE001 - one client's connection must not keep the batch's others waiting
                self._log.exception("an answer could not be given")
        if self._traces is not None:
            self._traces.note_batch(batch)
