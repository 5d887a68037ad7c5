"""The pictures of the documents are what their script draws from the results that are kept."""

import xml.etree.ElementTree as ET

import pytest

from benchmarks.pictures.__main__ import FOLDER, PICTURES


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_up_to_date(name):
    drawn = PICTURES[name]().svg()
    kept = (FOLDER / f"{name}.svg").read_text(encoding="utf-8")
    assert drawn == kept, "draw it again: python -m benchmarks.pictures"


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_small_says_what_it_shows_and_loads_nothing(name):
    text = (FOLDER / f"{name}.svg").read_text(encoding="utf-8")
    assert len(text) < 100_000
    title = ET.fromstring(text).find("{http://www.w3.org/2000/svg}title")
    assert title is not None
    assert title.text
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
