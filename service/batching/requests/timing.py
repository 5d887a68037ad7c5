"""Where the time of one request goes, for its client and for the log. Milliseconds, as Server-Timing has them."""

from tailgate.service.batching.requests.journal import Facts


class Timeline:
    """What a request has come to, and when, on the clock of time.perf_counter. What is not known yet stands in the class."""

    request_id: bytes | None = None  # from the head; made where an error or a slow request has none
    start_s: float  # the head was complete
    whole_s: float | None = None  # the body was complete
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

    def log_facts(
        self, status: int | None = None, reason: str | None = None, fault: BaseException | None = None
    ) -> Facts:
        """Return what the log says of the request; without a status it was not answered."""
        told = (("status", status), ("reason", reason), ("exc_info", fault))
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
