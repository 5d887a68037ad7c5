"""An answer taken apart: what it says at each place, whatever its form."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgate.harness.compare.answers.form import (
    MOST_PLACES,
    Number,
    pattern,
    shown,
    take_apart,
    written,
)
from tailgate.harness.load.records.answers import KeptAnswer
from tailgate.harness.load.wire.stream import LINES


def answer(body, content_type="application/json", status=200, beyond=0):
    body = body.encode() if isinstance(body, str) else body
    return KeptAnswer(1, 0, status, content_type, len(body) + beyond, 7 if beyond else 0, body)


def said(body, content_type="application/json", **more):
    """Return what an answer says beside its status and type, with numbers as lists and bare."""
    places = take_apart(answer(body, content_type, **more))
    return {
        written(place): np.asarray(leaf.value).tolist() if isinstance(leaf, Number) else leaf
        for place, leaf in places.items()
        if place[0] not in {"status", "content type"}
    }


@pytest.mark.parametrize(
    ("body", "content_type", "places"),
    [
        (
            '{"a": {"b c": ["x", null, true]}}',
            "application/json",
            {"$.a['b c'][0]": '"x"', "$.a['b c'][1]": "null", "$.a['b c'][2]": "true"},
        ),
        (
            '{"a": [1, 2.5], "b": [], "c": {}, "d": 3}',
            "",
            {"$.a[*]": [1, 2.5], "$.b": "[]", "$.c": "{}", "$.d": 3},
        ),
        ("[[1, 2], [3, 4]]", "text/plain", {"$[0][*]": [1, 2], "$[1][*]": [3, 4]}),
        ("[NaN, 1]", "application/json", {"$[0]": "nan", "$[1]": 1}),
        ("[true, 1]", "application/json", {"$[0]": "true", "$[1]": 1}),
        ("0.5", "text/plain", {"$": 0.5}),
        ("a cat", "text/plain", {"text": "a cat"}),
        ("", "text/plain", {"text": ""}),
        (b"\xff\x00", "image/png", {"bytes": "2 bytes, d2fdef8d: ff00"}),
        (
            'data: {"t": "a"}\r\n\r\n: ping\r\n\r\nevent: end\r\ndata: [DONE]\r\n\r\n',
            "text/event-stream; charset=utf-8",
            {"$[0].t": '"a"', "$[1]": '"[DONE]"'},
        ),
        *(('{"t": 1}\n\n{"t": 2}\n', kind.decode(), {"$[0].t": 1, "$[1].t": 2}) for kind in sorted(LINES)),
    ],
)
def test_an_answer_is_taken_apart_by_its_form(body, content_type, places):
    assert said(body, content_type) == places


def test_the_status_and_the_type_are_places_as_well():
    places = take_apart(answer("{}", "Application/JSON", status=201))
    assert {written(place): leaf for place, leaf in places.items()} == {
        "status": "201",
        "content type": "application/json",
        "$": "{}",
    }


@pytest.mark.parametrize(
    "body",
    [
        "[" * 900 + "]" * 900,
        '{"a":' * 5_000 + "1" + "}" * 5_000,
        str(["x"] * (MOST_PLACES + 1)).replace("'", '"'),
    ],
)
def test_what_is_too_deep_or_has_too_many_places_is_one_text_or_a_few_places(body):
    assert 1 <= len(said(body)) <= MOST_PLACES


def test_of_a_long_answer_the_rest_counts_by_its_checksum():
    assert said("abc", beyond=5) == {"text": "abc and 8 bytes, 00000007"}


def test_a_long_list_of_numbers_is_one_place():
    assert list(said(str([0.5] * 100_000))) == ["$[*]"]


def test_positions_in_lists_are_pooled():
    assert pattern(("$", "items", 3, "score")) == ("$", "items", None, "score")


def test_a_long_text_is_shown_from_where_it_differs():
    assert shown("a" * 100 + "cat", "a" * 100 + "dog") == f"…{'a' * 20}cat…"
    assert shown("short", "other") == "short"
    assert shown(None) == "nothing"


@given(
    st.binary(max_size=200),
    st.sampled_from(["", "application/json", "text/event-stream", "application/x-ndjson"]),
)
def test_any_answer_can_be_taken_apart(body, content_type):
    assert len(take_apart(answer(body, content_type))) >= 2
