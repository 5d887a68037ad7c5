"""The tables of the reference, made of what is declared in code."""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any

from tailgate.harness.measures import built_in_measures
from tailgate.harness.measures.measure import Measured
from tailgate.harness.options.settings import OPTIONS
from tailgate.harness.plugins import hookspecs
from tailgate.harness.results.file import schema
from tailgate.service.families import FAMILIES
from tailgate.service.settings import PREFIX, Settings, meaning

# What Prometheus appends to the names of these.
ENDINGS = {"counter": "_total", "info": "_info"}


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; a bar in a cell is no border."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def options() -> str:
    """Return all options of the gate."""
    rows = []
    for option in OPTIONS:
        default = "" if option.default in (None, (), False) else f"`{option.text(option.default)}`"
        choices = f" ({', '.join(option.choices)})" if option.choices else ""
        rows.append((f"`--perf-{option.name}`", f"`perf_{option.field}`", default, option.help + choices))
    return table(("option", "ini key", "default", "meaning"), rows)


def settings() -> str:
    """Return all settings of the service."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = "" if field.default in (None, "") else f"`{field.default}`"
        rows.append((f"`{PREFIX}{name.upper()}`", default, meaning(name)))
    return table(("variable", "default", "meaning"), rows)


def hooks() -> str:
    """Return each hook with what it is given, what it returns, and what its specification says."""
    parts = []
    for name, hook in vars(hookspecs).items():
        if name.startswith("tailgate_"):
            signature = str(inspect.signature(hook)).replace("'", "")
            parts.append(
                f"### {name}\n\n```python\ndef {name}{signature}: ...\n```\n\n{prose(inspect.getdoc(hook))}"
            )
    return "\n\n".join(parts)


def prose(docstring: str | None) -> str:
    """Return a docstring as Markdown, one paragraph per line."""
    paragraphs = [" ".join(part.split()) for part in (docstring or "").split("\n\n")]
    return re.sub(r":\w+:`~?([^`]*)`", r"`\1`", "\n\n".join(paragraphs)).replace("``", "`")


def measures() -> str:
    """Return the built-in measures, those of one function in one row."""
    rows = []
    built_in = [one for one in built_in_measures() if isinstance(one, Measured)]
    for _, group in groupby(built_in, key=lambda one: (_function(one), one.asked, one.unit)):
        mine = list(group)
        names = ", ".join(f"`{one.name}`" for one in mine)
        rows.append((names, _estimates(mine[0]), mine[0].unit.value, mine[0].better.value, _seen_by(mine[0])))
    return table(("measure", "estimates", "unit", "better", "seen by"), rows)


def _function(measure: Measured) -> Callable[..., Any]:
    return measure.function.func if isinstance(measure.function, partial) else measure.function


def _estimates(measure: Measured) -> str:
    """Return the first sentence of what a measure's function does, without its verb."""
    told = prose(inspect.getdoc(_function(measure)))
    sentence = re.split(r"\.(?:\s|$)", told, maxsplit=1)[0]
    asked = f": {measure.asked.value}" if measure.asked else ""
    return (
        re.sub(r"^(?:Estimate|Measure|Count) ", "", sentence)
        + asked
        + ("; by a budget of its name" if measure.by_budget else "")
    )


def _seen_by(measure: Measured) -> str:
    return ", ".join(witness.value for witness in measure.witnesses)


def metrics() -> str:
    """Return every metric of the service."""
    rows = []
    for family in FAMILIES.values():
        labels = f"{{{','.join(family.labels)}}}" if family.labels else ""
        name = f"`{family.name}{ENDINGS.get(family.kind, '')}{labels}`"
        rows.append((name, family.kind, family.unit or "", family.help))
    return table(("name", "type", "unit", "what"), rows)


def results() -> str:
    """Return the format of ``results.json``: a table for each kind of object."""
    document = schema()
    parts = [f"A result is a [{_name(document['$ref'])}](#{_anchor(_name(document['$ref']))})."]
    for name, kind in document["$defs"].items():
        if "properties" in kind:
            required = kind.get("required", ())
            rows = [
                (
                    f"`{key}`",
                    _type(field) + ("" if key in required else ", or missing"),
                    field.get("description", ""),
                )
                for key, field in kind["properties"].items()
            ]
            parts.append(f"### {name}\n\n{table(('field', 'type', 'meaning'), rows)}")
        else:
            parts.append(f"### {name}\n\nOne of {', '.join(f'`{value}`' for value in kind['enum'])}.")
    return "\n\n".join(parts)


def _name(reference: str) -> str:
    return reference.rpartition("/")[2]


def _anchor(name: str) -> str:
    return name.lower()


def _type(field: Mapping[str, Any]) -> str:
    """Return the type of a field of a JSON Schema, in words and links."""
    if "$ref" in field:
        return f"[{_name(field['$ref'])}](#{_anchor(_name(field['$ref']))})"
    if "anyOf" in field:
        return " or ".join(map(_type, field["anyOf"]))
    kind = field.get("type", "any")
    if kind == "array":
        items = field.get("items") or {}
        return f"list of {_type(items)}" if items else "list"
    if kind == "object" and isinstance(field.get("additionalProperties"), Mapping):
        return f"object of {_type(field['additionalProperties'])}"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


DECLARED: Mapping[str, Callable[[], str]] = {
    "options": options,
    "settings": settings,
    "hooks": hooks,
    "measures": measures,
    "metrics": metrics,
    "results": results,
}
