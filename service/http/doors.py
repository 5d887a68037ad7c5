"""Which paths lead to the model, and the kind of request that each of them makes."""

from collections.abc import Callable
from functools import partial

from tailgate.service.batching.requests.infer import InferRequest
from tailgate.service.batching.requests.request import Request
from tailgate.service.batching.service import Service
from tailgate.service.codec.message import Answer
from tailgate.service.codec.oip.paths import address_of, unquoted

Reply = Callable[[Answer], None]
Maker = Callable[[Service, Reply], Request]
# The second is Amazon SageMaker's name for it ("Use Your Own Inference Code", section "InvokeEndpoint").
PLAIN = frozenset({b"/predict", b"/invocations"})


def maker_of(target: bytes) -> Maker | None:
    """Return what makes the request of a POST to a target; None where that is no path of the model."""
    if target in PLAIN:
        return Request
    path = unquoted(target)
    if path.encode() in PLAIN:
        return Request
    address = address_of(path)
    if address is None or address.about != "infer":
        return None
    return partial(InferRequest, address=address)
