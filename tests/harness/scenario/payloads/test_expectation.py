"""Expectations: which answers are right, what is said of a wrong one, and which texts are no expectation."""

import contextlib
import zlib
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgate.harness.errors import UsageError
from tailgate.harness.scenario.payloads.expectation import expectations, first_miss, misses, parse


@dataclass
class Kept:
    body: bytes
    status: int = 200
    crc: int = 0
    beyond: int = 0

    @property
    def length(self):
        return len(self.body) + self.beyond


CAT = Kept(
    b'{"label": "cat", "score": 0.9, "top": [{"id": 1, "ok": true}, {"id": 2, "ok": true}], "none": null}'
)


@pytest.mark.parametrize(
    "text",
    [
        "status=200",
        "status=2xx",
        "status=404, 200",
        "json:$.label=cat",
        'json:$.label="cat"',
        "json:$.score=0.9",
        "json:$.score=0.91~0.01",
        "json:$.score=0.909~1%",
        "json:$.score=-1e1~20",
        "json:$.none",
        "json:$.none=null",
        "json:$.top[0].ok=true",
        "json:$.top[*].ok=true",
        'json:$.top[1]={"ok": true, "id": 2.0}',
        'contains:"label": "cat"',
        r'matches:"score": 0\.\d+',
        "same",
    ],
)
def test_a_right_answer_misses_nothing(text):
    assert misses(parse(text), CAT, CAT) is None


@pytest.mark.parametrize(
    ("text", "body", "said"),
    [
        ("json:$.label=cat", b'{"label": "dog"}', "$.label is 'dog', expected 'cat'"),
        ("json:$.label=cat", b"{}", "$.label is missing, expected 'cat'"),
        ("json:$.label", b"[]", "$.label is missing, expected a value"),
        ("json:$.ok=true", b'{"ok": 1}', "$.ok is 1, expected true"),
        ("json:$.n=1~0.5", b'{"n": true}', "$.n is true, expected 1.0 within 0.5"),
        ("json:$.n=1~0.5", b'{"n": NaN}', "$.n is nan, expected 1.0 within 0.5"),
        ("json:$.n=1~0.5", b'{"n": 1.51}', "$.n is 1.51, expected 1.0 within 0.5"),
        ("json:$.a[*]=1", b'{"a": [1, 1, 2]}', "$.a[*] is 2, expected 1"),
        ("json:$.label=cat", b"<html>", "the answer is not JSON but '<html>', expected 'cat' at $.label"),
        ("contains:cat", b"dog", "the answer is 'dog', expected one that contains 'cat'"),
        ("matches:^c.t$", b"dog", "the answer is 'dog', expected one that matches '^c.t$'"),
        ("same", b"dog", "the answer is 200 'dog', expected the first one again: 200 'cat'"),
    ],
)
def test_a_wrong_answer_is_told_with_what_came_and_what_was_expected(text, body, said):
    assert misses(parse(text), Kept(body), Kept(b"cat")) == said


def test_a_wrong_status_is_told_with_what_the_answer_says():
    assert (
        misses(parse("status=200,204"), Kept(b"no model", status=500), None)
        == "status is 500, expected 200 or 204; it says 'no model'"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Same",
        "same ",
        "200",
        "status",
        "status=",
        "status=20",
        "status=6xx",
        "json:",
        "json:label=cat",
        "json:$.label cat",
        "json:$.label=",
        "json:$.n=1~",
        "json:$.n=1~x",
        "json:$.n=1~0",
        "json:$.n=1~-1",
        "json:$.n=1~1e999",
        "contains:",
        "contains",
        "matches:",
        "matches:(",
    ],
)
def test_what_is_no_expectation_is_refused_with_its_owner_and_what_it_is(text):
    with pytest.raises(UsageError, match=r"--perf-expect: expected .*got ") as refused:
        expectations([text], "--perf-expect")
    assert repr(text) in str(refused.value)


def test_a_right_answer_is_2xx_unless_a_status_is_expected():
    refused = Kept(b'{"label": "cat"}', status=404)
    assert first_miss(expectations(["json:$.label=cat"], "x"), refused, None) is not None
    assert first_miss(expectations(["json:$.label=cat", "status=404"], "x"), refused, None) is None
    assert first_miss(expectations([], "x"), refused, None) is None


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (Kept(b'{"a": 1, "b": 2}'), Kept(b'{"b":2,"a":1.0}'), True),
        (Kept(b'{"a": 1}'), Kept(b'{"a": 1}', status=201), False),
        (Kept(b"text"), Kept(b"text"), True),
        (Kept(b"long", crc=zlib.crc32(b"x"), beyond=1), Kept(b"long", crc=zlib.crc32(b"y"), beyond=1), False),
        (Kept(b"[" * 100_000), Kept(b"[" * 99_999), False),
    ],
)
def test_the_same_answer_has_the_same_bytes_or_equal_json(one, other, alike):
    assert (misses(parse("same"), one, other) is None) is alike


def test_only_what_is_kept_of_a_long_answer_is_looked_at_and_that_is_said():
    said = misses(parse("json:$.a=1"), Kept(b'{"a": 1', beyond=2_000_000), None)
    assert said is not None
    assert "of which only 7 are looked at" in said


@given(st.text())
def test_any_text_is_read_or_refused_in_words(text):
    with contextlib.suppress(UsageError):
        assert expectations([text], "--perf-expect")


@given(st.sampled_from(["json:$.a=1~0.1", "json:$.a", "contains:x", "matches:x", "same"]), st.binary())
def test_any_answer_is_right_or_wrong(text, body):
    said = misses(parse(text), Kept(body), Kept(b"x"))
    assert said is None or "\n" not in said
