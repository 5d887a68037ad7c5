"""What the service raises, which step raises it, and what the client is answered.

::

    ServiceError
    ├── ConfigurationError        settings, address: exit status 2 before anything starts
    │   │                         model, weights, device, precision: exit status 1, the log has this text
    │   └── CompileError          compiled: a model cannot be exported or compiled, or a compiled one not be used
    └── RequestError              answered as {"error": …} with its status, counted by its outcome
        ├── BadInput        400   protocol, images      the bytes are not what their type says
        ├── TooLarge        413   call, images          more bytes or pixels than the limit
        ├── Unsupported     415   protocol, images      a content type or image format that is not served
        ├── WrongShape      422   protocol              well-formed, but not the model's input
        ├── QueueFull       429   lifecycle, batching   refused on arrival, Retry-After
        ├── ModelFailure    500   inference             this item made the model fail
        ├── Unavailable     503   lifecycle, batching   starting or draining, Retry-After
        └── Expired         504   batching              its deadline passed before it was computed

A fault of the service's own is answered as a plain RequestError, 500 (call), and logged with its traceback.
"""

import enum


class Outcome(enum.Enum):
    """How a request ended: the label of ``tailgate_requests_total``."""

    OK = "ok"
    BAD_INPUT = "bad_input"
    UNKNOWN_PATH = "unknown_path"
    FULL = "full"
    UNAVAILABLE = "unavailable"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    ERROR = "error"


class ServiceError(Exception):
    """Any failure that the service can name."""


class ConfigurationError(ServiceError):
    """The service cannot start as it is configured."""


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


class WrongShape(BadInput):
    """Well-formed, but not the model's input."""

    status = 422


class QueueFull(RequestError):
    """The queue holds as many requests as it may."""

    status = 429
    outcome = Outcome.FULL
    retry_after_s = 1

    def __init__(self, waiting: int, capacity: int) -> None:
        super().__init__(
            f"{waiting} requests wait already, and at most {capacity} may (TAILGATE_QUEUE_CAPACITY); try again later"
        )


class ModelFailure(RequestError):
    """The model failed on this item."""


class Unavailable(RequestError):
    """The service is starting or draining."""

    status = 503
    outcome = Outcome.UNAVAILABLE
    retry_after_s = 1


class Expired(RequestError):
    """The request's own deadline passed before it was computed."""

    status = 504
    outcome = Outcome.EXPIRED
