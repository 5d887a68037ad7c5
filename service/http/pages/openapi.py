"""What the OpenAPI document says of ``POST /predict``, which is answered below FastAPI's routing.

Each statement here is held against the running endpoint by a test.
"""

from typing import Any

from tailgate.service.codec.images import CONTENT_TYPES
from tailgate.service.codec.inputs import JSON, MULTIPART, OCTETS
from tailgate.service.codec.message import LEAST_TIMEOUT_MS
from tailgate.service.http.tokens import OPEN_PATHS

_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string", "description": "what was expected, and what came"}},
}
_PREDICTION = {
    "type": "object",
    "required": ["label", "class", "probability"],
    "properties": {
        "label": {"type": "string"},
        "class": {"type": "integer", "minimum": 0},
        "probability": {"type": "number", "minimum": 0, "maximum": 1},
    },
}
_ANSWER = {
    "oneOf": [
        {
            "title": "Labels",
            "description": "to an image or its pixels: the most likely labels, the most likely first",
            "type": "object",
            "required": ["model", "predictions"],
            "properties": {
                "model": {"type": "string"},
                "predictions": {"type": "array", "items": _PREDICTION},
            },
        },
        {
            "title": "Outputs",
            "description": "to a tensor, and of a model without labels",
            "type": "object",
            "required": ["model", "outputs"],
            "properties": {
                "model": {"type": "string"},
                "outputs": {"type": ["array", "object"], "items": {}},
            },
        },
    ]
}
_REFUSALS = {
    "400": "the body is not what its Content-Type says, or a header means nothing",
    "401": "a token is required, and none or an unknown one came",
    "413": "more bytes or pixels than are accepted",
    "415": "a Content-Type, a Content-Encoding or an image format that is not served",
    "422": "well-formed, but not the model's input",
    "500": "the model failed on this input",
    "501": "a Transfer-Encoding other than chunked",
    "503": "starting or draining, or a batch does not end; Retry-After says when to come back",
    "504": "the request's own deadline passed before it was computed",
    # By the connection, whatever the request is for; it ends with them.
    "408": "the request's head or body was not there in time",
    "414": "the URL is too long",
    "431": "the headers are too many or too long",
    "505": "the request is of another version of HTTP than 1.0 and 1.1",
}
_OVERLOAD = (
    "the queue is full, the bodies in flight are as many bytes as may be, or the answer would be late; "
    "Retry-After says when to come back"
)


def predict_path(overload_status: int) -> dict[str, Any]:
    """Return the path item of ``/predict`` in OpenAPI 3.1; a refusal because of other requests has ``overload_status``."""
    overload = str(overload_status)
    others = _REFUSALS.get(overload)
    refusals = _REFUSALS | {overload: _OVERLOAD if others is None else f"{others}; or {_OVERLOAD}"}
    binary = {"schema": {"type": "string", "format": "binary"}}
    form = {
        "type": "object",
        "required": ["file"],
        "properties": {"file": {"type": "string", "format": "binary"}},
    }
    tensor = {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "inputs": {
                "type": ["array", "object"],
                "items": {},
                "description": "nested numbers of the input's shape; an object of them where the model has several inputs",
            }
        },
    }
    timeout = {
        "name": "X-Request-Timeout-Ms",
        "in": "header",
        "description": "milliseconds after which the answer is of no use: the request is then not computed, and answered 504",
        "schema": {"type": "number", "minimum": LEAST_TIMEOUT_MS},
    }
    return {
        "post": {
            "tags": ["inference"],
            "summary": "Classify one image, or run the model on one input",
            "operationId": "predict",
            "parameters": [timeout],
            "requestBody": {
                "required": True,
                "content": {
                    **dict.fromkeys(CONTENT_TYPES, binary),
                    OCTETS: {
                        "schema": {
                            "type": "string",
                            "format": "binary",
                            "description": "height × width × 3 bytes",
                        }
                    },
                    MULTIPART: {"schema": form},
                    JSON: {"schema": tensor},
                },
            },
            "responses": {
                "200": {"description": "the model's answer", "content": {JSON: {"schema": _ANSWER}}},
                **{
                    status: {"description": text, "content": {JSON: {"schema": _ERROR}}}
                    for status, text in sorted(refusals.items())
                },
            },
        }
    }


def add_tokens(document: dict[str, Any]) -> None:
    """Say in a document that every operation takes a bearer token, and that the health endpoints do without."""
    schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
    schemes["bearer"] = {"type": "http", "scheme": "bearer"}
    document["security"] = [{"bearer": []}]
    for path, item in document["paths"].items():
        if path in OPEN_PATHS:
            for operation in item.values():
                operation["security"] = []
