"""A run's result as a JSON file.

The dataclasses of :mod:`tailgate.harness.results.run` are the one declaration of the format: msgspec reads and checks documents by
them, and :func:`schema` is made of them (``python -m tailgate.harness.results.file`` prints it). A version reads the files of its
own major version; fields that it does not know are left alone. Numbers that are not finite become ``null``.
"""

import dataclasses
import enum
import math
import os
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import numpy as np
import orjson

from tailgate.harness.errors import MeasurementError
from tailgate.harness.results.run import SCHEMA_VERSION, RunResult

RESULTS = "results.json"


def write(result: RunResult, path: Path) -> None:
    """Write a result; the file is there whole or not at all.

    Raises:
        MeasurementError: the result does not fit its own declaration.
    """
    document = to_json(result)
    _parsed(document, "the result of this run")
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    draft.replace(path)


def read(path: Path) -> RunResult:
    """Read a result.

    Raises:
        MeasurementError: there is no such file, or it is not a result that this version reads.
    """
    try:
        document = orjson.loads(path.read_bytes())
    except OSError as error:
        raise MeasurementError(f"cannot read the results {path}: {error.strerror}") from error
    except orjson.JSONDecodeError as error:
        raise MeasurementError(f"the results {path} are not JSON: {error}") from error
    version = document.get("schema_version") if isinstance(document, dict) else None
    major = SCHEMA_VERSION.partition(".")[0]
    if not isinstance(version, str) or version.partition(".")[0] != major:
        raise MeasurementError(
            f"the results {path} have schema version {version!r}, and this tailgate reads {major}.x; "
            "read them with the version that they name as tailgate_version"
        )
    result = _parsed(document, f"the results {path}")
    if text := contradiction(result):
        raise MeasurementError(f"the results {path}: {text}")
    return result


def _parsed(document: Any, what: str) -> RunResult:
    try:
        return msgspec.convert(document, RunResult)
    except msgspec.ValidationError as error:
        raise MeasurementError(f"{what}: {error}") from None


def contradiction(result: RunResult) -> str:
    """Return which parts of a result do not fit together, which no schema can tell; empty if all do."""
    for scenario in result.scenarios:
        compared = scenario.comparison
        if compared is None:
            continue
        looks, lenses = len(compared.design.looks), {one.lens.name for one in compared.decision.results}
        for one in compared.decision.results:
            if one.look is not None and not 1 <= one.look <= looks:
                return (
                    f"scenario {scenario.name!r} has a result of look {one.look}, and its design has {looks}"
                )
        for attribution in compared.attributions:
            if attribution.lens.name not in lenses:
                return f"scenario {scenario.name!r} tells the stages of {attribution.lens.name!r}, and has no result of it"
    return ""


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a result."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(RunResult)}


def to_json(value: Any) -> Any:
    """Return dataclasses, enums, mappings and numpy's numbers as JSON values; what is not finite as None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    elif isinstance(value, np.generic):
        value = value.item()
    match value:
        case enum.Enum():
            return value.value
        case str():
            # An argument that was no UTF-8 has surrogates in it, which no JSON can hold.
            return value.encode("utf-8", "backslashreplace").decode()
        case Mapping():
            return {to_json(str(key)): to_json(item) for key, item in value.items()}
        case tuple() | list():
            return [to_json(item) for item in value]
        case float():
            return value if math.isfinite(value) else None
        case _:
            return value


def from_json(kind: Any, document: Any) -> Any:
    """Return a valid document as an instance of a dataclass, or of what an annotation says."""
    origin, arguments = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        return kind(**{name: from_json(hints[name], item) for name, item in document.items()})
    if origin in {types.UnionType, typing.Union}:
        # A union here is one kind or None, or several plain values and a dataclass, which JSON keeps apart by itself.
        kinds = [argument for argument in arguments if argument is not types.NoneType]
        if len(kinds) > 1:
            kinds = [
                kind for kind in kinds if isinstance(document, Mapping) and dataclasses.is_dataclass(kind)
            ]
        return document if document is None or not kinds else from_json(kinds[0], document)
    if origin is tuple:
        return tuple(from_json(arguments[0], item) for item in document)
    if origin is Mapping:
        return {key: from_json(arguments[1], item) for key, item in document.items()}
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return kind(document)
    # JSON Schema takes 2.0 for an integer.
    return kind(document) if kind in {int, float} else document


if __name__ == "__main__":
    print(orjson.dumps(schema(), option=orjson.OPT_INDENT_2).decode())  # noqa: T201 - what it is called for
