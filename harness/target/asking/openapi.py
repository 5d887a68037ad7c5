"""What a server says that it offers, from its OpenAPI document: its operations, and an example of a body."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tailgate.harness.named import listed

PATH = "/openapi.json"
METHODS = ("post", "get", "put", "patch", "delete")
JSON = "application/json"
# A schema may hold itself: beyond so many levels nothing optional is filled in.
DEEPEST = 8
NAMED_AT_MOST = 8
# Strings that a validator of these formats takes.
_FORMATS = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "duration": "PT1S",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "email": "user@example.com",
    "hostname": "example.com",
    "uri": "http://example.com/",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
    "byte": "AAAA",
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a document."""

    method: str
    path: str  # as the document has it, with {parameters}
    details: Mapping[str, Any]
    shared: tuple[Any, ...] = ()  # parameters of all operations of the path

    def __str__(self) -> str:
        """Return ``POST /score``."""
        return f"{self.method} {self.path}"


def operations(document: Any) -> tuple[Operation, ...]:
    """Return the operations of a document, those that take a body first; none where it is no OpenAPI document."""
    paths = document.get("paths") if isinstance(document, Mapping) else None
    found = []
    for path, item in (paths if isinstance(paths, Mapping) else {}).items():
        if not isinstance(item, Mapping) or not isinstance(path, str):
            continue
        shared = item.get("parameters")
        for method in METHODS:
            details = item.get(method)
            if isinstance(details, Mapping):
                found.append(
                    Operation(
                        method.upper(), path, details, tuple(shared) if isinstance(shared, list) else ()
                    )
                )
    return tuple(sorted(found, key=lambda one: METHODS.index(one.method.lower())))


def offered(document: Any) -> str:
    """Return the operations in words, a few at most; empty for none."""
    return listed([*map(str, operations(document))], NAMED_AT_MOST)


def target_of(operation: Operation, document: Any) -> str:
    """Return the path of a request, its required parameters filled in with examples."""
    path, query = operation.path, []
    for given in (*operation.shared, *_list(operation.details.get("parameters"))):
        parameter = _followed(given, document)
        name, place = parameter.get("name"), parameter.get("in")
        if not isinstance(name, str):
            continue
        if place == "path":
            path = path.replace(f"{{{name}}}", _quoted(_example_of(parameter, document)))
        elif place == "query" and parameter.get("required"):
            query.append(f"{_quoted(name)}={_quoted(_example_of(parameter, document))}")
    return path + ("?" + "&".join(query) if query else "")


def body_of(operation: Operation, document: Any) -> Any:
    """Return an example of the JSON body that an operation takes; None where it takes none, or none in JSON."""
    content = _followed(operation.details.get("requestBody"), document).get("content")
    media = content.get(JSON) if isinstance(content, Mapping) else None
    return _example_of(media, document) if isinstance(media, Mapping) else None


def example(schema: Any, document: Any, depth: int = 0) -> Any:
    """Return a value that a schema allows: its example or default, else one made of its type and bounds."""
    schema = _followed(schema, document)
    if depth > 2 * DEEPEST:  # a schema that must hold itself
        return None
    for name in ("example", "default", "const"):
        if schema.get(name) is not None:
            return schema[name]
    for name in ("examples", "enum"):
        if _list(schema.get(name)):
            return schema[name][0]
    for name in ("anyOf", "oneOf"):
        if choices := _list(schema.get(name)):
            kept = [one for one in choices if _followed(one, document).get("type") != "null"]
            return example((kept or choices)[0], document, depth + 1) if depth < DEEPEST else None
    if parts := _list(schema.get("allOf")):
        return _joined(parts, document, depth)
    return _made(schema, document, depth)


def _made(schema: Mapping[str, Any], document: Any, depth: int) -> Any:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if kind == "object" or "properties" in schema:
        return _object(schema, document, depth)
    if kind == "array":
        return _array(schema, document, depth)
    if kind in {"integer", "number"}:
        return _number(schema, whole=kind == "integer")
    if kind == "string":
        return _string(schema)
    return {"boolean": True, "null": None}.get(str(kind), "text")


def _array(schema: Mapping[str, Any], document: Any, depth: int) -> list[Any]:
    prefix = [example(one, document, depth + 1) for one in _list(schema.get("prefixItems"))]
    if prefix or depth >= DEEPEST:
        return prefix
    least = schema.get("minItems")
    one = example(schema.get("items", {"type": "number"}), document, depth + 1)
    # An example of no items would be answered without work.
    return [one] * max(1, least if isinstance(least, int) else 1)


def _object(schema: Mapping[str, Any], document: Any, depth: int) -> dict[str, Any]:
    properties = schema.get("properties")
    properties = properties if isinstance(properties, Mapping) else {}
    required = _list(schema.get("required"))
    # What may be left out is filled in only where nothing else is there: FastAPI marks defaults as optional.
    names = required or (list(properties) if depth < DEEPEST else [])
    return {name: example(properties.get(name, {}), document, depth + 1) for name in names}


def _joined(parts: list[Any], document: Any, depth: int) -> Any:
    values = [example(one, document, depth + 1) for one in parts] if depth < DEEPEST else []
    objects = [one for one in values if isinstance(one, dict)]
    return {key: value for one in objects for key, value in one.items()} if objects else (values or [None])[0]


def _number(schema: Mapping[str, Any], *, whole: bool) -> float:
    low, high = _bound(schema, "inimum", math.ceil, whole), _bound(schema, "aximum", math.floor, whole)
    value = 1.0
    if low is not None and value < low:
        value = low
    if high is not None and value > high:
        value = high
    step = schema.get("multipleOf")
    if isinstance(step, (int, float)) and step > 0:
        value = math.ceil(value / step) * step
    return int(value) if whole else value


def _bound(schema: Mapping[str, Any], end: str, rounded: Any, whole: bool) -> float | None:  # noqa: FBT001
    """Return a bound of numbers; an exclusive one is moved inwards."""
    inside = schema.get("m" + end)
    if isinstance(inside, (int, float)):
        return float(rounded(inside)) if whole else float(inside)
    outside = schema.get("exclusiveM" + end)
    if isinstance(outside, bool) or not isinstance(outside, (int, float)):
        return None
    step = 1.0 if whole else 0.5
    return float(rounded(outside)) + step if end == "inimum" else float(rounded(outside)) - step


def _string(schema: Mapping[str, Any]) -> str:
    text = _FORMATS.get(str(schema.get("format")), "text")
    least, most = schema.get("minLength", 0), schema.get("maxLength", math.inf)
    if isinstance(least, int) and len(text) < least:
        text += "x" * (least - len(text))
    return text[: int(most)] if isinstance(most, int) else text


def _example_of(holder: Mapping[str, Any], document: Any) -> Any:
    """Return the example of a parameter or a medium, which may stand beside its schema."""
    if holder.get("example") is not None:
        return holder["example"]
    named = holder.get("examples")
    for one in named.values() if isinstance(named, Mapping) else _list(named):
        followed = _followed(one, document)
        if followed.get("value") is not None:
            return followed["value"]
    return example(holder.get("schema", {}), document)


def _followed(value: Any, document: Any) -> Mapping[str, Any]:
    """Return a mapping, where a reference leads to one within the document; empty for anything else."""
    for _ in range(DEEPEST):
        if not isinstance(value, Mapping) or not isinstance(value.get("$ref"), str):
            break
        place: Any = document
        for part in _pointer(value["$ref"]):
            place = place.get(part) if isinstance(place, Mapping) else None
        value = place
    return value if isinstance(value, Mapping) else {}


def _pointer(reference: str) -> Iterator[str]:
    """Yield the parts of a reference into the same document (RFC 6901)."""
    for part in reference.removeprefix("#/").split("/"):
        yield part.replace("~1", "/").replace("~0", "~")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _quoted(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return quote(text, safe="")
