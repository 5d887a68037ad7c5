"""Where the time of one request went, for its client and for the log. Milliseconds, as Server-Timing has them."""

from typing import TYPE_CHECKING

from tailgate.service.batching.journal import Facts

if TYPE_CHECKING:
    from tailgate.service.batching.request import Request


def server_timing(request: "Request", total_s: float) -> bytes:
    """Return the header line of a request that is answered after so many seconds."""
    if request.computed_s is None:
        return b"server-timing: total;dur=%.3f\r\n" % (total_s * 1e3)
    return (
        b"server-timing: queue;dur=%.3f, decode;dur=%.3f, compute;dur=%.3f, encode;dur=%.3f, "
        b'batch;desc="%d", total;dur=%.3f\r\n'
        % (
            request.waited_s * 1e3,
            request.decode_s * 1e3,
            request.computed_s * 1e3,
            request.encode_s * 1e3,
            request.batch_size,
            total_s * 1e3,
        )
    )


def log_facts(
    request: "Request",
    status: int | None = None,
    reason: str | None = None,
    fault: BaseException | None = None,
) -> Facts:
    """Return what the log says of a request; without a status it was not answered."""
    facts: Facts = {"request_id": request.request_id and request.request_id.decode()}
    facts |= {
        name: value
        for name, value in (("status", status), ("reason", reason), ("exc_info", fault))
        if value is not None
    }
    stages_s = {}
    if request.whole_s is not None:
        stages_s["body_ms"] = request.whole_s - request.start_s
    if request.computed_s is not None:
        stages_s |= {
            "queue_ms": request.waited_s,
            "decode_ms": request.decode_s,
            "compute_ms": request.computed_s,
            "encode_ms": request.encode_s,
        }
        facts["batch_size"] = request.batch_size
    return facts | {name: round(seconds * 1e3, 3) for name, seconds in stages_s.items()}


def stage(request: "Request") -> str:
    """Return what a request has come to that no batch has yet, for its client."""
    if request.whole_s is None:
        return "before its body was complete"
    return "while it waited to be decoded" if request.item is None else "while it waited in the queue"
