"""What the service raises, and what the client is answered.

::

    ServiceError
    ├── ConfigurationError        settings, address: exit status 2 before anything starts
    │   │                         model, weights, device, precision: exit status 1, the log has this text
    │   └── CompileError          a model cannot be exported or compiled, or a compiled one not be used
    └── RequestError              answered as {"error": …} with its status, counted by its outcome
        ├── BadInput        400   the bytes are not what their type says, or are no HTTP
        ├── TooLarge        413   more bytes or pixels than the limit
        ├── Unsupported     415   a content type or image format that is not served
        │   └── Encoded     415   a Content-Encoding other than identity, Accept-Encoding
        ├── UnknownCoding   501   a transfer coding other than chunked
        ├── UnknownVersion  505   HTTP/0.9, HTTP/2; the connection is closed
        ├── WrongShape      422   well-formed, but not the model's input
        ├── UrlTooLong      414   the request's target; the connection is closed
        ├── HeadTooLarge    431   the request's headers; the connection is closed
        ├── Unauthorized    401   no token, or one that is not known
        ├── TooSlow         408   its head or body took too long; the connection is closed
        ├── Overloaded      429   (or TAILGATE_OVERLOAD_STATUS) refused because of the other requests, Retry-After
        │   ├── QueueFull   429   as many requests wait as may
        │   ├── BytesFull   429   the bodies in flight are as many bytes as may be
        │   └── Late        429   it would be answered too late
        ├── ModelFailure    500   this item made the model fail, or does not fit, or its output is NaN
        │   └── DeviceLost  503   the device has failed for good, Retry-After
        ├── Unavailable     503   starting or draining, Retry-After
        └── Expired         504   its deadline passed before it was computed

A fault of the service's own is answered as a plain RequestError, 500, and logged with its traceback.
"""

import enum


class Outcome(enum.StrEnum):
    """How a request ended: the label of ``tailgate_requests_total``; a string, since its hash is taken for each request."""

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
    """One request cannot be answered with a result.

    Attributes:
        status: HTTP status.
        outcome: how it is counted.
        retry_after_s: seconds after which trying again makes sense, None where it never does.
    """

    status = 500
    outcome = Outcome.ERROR
    retry_after_s: int | None = None

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the headers that its answer has beside those of every answer, names in lower case."""
        return [] if self.retry_after_s is None else [(b"retry-after", b"%d" % self.retry_after_s)]


class BadInput(RequestError):
    """The bytes are not what their content type says."""

    status = 400
    outcome = Outcome.BAD_INPUT


class TooLarge(BadInput):
    """More bytes or pixels than the service takes."""

    status = 413


class Unsupported(BadInput):
    """A content type or an image format that is not served."""

    status = 415


class Encoded(Unsupported):
    """A body with a content coding, such as gzip; none is decoded."""

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Say which coding is taken (RFC 9110, section 15.5.16)."""
        return [*super().headers(), (b"accept-encoding", b"identity")]


class UnknownCoding(BadInput):
    """A transfer coding that is not decoded."""

    status = 501


class UnknownVersion(BadInput):
    """A version of HTTP that is not served."""

    status = 505


class WrongShape(BadInput):
    """Well-formed, but not the model's input."""

    status = 422


class Overloaded(RequestError):
    """The request is refused because of the other requests; where nobody else asked, it would be served.

    429 and not 503: load balancers take a replica out of service after a few answers of 500 and more, and an overloaded one
    does as much as it can. ``TAILGATE_OVERLOAD_STATUS`` is for clients that retry after 503 only.
    """

    status = 429
    outcome = Outcome.FULL

    def __init__(self, text: str, retry_after_s: int) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class QueueFull(Overloaded):
    """The queue holds as many requests as it may."""

    def __init__(self, waiting: int, capacity: int, retry_after_s: int = 1) -> None:
        super().__init__(
            f"{waiting} requests wait already, and at most {capacity} may (TAILGATE_QUEUE_CAPACITY); try again later",
            retry_after_s,
        )


class BytesFull(Overloaded):
    """The bodies of the requests in flight are as many bytes as they may."""

    def __init__(self, capacity_bytes: int, retry_after_s: int) -> None:
        super().__init__(
            f"the bodies of all requests in flight may have {capacity_bytes} bytes together (TAILGATE_MAX_IN_FLIGHT_BYTES), "
            "and with this one's they would have more; try again later",
            retry_after_s,
        )


class Late(Overloaded):
    """The request would be done after its deadline, or after the latency objective."""

    outcome = Outcome.LATE


class ModelFailure(RequestError):
    """The model failed on this item."""


class DeviceLost(ModelFailure):
    """The device has failed, and nothing is computed until the process is replaced."""

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


class UrlTooLong(BadInput):
    """The request's target is longer than any that is served."""

    status = 414


class HeadTooLarge(BadInput):
    """A request's line and headers are more than any client needs."""

    status = 431


class Unauthorized(RequestError):
    """No token came, or one that is not known."""

    status = 401
    outcome = Outcome.UNAUTHORIZED


class TooSlow(RequestError):
    """The request was not there in time; what has come of it is dropped."""

    status = 408
    outcome = Outcome.CANCELLED


def gist(error: BaseException) -> str:
    """Return an error's type and the line that says what it is: TorchScript's last, any other's first."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    if not lines:
        return repr(error)
    return f"{type(error).__name__}: {lines[-1 if 'TorchScript' in lines[0] else 0]}"


def first_line(error: BaseException) -> str:
    """Return what an error says, without the pages of advice that CUDA's bring along."""
    return next(iter(str(error).splitlines()), repr(error))
