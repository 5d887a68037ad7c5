"""Sends the phases of a plan: each request at its intended time, each given up when its time is over.

Open loop: what the server does moves no intended time. In a closed loop, for probes of capacity, each answer makes room
for the next request, whose intended time is its sending. The sender owns the schedule and the deadlines, the pool the
connections. All is one thread and one loop, since a second thread would only take turns with the first.
"""

import gc
import os
import select
import time
from collections import Counter, deque
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tailgate.harness.errors import LoadError
from tailgate.harness.load.clocks import read_clocks, spans
from tailgate.harness.load.records.recorder import Failures, Recorder
from tailgate.harness.load.records.samples import Outcome
from tailgate.harness.load.report import PhaseReport, lag_of
from tailgate.harness.load.sending.disturber import DisturberPool
from tailgate.harness.load.sending.pacer import Pacer
from tailgate.harness.load.sending.pool import Pool
from tailgate.harness.load.settings import LoadSettings, Scheduling
from tailgate.harness.load.wire.connection import Flight
from tailgate.harness.load.wire.endpoint import resolve_endpoint
from tailgate.harness.load.wire.request import encode_request
from tailgate.harness.load.wire.request_id import Requests
from tailgate.harness.results.slot import Loop
from tailgate.harness.scenario.plan import Plan, PlannedPhase

# Before a phase's time 0: connections that died since the last phase are noticed and replaced.
_LEAD_NS = 20_000_000
_WARM_UP_NS = 10_000_000_000

# Requests that are due go out in rows of so many, and what came back is read in between.
_ROW = 8

# Records are written when a chunk is full, and in quiet moments so long after the last time.
_FLUSH_NS = 250_000_000
_QUIET_NS = 2_000_000

_RUN_DELAY = Path("/proc/self/schedstat")


class OrphanedError(Exception):
    """The process that asked for the load is gone."""


def stretched(offsets_ns: NDArray[np.int64], stretch: float) -> NDArray[np.int64]:
    """Return offsets of a phase that is relative to a throughput of 1 / stretch."""
    return offsets_ns if stretch == 1 else np.rint(offsets_ns * stretch).astype(np.int64)


class Sender:
    """Runs the phases of one plan against one server.

    ``lifeline`` is a descriptor that becomes readable when the parent has gone; None for none.
    """

    def __init__(
        self, plan: Plan, settings: LoadSettings, recorder: Recorder, lifeline: int | None = None
    ) -> None:
        self._plan = plan
        self._settings = settings
        self._recorder = recorder
        self._lifeline = lifeline
        self._pacer = Pacer(settings.timer, _scheduling())
        encoded = [encode_request(payload, settings) for payload in plan.payloads]
        self._requests = Requests(encoded, settings.id_prefix)
        endpoint = resolve_endpoint(settings)
        self._pool = Pool(self._pacer.epoll, endpoint, settings, self._requests, self._record)
        self._disturbers = DisturberPool(self._pacer.epoll, endpoint, self._requests, self._record)
        if lifeline is not None:
            self._pacer.epoll.register(lifeline, select.EPOLLIN)
        self._phase = 0
        self._flights: deque[Flight] = deque()
        self._in_flight = 0
        self._outcomes: Counter[Outcome] = Counter()
        self._failures = Failures()
        self._stale_retries = 0

    def warm_up(self) -> None:
        """Open the first connections; raise LoadError where the server does not take them."""
        self._pacer.sharpen()
        if self._settings.at_once is None:
            for _ in range(self._settings.connections_warm):
                self._pool.open()
        give_up_ns = time.monotonic_ns() + _WARM_UP_NS
        while self._pool.connecting and time.monotonic_ns() < give_up_ns:
            self._serve(give_up_ns)
        if self._pool.connecting or self._pool.connect_error:
            why = self._pool.connect_error or f"no answer within {_WARM_UP_NS / 1e9:g} s"
            raise LoadError(f"cannot connect to {self._settings.where}: {why}")

    def run_phase(self, index: int, stretch: float = 1.0, at_ns: int | None = None) -> PhaseReport:
        """Send one phase, its offsets times ``stretch``, and return when nothing of it is in flight.

        ``at_ns`` is CLOCK_MONOTONIC at its time 0; None for as soon as can be. If it has passed, requests are late by that.
        """
        phase = self._plan.phases[index]
        self._phase = self._requests.phase = index
        self._outcomes.clear()
        self._failures = Failures()
        self._stale_retries = 0
        opened, lost, waited = self._pool.opened, self._pool.lost_idle, self._pool.waited
        unkept = self._recorder.answers.unkept
        # What the last phase left behind goes now, so that no collection falls into this one.
        gc.collect()
        self._pool.forms.learn()
        self._pacer.idle_ns = 0
        clocks_before = read_clocks()
        cpu_s, delay_s, began_ns = time.process_time(), _run_delay_s(), time.monotonic_ns()
        start_ns = began_ns + _LEAD_NS if at_ns is None else at_ns
        # Filled, and not only promised by the kernel: the run then needs no more memory than it has.
        lags_ns = np.full(phase.offsets_ns.size, 0)
        if phase.closed_loop is None:
            self._send_all(start_ns, stretched(phase.offsets_ns, stretch).data, phase, lags_ns.data)
        else:
            limit_ns = round(phase.length_s * 1e9)
            self._send_in_turn(start_ns, phase.closed_loop.connections, limit_ns, phase)
        end_ns = time.monotonic_ns()
        cpu_s = time.process_time() - cpu_s
        delay_end_s = _run_delay_s()
        clocks_after = read_clocks()
        self._recorder.flush()
        self._recorder.answers.flush()
        if self._settings.at_once is not None:
            self._pool.close()
        return PhaseReport(
            phase=index,
            name=phase.name,
            outcomes={outcome: self._outcomes[outcome] for outcome in Outcome},
            failures=self._failures.by_kind(),
            start_ns=start_ns,
            end_ns=end_ns,
            lag=lag_of(lags_ns),
            wall_s=(end_ns - start_ns) / 1e9,
            busy_s=(end_ns - began_ns - self._pacer.idle_ns) / 1e9,
            cpu_s=cpu_s,
            run_delay_s=None if delay_s is None or delay_end_s is None else delay_end_s - delay_s,
            connections_opened=self._pool.opened - opened,
            connections_lost_idle=self._pool.lost_idle - lost,
            stale_retries=self._stale_retries,
            waited_requests=self._pool.waited - waited,
            unkept_answers=self._recorder.answers.unkept - unkept,
            at_once=self._settings.at_once,
            timer=self._settings.timer,
            scheduling=_scheduling(),
            loop=Loop.OPEN if phase.closed_loop is None else Loop.CLOSED,
            processor=self._settings.processor,
            clocks=tuple(spans(clocks_before, clocks_after)),
        )

    def close(self) -> None:
        """Close the connections."""
        self._disturbers.close()
        self._pool.close()
        self._pacer.close()

    def _send_all(
        self, start_ns: int, offsets_ns: memoryview, phase: PlannedPhase, lags_ns: memoryview
    ) -> None:
        count, request, payloads = len(offsets_ns), 0, phase.payloads.data
        number, step = phase.first, phase.step
        behaviours = None if phase.behaviours is None else phase.behaviours.data
        timeout_ns = int(self._settings.timeout_s * 1e9)
        stop_ns = start_ns + offsets_ns[-1] + timeout_ns
        flush_ns = start_ns
        while request < count or self._in_flight:
            now_ns = time.monotonic_ns()
            row_end = min(request + _ROW, count)
            while request < row_end and (intended_ns := start_ns + offsets_ns[request]) <= now_ns:
                behaviour = 0 if behaviours is None else behaviours[request]
                flight = Flight(number, payloads[request], intended_ns, now_ns, behaviour)
                lags_ns[request] = now_ns - intended_ns
                self._flights.append(flight)
                self._in_flight += 1
                (self._disturbers if behaviour else self._pool).submit(flight)
                request += 1
                number += step
                now_ns = time.monotonic_ns()
            until_ns = min(self._expire(now_ns, timeout_ns, stop_ns), stop_ns)
            if behaviours is not None:
                until_ns = min(until_ns, self._disturbers.proceed(now_ns))
            if request < count:
                until_ns = min(until_ns, start_ns + offsets_ns[request])
            if now_ns - flush_ns > _FLUSH_NS and until_ns - now_ns > _QUIET_NS:
                self._recorder.flush()
                flush_ns = now_ns
            if request < count or self._in_flight:
                self._serve(until_ns)
        self._flights.clear()

    def _send_in_turn(self, start_ns: int, connections: int, limit_ns: int, phase: PlannedPhase) -> None:
        """Keep so many requests open until all have ended; what is left at the limit ends as a timeout, unsent."""
        numbers, payloads = phase.numbers, phase.payloads.data
        count, request = len(payloads), 0
        timeout_ns, stop_ns = int(self._settings.timeout_s * 1e9), start_ns + limit_ns
        while time.monotonic_ns() < start_ns:
            self._serve(start_ns)
        while request < count or self._in_flight:
            now_ns = time.monotonic_ns()
            while request < count and self._in_flight < connections and now_ns < stop_ns:
                flight = Flight(numbers[request], payloads[request], now_ns, now_ns)
                self._flights.append(flight)
                self._in_flight += 1
                self._pool.submit(flight)
                request += 1
                now_ns = time.monotonic_ns()
            until_ns = self._expire(now_ns, timeout_ns, stop_ns)
            if self._in_flight:
                self._serve(until_ns)
            elif now_ns >= stop_ns:
                self._abandon(numbers[request:], payloads[request:], now_ns)
                request = count
        self._flights.clear()

    def _abandon(self, numbers: range, payloads: memoryview, now_ns: int) -> None:
        for number, payload in zip(numbers, payloads, strict=True):
            self._in_flight += 1
            flight = Flight(number, payload, now_ns, 0)
            flight.why = "the phase was over before it was sent"
            self._record(flight, Outcome.TIMEOUT, now_ns)

    def _expire(self, now_ns: int, timeout_ns: int, stop_ns: int) -> int:
        """Give up what is overdue, and return when the next request will be.

        Requests stand in the order of their intended times, so only the first can be overdue.
        """
        while self._flights:
            flight = self._flights[0]
            deadline_ns = min(flight.intended_ns + timeout_ns, stop_ns)
            if not flight.ended:
                if deadline_ns > now_ns:
                    return deadline_ns
                flight.why = _waited_for(flight)
                self._record(flight, Outcome.TIMEOUT, now_ns)
                (self._disturbers if flight.behaviour else self._pool).cancel(flight)
            self._flights.popleft()
        return stop_ns

    def _serve(self, until_ns: int) -> None:
        for descriptor, events in self._pacer.wait(until_ns):
            if self._pool.serve(descriptor, events):
                continue
            if self._disturbers.owns(descriptor):
                self._disturbers.serve(descriptor, events)
            elif descriptor == self._lifeline and not os.read(descriptor, 4096):
                raise OrphanedError

    def _record(self, flight: Flight, outcome: Outcome, done_ns: int) -> None:
        flight.ended = True
        self._in_flight -= 1
        self._outcomes[outcome] += 1
        self._stale_retries += flight.stale_retries
        if outcome is not Outcome.OK:
            self._failures.note(flight, outcome)
        self._recorder.append(self._phase, flight, outcome, done_ns)


def _waited_for(flight: Flight) -> str:
    """Return what a request waited for when its time was over."""
    if not flight.sent_ns:
        return "no connection was free"
    return "the answer did not end" if flight.first_byte_ns else "no answer began"


def _scheduling() -> Scheduling:
    # The flag is one that a child would not inherit.
    policy = os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK
    return Scheduling.FIFO if policy == os.SCHED_FIFO else Scheduling.NORMAL


def _run_delay_s() -> float | None:
    """Return how long this process has waited for a processor so far (Linux, scheduler statistics, field 2)."""
    try:
        return int(_RUN_DELAY.read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return None
