"""A run's result as a JSON file.

The dataclasses of :mod:`tailgate.harness.results.run` are the one declaration of the format: msgspec reads and checks documents
by them, and :func:`schema` is made of them and of the texts in their annotations (``python -m tailgate.harness.results.file``
prints it). A version reads the files of its own major version; fields that it does not know are left alone. Numbers that are
not finite become ``null``.
"""

import dataclasses
import enum
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

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
    """Return the JSON Schema (draft 2020-12) of a result, with what each field's annotation says of it."""
    made = msgspec.json.schema(RunResult)
    for kind in _kinds(RunResult):
        for name, hint in get_type_hints(kind, include_extras=True).items():
            for said in getattr(hint, "__metadata__", ()):
                if isinstance(said, str):
                    made["$defs"][kind.__name__]["properties"][name]["description"] = said
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def _kinds(hint: Any) -> Iterator[type]:
    """Yield the dataclasses that an annotation is made of."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        yield hint
        for inner in get_type_hints(hint).values():
            yield from _kinds(inner)
    for inner in get_args(hint):
        yield from _kinds(inner)


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


if __name__ == "__main__":
    print(orjson.dumps(schema(), option=orjson.OPT_INDENT_2).decode())  # noqa: T201 - what it is called for
