"""What the service raises, and what the client is answered: an error's class says its status and how it is counted.

A ConfigurationError about settings or the address ends the process with status 2 before anything starts; about the model,
weights, device or precision with status 1 and a log line. A RequestError is answered as ``{"error": …}``. Any other
exception is a fault of the service: answered 500, and logged with its traceback.
"""

import enum

# What a client is told of our own fault, and the event that the log has of it.
FAILED = "the service failed on this request"


class Outcome(enum.StrEnum):
    """How a request ended: the label of ``tailgate_requests_total``. A string hashes faster than an enum."""

    OK = "ok"
    BAD_INPUT = "bad_input"
    UNKNOWN_PATH = "unknown_path"
    UNAUTHORIZED = "unauthorized"
    FULL = "full"
    LATE = "late"
    UNAVAILABLE = "unavailable"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    ERROR = "error"


class Cut(enum.Enum):
    """Why the service ended a connection: the label of ``tailgate_connections_cut_total``."""

    SLOW_HEAD = "slow_head"  # a request's head was not there in time
    SLOW_BODY = "slow_body"  # nor its body
    SLOW_READER = "slow_reader"  # the client does not read its answers
    IDLE = "idle"  # no request came, on a new connection or a used one
    MALFORMED = "malformed"  # no HTTP, or a head that is too large
    REFUSED = "refused"  # one too many, and all others are busy
    DRAIN = "drain"  # the drain time ended before its request
    SHED = "shed"  # idle, closed to make room for others


class ServiceError(Exception):
    """Any failure that the service can name."""


class ConfigurationError(ServiceError):
    """The service cannot start as it is configured."""


class CompileError(ConfigurationError):
    """The model cannot be exported or compiled, or a compiled one cannot be used."""


class RequestError(ServiceError):
    """One request cannot be answered with a result."""

    status = 500
    outcome = Outcome.ERROR
    retry_after_s: int | None = None  # None where trying again never makes sense

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the headers that only this answer has, names in lower case."""
        return [] if self.retry_after_s is None else [(b"retry-after", b"%d" % self.retry_after_s)]


class BadInput(RequestError):
    """The bytes are not what their type says, or are no HTTP."""

    status = 400
    outcome = Outcome.BAD_INPUT


class TooLarge(BadInput):
    """More bytes or pixels than the limit."""

    status = 413


class UrlTooLong(BadInput):
    """The request's target is too long; the connection is closed."""

    status = 414


class Unsupported(BadInput):
    """A content type or an image format that is not served."""

    status = 415


class Encoded(Unsupported):
    """A Content-Encoding that is not decoded."""

    def __init__(self, text: str, taken: bytes = b"identity") -> None:
        super().__init__(text)
        self.taken = taken

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Add which codings are taken (RFC 9110, section 15.5.16)."""
        return [*super().headers(), (b"accept-encoding", self.taken)]


class WrongShape(BadInput):
    """Well-formed, but not the model's input."""

    status = 422


class HeadTooLarge(BadInput):
    """The request's headers are too large; the connection is closed."""

    status = 431


class UnknownCoding(BadInput):
    """A transfer coding other than chunked."""

    status = 501


class NotOffered(BadInput):
    """A part of a protocol that this service does not have."""

    status = 501


class UnknownModel(BadInput):
    """A path names a model or a version that is not served."""

    status = 404
    outcome = Outcome.UNKNOWN_PATH


class UnknownVersion(BadInput):
    """HTTP/0.9 or HTTP/2; the connection is closed."""

    status = 505


class TooSlow(RequestError):
    """The head or the body took too long; the connection is closed."""

    status = 408
    outcome = Outcome.CANCELLED


class Overloaded(RequestError):
    """The request is refused because of other requests; alone it would be served.

    429 and not 503: load balancers take a replica out of service after a few answers of 500 and more.
    ``TAILGATE_OVERLOAD_STATUS`` is for clients that retry after 503 only. Who answers says when to come back, where that is
    not known yet.
    """

    status = 429
    outcome = Outcome.FULL

    def __init__(self, text: str, retry_after_s: int | None = None) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class QueueFull(Overloaded):
    """The queue holds as many requests as it may."""

    def __init__(self, waiting: int, capacity: int, items: int = 1) -> None:
        these = "" if items == 1 else f"; this one counts as {items}, one per item"
        super().__init__(
            f"{waiting} requests wait already, and at most {capacity} may (TAILGATE_QUEUE_CAPACITY){these}; try again later"
        )


class BytesFull(Overloaded):
    """The bodies in flight are as many bytes as they may be."""

    def __init__(self, capacity_bytes: int) -> None:
        super().__init__(
            f"the bodies of all requests in flight may have {capacity_bytes} bytes together (TAILGATE_MAX_IN_FLIGHT_BYTES), "
            "and with this one's they would have more; try again later"
        )


class Late(Overloaded):
    """The answer would come after the request's deadline, or after the latency objective."""

    outcome = Outcome.LATE


class ModelFailure(RequestError):
    """The model failed on this item, the item does not fit, or its output is NaN."""


class ItemFailed(RequestError):
    """One of a request's several items failed, and the request with it; it ends as the item's error says."""

    def __init__(self, index: int, error: RequestError) -> None:
        super().__init__(f"item {index}: {error}")
        self.status, self.outcome, self.retry_after_s = error.status, error.outcome, error.retry_after_s


class DeviceLost(ModelFailure):
    """The device has failed, and computes nothing until the process is replaced."""

    status = 503
    outcome = Outcome.UNAVAILABLE
    retry_after_s = 1


class Unavailable(RequestError):
    """The service is starting or draining."""

    status = 503
    outcome = Outcome.UNAVAILABLE
    retry_after_s = 1


class Expired(RequestError):
    """The request's own deadline passed before it was computed."""

    status = 504
    outcome = Outcome.EXPIRED


def gist(error: BaseException) -> str:
    """Return an error's type and the line that says what it is: TorchScript's last, any other's first."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    if not lines:
        return repr(error)
    return f"{type(error).__name__}: {lines[-1 if 'TorchScript' in lines[0] else 0]}"


def first_line(error: BaseException) -> str:
    """Return an error's text without the pages of advice that CUDA adds."""
    return next(iter(str(error).splitlines()), repr(error))
