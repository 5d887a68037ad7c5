"""Which paths lead to the model, and the kind of request that each of them makes."""

from collections.abc import Callable
from functools import partial
from urllib.parse import unquote_to_bytes

from tailgate.service.batching.requests.infer import InferRequest
from tailgate.service.batching.requests.request import Request
from tailgate.service.batching.service import Service
from tailgate.service.codec.intent import Intent
from tailgate.service.codec.message import Answer
from tailgate.service.codec.oip.paths import address_of, first_address_of, unquoted

Reply = Callable[[Answer], None]
Maker = Callable[[Service, Reply], Request]
PREDICT = b"/predict"
# Amazon SageMaker's name for it ("Use Your Own Inference Code", section "InvokeEndpoint").
INVOCATIONS = b"/invocations"
PLAIN = frozenset({PREDICT, INVOCATIONS})
# Below these lie the inference endpoints of the Open Inference Protocol and of KServe's first version.
SECOND, FIRST = b"/v2/models/", b"/v1/models/"


def maker_of(target: bytes) -> Maker | None:
    """Return what makes the request of a POST to a target; None where that is no path of the model."""
    if target in PLAIN:
        return Request
    path = unquote_to_bytes(target.partition(b"?")[0])
    if path in PLAIN:
        return Request
    if path.startswith(SECOND):
        address, verb = address_of(unquoted(target)), "infer"
    elif path.startswith(FIRST):
        address, verb = first_address_of(unquoted(target)), "predict"
    else:
        return None
    return partial(InferRequest, address=address) if address is not None and address.about == verb else None


def maker_again(intent: Intent) -> Maker:
    """Return what makes the request of a head that has been seen before."""
    return Request if intent.infer is None else InferRequest
