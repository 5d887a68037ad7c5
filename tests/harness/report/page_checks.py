"""What every page must be: well-formed, and complete without anything beside it."""

import html
import re
from html.parser import HTMLParser

VOID = {"meta", "link", "br", "hr", "img", "input"}
# Where a page may lead: within itself. The icon is an empty one, so that a browser asks for none.
WITHIN = re.compile(r"#|data:,$")


class Page(HTMLParser):
    """A page, read as a browser reads it: elements with their attributes, and texts by the element that they stand in."""

    def __init__(self, text):
        super().__init__()
        self.text = text
        self.elements = []
        self.texts = []
        self._open = []
        self.feed(text)
        self.close()
        assert self._open == [], f"never closed: {self._open}"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs), f"an attribute twice in <{tag}>"
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self._open[-1] if self._open else "", data))

    def said(self, *tags):
        """Return the texts that stand directly in these elements, all for none."""
        return [text for tag, text in self.texts if not tags or tag in tags]

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def check(text):
    """Assert what holds for every page, and return it."""
    page = Page(text)
    assert text.startswith("<!doctype html>\n")
    assert not page.all("script")
    for name, attributes in page.elements:
        assert not any(key.startswith("on") for key in attributes), (name, attributes)
        for key in ("src", "href", "xlink:href", "action", "data"):
            assert WITHIN.match(attributes.get(key) or "#"), (name, attributes)
    styles = [*page.said("style"), *(attributes.get("style") or "" for _, attributes in page.elements)]
    assert not any("url(" in style or "@import" in style for style in styles)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {attributes["href"][1:] for attributes in page.all("a")} <= set(ids)
    for path in page.all("path"):
        assert re.fullmatch(r"(?:[MHVLhvZ]|-?\d+| )*", path["d"]), path["d"][:200]
    assert all(
        attributes.get("aria-label") for _, attributes in page.elements if attributes.get("role") == "img"
    )
    assert html.unescape(page.said("title")[0])
    return page


def titles(page):
    return page.said("h4")
