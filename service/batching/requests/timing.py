"""Where the time of one request goes: for its client and for the log in milliseconds, for its spans as points in time."""

from typing import NamedTuple

from tailgate.service.batching.requests.journal import Facts
from tailgate.service.codec.request_id import Caller


class Stage(NamedTuple):
    """A part of a request's time, on the clock of time.perf_counter."""

    name: str
    begin_s: float
    end_s: float


class Timeline:
    """What a request has come to, and when, on the clock of time.perf_counter. What is not known yet stands in the class."""

    request_id: bytes | None = None  # from the head; made where a request that is logged has none
    caller: Caller | None = None  # from the head, where requests are traced
    start_s: float  # the head was complete
    whole_s: float | None = None  # the body was complete
    work_since_s: float = 0.0  # it began to wait for a thread; 0 where it needs none
    decode_s: float = 0.0  # seconds in which the body was made an input
    queued_s: float = 0.0  # the input was complete
    bound_s: float | None = None  # its batch had the executor to itself
    batch_size: int = 0  # requests in its batch
    computed_s: float | None = None  # seconds that its batch took
    encode_s: float = 0.0  # seconds in which the answer was written

    @property
    def waited_s(self) -> float:
        """Seconds in which the request waited for a decoding thread and for its batch."""
        assert self.whole_s is not None
        bound_s = self.queued_s if self.bound_s is None else self.bound_s
        return max(0.0, bound_s - self.whole_s - self.decode_s)

    def server_timing(self, total_s: float) -> bytes:
        """Return the header line of a request that is answered after so many seconds."""
        if self.computed_s is None:
            return b"server-timing: total;dur=%.3f\r\n" % (total_s * 1e3)
        return (
            b"server-timing: queue;dur=%.3f, decode;dur=%.3f, compute;dur=%.3f, encode;dur=%.3f, "
            b'batch;desc="%d", total;dur=%.3f\r\n'
            % (
                self.waited_s * 1e3,
                self.decode_s * 1e3,
                self.computed_s * 1e3,
                self.encode_s * 1e3,
                self.batch_size,
                total_s * 1e3,
            )
        )

    def stages(self, end_s: float) -> list[Stage]:
        """Return the stages of a request that has ended, in their order; none overlaps another, and each took some time.

        A request that was not computed has those that it had come to, as far as their times are known.
        """
        if self.whole_s is None:
            return [Stage("body", self.start_s, end_s)]
        points = [("body", self.whole_s)]
        if self.queued_s:
            if 0 < self.work_since_s <= self.queued_s:
                points.append(("decode_queue", self.queued_s - self.decode_s))
            points += [("decode", self.queued_s), ("queue", end_s if self.bound_s is None else self.bound_s)]
        if self.bound_s is not None:
            computed_s = self.computed_s
            points.append(("compute", end_s if computed_s is None else self.bound_s + computed_s))
        stages, begin_s = [], self.start_s
        for name, point_s in points:
            stage_end_s = min(max(begin_s, point_s), end_s)
            stages.append(Stage(name, begin_s, stage_end_s))
            begin_s = stage_end_s
        stages.append(Stage("encode", max(begin_s, end_s - self.encode_s), end_s))
        return [stage for stage in stages if stage.end_s > stage.begin_s]

    def log_facts(self, status: int | None = None, reason: str | None = None) -> Facts:
        """Return what the log says of the request; without a status it was not answered."""
        told = (("status", status), ("reason", reason))
        facts: Facts = {"request_id": self.request_id and self.request_id.decode()}
        facts |= {name: value for name, value in told if value is not None}
        stages_s = {}
        if self.whole_s is not None:
            stages_s["body_ms"] = self.whole_s - self.start_s
        if self.computed_s is not None:
            stages_s |= {
                "queue_ms": self.waited_s,
                "decode_ms": self.decode_s,
                "compute_ms": self.computed_s,
                "encode_ms": self.encode_s,
            }
            facts["batch_size"] = self.batch_size
        return facts | {name: round(seconds * 1e3, 3) for name, seconds in stages_s.items()}
