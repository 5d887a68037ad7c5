"""The file that ``--perf-requests`` names: a list of requests, as JSON lines or as text.

JSON lines have one object per line, with the members of :data:`KEYS`. In text, a line ``METHOD PATH`` begins a request::

    # A comment. Empty lines mean nothing but that a request is over.
    POST /score?x=1
    Content-Type: application/json
    @bodies/one.json
    weight: 3

    POST /score
    body: {"x": 2}
    expect: status=200

``weight:``, ``expect:``, ``body:`` and ``name:``, in lower case, say so of the request; every other ``NAME: VALUE`` is a
header, and ``@FILE`` the file of the body, which starts at the folder of this file.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import orjson

from tailgate.harness.errors import UsageError
from tailgate.harness.named import find
from tailgate.harness.options import headers, values
from tailgate.harness.scenario.payloads.bodies import JSON, file_type, read_plain, read_text, text_type
from tailgate.harness.scenario.payloads.lines import numbered
from tailgate.harness.scenario.payloads.payload import Payload

_METHOD_AND_PATH = re.compile(r"[A-Z]+[ \t]+\S+")
# Far below what a sum of weights could not hold.
_LARGEST_WEIGHT = 1e300
# Of these lines a request has one at most, but for what is expected of it.
_SAID = frozenset({"body", "expect", "name", "weight"})

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Place:
    file: Path
    line: int

    def __str__(self) -> str:
        return f"--perf-requests: {self.file}, line {self.line}"

    def refuse(self, why: str) -> NoReturn:
        raise UsageError(f"{self}: {why}")


def file_requests(path: Path) -> Sequence[Payload]:
    """Return the requests of a file; raise UsageError, with the line's number, for what is none."""
    text = read_text(path, "--perf-requests")
    # A list is what others write; the reader of JSON lines says what is expected.
    read = _json_lines if text.lstrip()[:1] in {"{", "["} else _blocks
    made: dict[str, Payload] = {}
    for place, fields in read(path, text):
        payload = _payload(place, fields)
        if payload.name in made:
            place.refuse(f"there is another request called {payload.name!r}; give each its own name")
        made[payload.name] = payload
    if not made:
        raise UsageError(f"--perf-requests: {path} holds no request")
    return list(made.values())


def _json_lines(path: Path, text: str) -> Iterator[tuple[_Place, Fields]]:
    for number, line in numbered(text):
        if not line.strip():
            continue
        place = _Place(path, number)
        try:
            # orjson refuses what is no JSON and Python takes all the same; Python keeps long numbers.
            orjson.loads(line)
            fields = json.loads(line)
        except (ValueError, RecursionError) as error:
            place.refuse(f"expected a JSON object in one line ({error})")
        if not isinstance(fields, dict):
            place.refuse(f"expected a JSON object per line, and no list around them, got {line:.80}")
        yield place, fields


def _blocks(path: Path, text: str) -> Iterator[tuple[_Place, Fields]]:
    begun: _Place | None = None
    fields: dict[str, Any] = {}
    for number, raw in numbered(text):
        place, line = _Place(path, number), raw.strip()
        if line.startswith("#"):
            continue
        begins = _METHOD_AND_PATH.fullmatch(line) is not None
        if begun is not None and (begins or not line):
            yield begun, fields
            begun = None
        if begins:
            method, target = line.split()
            begun, fields = place, {"method": method, "path": target, "headers": ()}
        elif line and begun is None:
            place.refuse(f"expected METHOD PATH, such as POST /score?x=1, got {line!r:.80}")
        elif line:
            _take_line(place, line, fields)
    if begun is not None:
        yield begun, fields


def _take_line(place: _Place, line: str, fields: dict[str, Any]) -> None:
    name, colon, value = line.partition(":")
    key = "file" if line.startswith("@") else name if name in _SAID else None
    if key is None:
        if not colon:
            place.refuse(f"expected NAME: VALUE, @FILE, or body: TEXT, got {line!r:.80}")
        fields["headers"] += (headers.split(line),)
        return
    said: Any = line[1:].strip() if key == "file" else value.strip()
    if key == "expect":
        fields.setdefault(key, []).append(said)
        return
    if key in fields:
        place.refuse(f"the request has a {key} already")
    if key == "weight":
        try:
            said = float(said)
        except ValueError:
            place.refuse(f"weight: expected a number above 0, got {said!r}")
    fields[key] = said


def _payload(place: _Place, fields: Fields) -> Payload:
    for key in fields:
        find("member of a request called", key, KEYS, f"{place}: ")
    said = {key: KEYS[key](place, key, value) for key, value in fields.items() if value is not None}
    if "path" not in said:
        place.refuse("expected a path, such as /score?x=1, got none")
    if "body" in said and "file" in said:
        place.refuse("the request has a body and a file; leave one of them out")
    body, content_type = said.get("body") or said.get("file") or (b"", "")
    return Payload(
        name=said.get("name", f"{place.file.name}:{place.line}"),
        body=body,
        content_type=said.get("content_type", content_type),
        path=said["path"],
        method=said.get("method", "POST" if body else "GET"),
        headers=said.get("headers", ()),
        weight=said.get("weight", 1.0),
        expect=said.get("expect", ()),
    )


def _text(place: _Place, key: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        place.refuse(f"{key}: expected a text, got {value!r:.80}")
    return value


def _method(place: _Place, key: str, value: Any) -> str:
    try:
        return values.method(_text(place, key, value))
    except ValueError as error:
        place.refuse(f"{key}: {error}, got {value!r:.80}")


def _path(place: _Place, key: str, value: Any) -> str:
    if _text(place, key, value).startswith(("http://", "https://")):
        place.refuse(
            f"{key}: expected a path, got the address {value!r:.80}; --perf-target says where requests go, and the path of "
            "its address stands before each"
        )
    try:
        return values.request_target(value)
    except ValueError as error:
        place.refuse(f"{key}: {error}, got {value!r:.80}")


def _headers(place: _Place, key: str, value: Any) -> tuple[headers.Header, ...]:
    pairs = tuple(value.items()) if isinstance(value, dict) else value
    if not isinstance(pairs, tuple):
        place.refuse(f'{key}: expected an object, such as {{"Accept": "text/plain"}}, got {value!r:.80}')
    for name, said in pairs:
        if not isinstance(said, str):
            place.refuse(f"{key}: {name}: expected a text, got {said!r:.80}")
        if why := headers.fault(name, said):
            place.refuse(why)
    return pairs


def _body(place: _Place, key: str, value: Any) -> tuple[bytes, str]:  # noqa: ARG001 - as the other readers
    if isinstance(value, str):
        return value.encode(), text_type(value)
    return json.dumps(value, ensure_ascii=False).encode(), JSON


def _file(place: _Place, key: str, value: Any) -> tuple[bytes, str]:
    name = Path(_text(place, key, value)).expanduser()
    return read_plain(place.file.expanduser().parent / name, str(place)), file_type(name)


def _weight(place: _Place, key: str, value: Any) -> float:
    number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
    if not 0 < number < _LARGEST_WEIGHT:
        place.refuse(f"{key}: expected a number above 0, got {value!r:.80}")
    return float(number)


def _expect(place: _Place, key: str, value: Any) -> tuple[str, ...]:
    return tuple(_text(place, key, one) for one in (value if isinstance(value, list) else [value]))


# What a request may say, and what reads it.
KEYS: Mapping[str, Callable[[_Place, str, Any], Any]] = {
    "method": _method,
    "path": _path,
    "headers": _headers,
    "body": _body,
    "file": _file,
    "content_type": _text,
    "weight": _weight,
    "expect": _expect,
    "name": _text,
}
