"""HTML and SVG as elements of the standard library, whose serializer escapes every text and every attribute."""

import xml.etree.ElementTree as ET
from collections.abc import Iterable

from tailgate import look
from tailgate.harness.report.escape import xml

Element = ET.Element
# None is left out, so that a part that may be missing can stand in its place.
Child = ET.Element | str | None


def tag(name: str, *children: Child | Iterable[Child], **attributes: str | None) -> Element:
    """Return an element: ``class_`` is the attribute class, ``aria_label`` is aria-label, None leaves an attribute out."""
    known = {key: value for key, value in attributes.items() if value is not None}
    element = ET.Element(
        name, {key.rstrip("_").replace("_", "-"): xml(value) for key, value in known.items()}
    )
    for child in children:
        parts = [child] if child is None or isinstance(child, str | ET.Element) else child
        for part in parts:
            _append(element, part)
    return element


def _append(element: Element, part: Child) -> None:
    if isinstance(part, str):
        if len(element):
            element[-1].tail = (element[-1].tail or "") + xml(part)
        else:
            element.text = (element.text or "") + xml(part)
    elif part is not None:
        element.append(part)


def table(header: Iterable[str], rows: Iterable[Iterable[Child]], **attributes: str | None) -> Element:
    """Return a table in a box of its own, which scrolls sideways where the page is narrow."""
    made = tag(
        "table",
        tag("thead", tag("tr", [tag("th", name, scope="col") for name in header])),
        tag("tbody", [tag("tr", [tag("td", cell) for cell in row]) for row in rows]),
        **attributes,
    )
    return tag("div", made, class_="scroll", tabindex="0", role="region", aria_label="table")


def facts(pairs: Iterable[tuple[str, Child]]) -> Element:
    """Return names with what they stand for."""
    parts: list[Child] = []
    for name, value in pairs:
        parts += [tag("dt", name), tag("dd", value)]
    return tag("dl", parts, class_="facts")


def document(title: str, body: Element) -> str:
    """Return a whole page that loads nothing and runs nothing, which its own policy enforces."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        tag(
            "meta",
            http_equiv="Content-Security-Policy",
            content="default-src 'none'; style-src 'unsafe-inline'; img-src data:",
        ),
        tag("meta", name_="color-scheme", content="light dark"),
        tag("link", rel="icon", href="data:,"),
        tag("title", title),
        tag("style", look.style()),
    )
    page = tag("html", head, body, lang="en")
    return "<!doctype html>\n" + ET.tostring(page, encoding="unicode", method="html") + "\n"
