"""Places in JSON documents: what a path leads to, and which texts are none."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgate.harness.json_path import (
    JsonPath,
    document,
    equal,
    parse_path,
    split_path,
    values_at,
    written,
)

DOCUMENT = {
    "a": {"b": [{"c": 1}, {"c": 2}]},
    "a name": {"x.y": True},
    "it's": None,
    "list": [[1, 2], [3]],
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$", [DOCUMENT]),
        ("$.a.b[0].c", [1]),
        ("$.a.b[-1].c", [2]),
        ("$.a.b[*].c", [1, 2]),
        ("$.a.*[0].c", [1]),
        ("$['a name'][\"x.y\"]", [True]),
        (r"$['it\'s']", [None]),
        ("$.list[*][0]", [1, 3]),
        ("$.list[0][1]", [2]),
        ("$.a.b[2].c", []),
        ("$.a[0]", []),
        ("$.list.a", []),
        ("$.absent", []),
    ],
)
def test_a_path_leads_to_its_values(path, found):
    assert list(values_at(parse_path(path), DOCUMENT)) == found


@pytest.mark.parametrize(
    "text", ["", "a", ".a", "$a", "$.", "$..a", "$[", "$[x]", "$['a", "$.a b", "$.a=1", "$[1.5]", "$[?(@.a)]"]
)
def test_what_is_no_path_is_refused(text):
    with pytest.raises(ValueError, match="expected a path"):
        parse_path(text)


def test_a_path_ends_where_a_value_begins():
    path, rest = split_path("$.a['=']=b=c")
    assert (path, rest) == (JsonPath(("a", "=")), "=b=c")


@given(st.lists(st.none() | st.integers(-(10**8), 10**8) | st.text(min_size=1), max_size=6))
def test_a_path_reads_back_as_it_is_written(steps):
    assert parse_path(written(tuple(steps))).steps == tuple(steps)


@pytest.mark.parametrize(
    ("path", "place", "covered"),
    [
        ("$.items[*].id", ("items", 3, "id"), True),
        ("$.items", ("items", 3, "id"), True),
        ("$.items[*].id", ("items", 3), False),
        ("$.items[0]", ("items", 1, "id"), False),
        ("$", (), True),
    ],
)
def test_a_path_covers_what_lies_within_it(path, place, covered):
    assert parse_path(path).covers(place) is covered


def test_a_document_may_hold_what_python_writes_for_no_number():
    assert math.isnan(document(b'{"a": NaN}')["a"])


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b"9" * 10_000 + b"x"])
def test_what_is_no_document_is_refused(body):
    with pytest.raises(ValueError, match=r"[a-z]"):
        document(body)


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (1, 1.0, True),
        (1, True, False),
        ([0], [False], False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": 1}, {"a": 1, "b": None}, False),
        ([1, 2], [1], False),
        (math.nan, math.nan, True),
        ("1", 1, False),
    ],
)
def test_values_are_equal_as_json_has_it(one, other, alike):
    assert equal(one, other) is alike
