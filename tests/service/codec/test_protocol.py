"""Bytes to inputs and results to bytes, without a server."""

import contextlib
import json
import re
import tracemalloc

import numpy as np
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tailgate.service.codec import answers
from tailgate.service.codec import inputs as codec
from tailgate.service.codec.forms import Part
from tailgate.service.codec.inputs import Kind
from tailgate.service.errors import BadInput, RequestError, TooLarge, Unsupported, WrongShape
from tailgate.service.models import ImageInput, TensorSpec
from tailgate.service.models.items import Result
from tailgate.service.models.spec import Served

PIXELS = TensorSpec((2, 2), np.dtype(np.uint8))
FLOATS = TensorSpec((3,), np.dtype(np.float32))
LONGS = TensorSpec((3,), np.dtype(np.int64))
BOOLEANS = TensorSpec((3,), np.dtype(bool))
LABELS = ("cat", "dog", "rat")
PHOTOS = Served("m", ImageInput(8).spec, LABELS, ImageInput(8))
TENSORS = Served("m", FLOATS, None, None)


@pytest.mark.parametrize(
    ("content_type", "form"),
    [
        ("image/jpeg", Kind.IMAGE),
        ("image/PNG", Kind.IMAGE),
        (" image/webp ; q=1", Kind.IMAGE),
        ("image/jpg", Kind.IMAGE),
        ("image/pjpeg", Kind.IMAGE),
        ("image/x-png", Kind.IMAGE),
        ("application/octet-stream", Kind.PIXELS),
        ("application/json", Kind.TENSOR),
        ("Application/JSON; charset=utf-8", Kind.TENSOR),
    ],
)
def test_the_content_type_tells_what_a_body_is(content_type, form):
    assert codec.kind_of(content_type, PHOTOS) is form


@pytest.mark.parametrize(
    ("content_type", "served", "got"),
    [
        ("", PHOTOS, "got 'none'"),
        ("text/plain", PHOTOS, "got 'text/plain'"),
        ("image/gif", PHOTOS, "got 'image/gif'"),
        ("image/*", PHOTOS, "got 'image/*'"),
        ("image/jpeg", TENSORS, "got 'image/jpeg'"),
    ],
)
def test_another_content_type_is_refused_with_those_that_are_served(content_type, served, got):
    with pytest.raises(Unsupported) as refusal:
        codec.kind_of(content_type, served)
    assert got in str(refusal.value)
    assert "application/octet-stream or application/json" in str(refusal.value)
    assert ("image/jpeg, image/png" in str(refusal.value)) == (served is PHOTOS)


PICTURES = (b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"RIFF\x10\0\0\0WEBPVP8 ")
LENGTH = 8 * 8 * 3
UNTOLD = (
    "",
    "application/octet-stream",
    " Application/Octet-Stream ; x=y",
    "binary/octet-stream",
    "application/x-octet-stream",
    "image/*",
    "IMAGE/*; q=1",
    "*/*",
)


@pytest.mark.parametrize("content_type", UNTOLD)
@pytest.mark.parametrize("beginning", PICTURES)
def test_a_forms_file_whose_type_tells_nothing_is_what_its_bytes_say(content_type, beginning):
    picture = beginning.ljust(LENGTH + 1, b"\0")
    assert codec.kind_of_part(Part("f", content_type, picture), PHOTOS) is Kind.IMAGE
    assert codec.kind_of_part(Part("f", content_type, bytes(LENGTH)), PHOTOS) is Kind.PIXELS


@pytest.mark.parametrize("beginning", PICTURES)
@pytest.mark.parametrize("content_type", UNTOLD)
def test_octets_of_exactly_the_inputs_length_are_pixels_even_where_they_begin_as_a_picture(
    beginning, content_type
):
    octets = "octet-stream" in content_type.lower()
    part = Part("f", content_type, beginning.ljust(LENGTH, b"\0"))
    assert codec.kind_of_part(part, PHOTOS) is (Kind.PIXELS if octets else Kind.IMAGE)


@pytest.mark.parametrize(
    ("content_type", "form"),
    [
        ("image/jpeg", Kind.IMAGE),
        ("Image/JPG", Kind.IMAGE),
        ("image/pjpeg", Kind.IMAGE),
        ("image/x-png; charset=binary", Kind.IMAGE),
        ("image/webp", Kind.IMAGE),
        ("application/json; charset=utf-8", Kind.TENSOR),
    ],
)
def test_a_forms_file_with_a_type_is_of_that_type(content_type, form):
    assert codec.kind_of_part(Part("f", content_type, b"anything"), PHOTOS) is form


@pytest.mark.parametrize("content_type", ["image/jfif", "image/x-webp", "Image/HEIC; x=y", "image/gif"])
@pytest.mark.parametrize("beginning", PICTURES)
def test_a_forms_file_of_any_type_of_image_is_a_picture_where_it_begins_as_one(content_type, beginning):
    assert codec.kind_of_part(Part("f", content_type, beginning.ljust(LENGTH, b"\0")), PHOTOS) is Kind.IMAGE


@pytest.mark.parametrize(
    ("content_type", "error", "told"),
    [
        ("", Unsupported, "got 9 bytes that begin otherwise, of type 'none'"),
        ("image/*", Unsupported, "got 9 bytes that begin otherwise, of type 'image/*'"),
        (
            "application/octet-stream",
            WrongShape,
            "exactly the 192 bytes of uint8[8, 8, 3], got 9 bytes that begin",
        ),
        ("text/plain", Unsupported, "application/octet-stream, application/json or none, got 'text/plain'"),
        ("image/gif", Unsupported, "image/jpeg, image/png, image/webp, application/octet-stream"),
    ],
)
def test_a_forms_file_that_is_nothing_of_these_is_refused_by_its_name(content_type, error, told):
    with pytest.raises(RequestError) as refusal:
        codec.kind_of_part(Part("photo", content_type, b"GIF89a..."), PHOTOS)
    assert type(refusal.value) is error
    assert str(refusal.value).startswith("the file 'photo' of the multipart form: expected ")
    assert told in str(refusal.value)


@given(st.text(), st.text(), st.binary(max_size=2 * LENGTH))
def test_any_part_is_of_some_form_or_refused(name, content_type, body):
    with contextlib.suppress(Unsupported, WrongShape):
        assert codec.kind_of_part(Part(name, content_type, body), PHOTOS) in Kind


def test_octets_are_the_input_itself():
    item = codec.item_from_octets(bytes([1, 2, 3, 4]), PIXELS)
    assert item.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("length", [1, 3, 5])
def test_another_number_of_octets_is_refused_with_the_right_one(length):
    with pytest.raises(WrongShape, match=rf"exactly the 4 bytes of uint8\[2, 2\], got {length}"):
        codec.item_from_octets(bytes(length), PIXELS)


@pytest.mark.parametrize(
    ("inputs", "batched"),
    [([[1, 2], [3, 4]], False), ([[[1, 2], [3, 4]]], True), ([[1.0, 2.0], [3.0, 4]], False)],
)
def test_nested_numbers_become_the_input_with_and_without_a_batch_dimension(inputs, batched):
    item, got = codec.item_from_json(orjson.dumps({"inputs": inputs}), PIXELS)
    assert (item.tolist(), item.dtype, got) == ([[1, 2], [3, 4]], np.uint8, batched)


@given(npst.arrays(np.float32, (3,), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_floats_come_through_unchanged(numbers):
    item, _ = codec.item_from_json(
        orjson.dumps({"inputs": numbers}, option=orjson.OPT_SERIALIZE_NUMPY), FLOATS
    )
    assert np.array_equal(item, numbers)


def nested(depth):
    return b"[" * depth + b"1" + b"]" * depth


@pytest.mark.parametrize(
    ("body", "spec", "error", "text"),
    [
        (b"{", FLOATS, BadInput, "the body is not JSON"),
        (b"\xff\xfe", FLOATS, BadInput, "the body is not JSON"),
        (b'{"inputs": [NaN, 1, 2]}', FLOATS, BadInput, "the body is not JSON"),
        (b'{"inputs": [Infinity, 1, 2]}', FLOATS, BadInput, "the body is not JSON"),
        (b"[1, 2, 3]", FLOATS, BadInput, 'expected a JSON object {"inputs": …}'),
        (b'{"input": [1, 2, 3]}', FLOATS, BadInput, 'expected a JSON object {"inputs": …}'),
        (b'{"inputs": 1}', FLOATS, WrongShape, "expected [3] or [1, 3], got []"),
        (b'{"inputs": null}', FLOATS, WrongShape, "got []"),
        (b'{"inputs": []}', FLOATS, WrongShape, "got [0]"),
        (b'{"inputs": [1, 2]}', FLOATS, WrongShape, "expected [3] or [1, 3], got [2]"),
        (b'{"inputs": [[1, 2, 3], [4, 5, 6]]}', FLOATS, WrongShape, "one request is one item"),
        (b'{"inputs": [1, [2], 3]}', FLOATS, WrongShape, "got a list among them"),
        (b'{"inputs": [[1, 2], [3]]}', PIXELS, WrongShape, "unequal lengths"),
        (
            b'{"inputs": [[1, 2], 3]}',
            PIXELS,
            WrongShape,
            "expected lists nested as [2, 2], got a number for a list",
        ),
        (b'{"inputs": ["1", "2", "3"]}', FLOATS, WrongShape, "expected numbers"),
        (b'{"inputs": [null, 2, 3]}', FLOATS, WrongShape, "expected numbers"),
        (b'{"inputs": [{}, 2, 3]}', FLOATS, WrongShape, "expected numbers"),
        (b'{"inputs": [true, false, true]}', FLOATS, WrongShape, "expected numbers"),
        (b'{"inputs": [1e39, 2, 3]}', FLOATS, WrongShape, "too large for float32"),
        (b'{"inputs": [[0.5, 1], [2, 3]]}', PIXELS, WrongShape, "whole numbers from 0 to 255"),
        (b'{"inputs": [[-1, 1], [2, 3]]}', PIXELS, WrongShape, "whole numbers from 0 to 255"),
        (b'{"inputs": [[256, 1], [2, 3]]}', PIXELS, WrongShape, "whole numbers from 0 to 255"),
        (b'{"inputs": [[1e300, 1], [2, 3]]}', PIXELS, WrongShape, "whole numbers from 0 to 255"),
        (b'{"inputs": ' + nested(65) + b"}", FLOATS, WrongShape, "nested deeper than 64"),
        (b'{"inputs": [1, 2, ' + nested(900) + b"]}", FLOATS, WrongShape, "got a list among them"),
        (b'{"inputs": ' + nested(10_000) + b"}", FLOATS, BadInput, "the body is not JSON"),
        (b'{"inputs": [true, 2, 3]}', FLOATS, WrongShape, "got true or false among them"),
        (b'{"inputs": ["1", null, 3]}', FLOATS, WrongShape, "got null and text among them"),
        (b'{"inputs": [1e999999, 2, 3]}', FLOATS, BadInput, "infinity"),
        (b'{"inputs": [' + b"9" * 1000 + b", 2, 3]}", FLOATS, BadInput, "infinity"),
        (b'{"inputs": [NaN, 2, 3]}', FLOATS, BadInput, "the body is not JSON"),
        (b'{"inputs": [Infinity, 2, 3]}', FLOATS, BadInput, "the body is not JSON"),
        (b'{"inputs": [1, 2, 3]} 4', FLOATS, BadInput, "the body is not JSON"),
        (b'\xef\xbb\xbf\xef\xbb\xbf{"inputs": [1, 2, 3]}', FLOATS, BadInput, "byte order mark"),
        ('{"inputs": [1, 2, 3]}'.encode("utf-16"), FLOATS, BadInput, "not valid UTF-8"),
        (b'{"inputs": [1, 2, 3], "\xff": 1}', FLOATS, BadInput, "not valid UTF-8"),
        (
            b'{"inputs": [9223372036854775808, -1, 0]}',
            LONGS,
            WrongShape,
            "whole numbers from -9223372036854775808",
        ),
        (b'{"inputs": [9223372036854775808, 0, 0]}', LONGS, WrongShape, "to 9223372036854775807"),
        (b'{"inputs": [0.5, 1, 2]}', LONGS, WrongShape, "whole numbers"),
        (
            b'{"inputs": [1, 2, "' + b"x" * 70_000 + b'"]}',
            FLOATS,
            TooLarge,
            "at most 65536 are taken for float32[3]",
        ),
    ],
)
def test_json_that_is_not_the_input_is_refused_with_what_was_expected(body, spec, error, text):
    with pytest.raises(RequestError) as refusal:
        codec.item_from_json(body, spec)
    assert type(refusal.value) is error
    assert text in str(refusal.value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-5, 300) | st.floats(allow_nan=False) | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=2),
        max_leaves=12,
    ),
    st.sampled_from([PIXELS, FLOATS]),
)
def test_any_json_is_an_input_or_a_refusal(inputs, spec):
    try:
        item, _ = codec.item_from_json(orjson.dumps({"inputs": inputs}), spec)
    except RequestError:
        return
    assert (item.shape, item.dtype) == (spec.shape, spec.dtype)


def test_whole_numbers_come_through_unchanged_however_they_are_written():
    numbers = [2**63 - 1, 2**53 + 1, -(2**63)]
    assert codec.item_from_json(orjson.dumps({"inputs": numbers}), LONGS)[0].tolist() == numbers
    assert codec.item_from_json(b'{"inputs": [9007199254740993, 3.0, 1e3]}', LONGS)[0].tolist() == [
        2**53 + 1,
        3,
        1000,
    ]


# Many values: bounded before anything is made of them, and never where a client needs them.

PHOTO = TensorSpec((40, 50, 30), np.dtype(np.uint8))
NUMBERS = np.arange(60_000).reshape(PHOTO.shape) % 256
LISTS = 1 + 40 + 40 * 50 + 1


def with_marks(mark, count):
    """A body in which the inputs are right, and a text has so many of a mark."""
    return orjson.dumps({"inputs": [[[0]]], "comment": mark * count})


@pytest.mark.parametrize(
    ("mark", "needed"),
    [("[", LISTS), (",", 60_000), ("{", 1), (":", 1), ('"', None), ("]", None), (" ", None)],
)
def test_json_of_more_values_than_the_input_and_some_others_have_is_not_parsed(monkeypatch, mark, needed):
    parsed = []
    monkeypatch.setattr(codec.orjson, "loads", lambda body: parsed.append(body) or {"inputs": None})
    monkeypatch.setattr(codec, "COUNTED_AT_ONCE", 1000)
    bodies = [with_marks(mark, count) for count in (100_000, 60_000 + 2 * LISTS + codec.MORE_MARKS)]
    refusals = []
    for body in bodies:
        assert len(body) > codec.JSON_BYTES
        with pytest.raises(WrongShape) as refusal:
            codec.item_from_json(body, PHOTO)
        refusals.append(str(refusal.value))
    if needed is None:
        assert parsed == bodies
    else:
        assert not parsed
        expected = f"more than {needed + codec.MORE_MARKS} characters {mark!r}; one request is one item"
        assert all(expected in refusal for refusal in refusals)


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize(
    "write",
    {
        "compact": lambda inputs: orjson.dumps({"inputs": inputs}),
        "indented": lambda inputs: json.dumps({"inputs": inputs}, indent=4).encode(),
        "long numbers": lambda inputs: re.sub(
            rb"(\d+)", rb"\1.000000000000000000000000e0", json.dumps({"inputs": inputs}).encode()
        ),
        "spaces": lambda inputs: re.sub(
            rb"([\[\],])", rb"\t\r\n \1 \n", json.dumps({"inputs": inputs}).encode()
        ),
        "among other keys": lambda inputs: orjson.dumps(
            {
                "id": "[{:,}]" * 500,
                "parameters": {"": [{"a": 1, "b": [1, 2]}] * 2000},
                "inputs": inputs,
                "more": list(range(3000)),
            }
        ),
    }.values(),
)
def test_the_input_is_taken_however_it_is_formatted_and_whatever_else_stands_beside_it(write, batched):
    inputs = NUMBERS[None] if batched else NUMBERS
    item, came_batched = codec.item_from_json(write(inputs.tolist()), PHOTO)
    assert came_batched is batched
    assert (item == NUMBERS).all()


@given(npst.array_shapes(min_dims=0, max_dims=6, max_side=6), st.booleans())
def test_the_input_has_no_more_marks_than_are_counted_for_it(shape, batched):
    spec = TensorSpec(shape, np.dtype(np.uint8))
    zeros = np.zeros((1, *shape) if batched else shape, np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codec, "JSON_BYTES", 0)
        patch.setattr(codec, "MORE_MARKS", 0)
        codec._require_few_values(orjson.dumps({"inputs": zeros.tolist()}), spec)


def test_a_small_body_may_hold_any_number_of_values():
    body = orjson.dumps({"inputs": [1.0, 2.0, 3.0], "more": [[]] * 21_000})
    assert len(body) < codec.JSON_BYTES
    assert codec.item_from_json(body, FLOATS)[0].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    "inputs",
    ["[true, false, true]", "[1, 0, 1]", "[1.0, 0, true]", "[[true, false, true]]", "[1e0, -0, true]"],
)
def test_true_and_false_are_taken_as_words_and_as_numbers(inputs):
    item, _ = codec.item_from_json(f'{{"inputs": {inputs}}}'.encode(), BOOLEANS)
    assert (item.tolist(), item.dtype) == ([True, False, True], bool)


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ("[2, 0, 1]", "expected true and false, or 1 and 0, for bool[3]"),
        ("[0.5, 0, 1]", "expected true and false, or 1 and 0, for bool[3]"),
        ("[-1, true, 1]", "expected true and false, or 1 and 0, for bool[3]"),
        ("[9223372036854775808, -1, true]", "expected true and false, or 1 and 0, for bool[3]"),
        ("[null, false, true]", "got null among them"),
        ('["true", false, true]', "got text among them"),
        ("[true, [false], true]", "got a list among them"),
    ],
)
def test_what_is_neither_true_nor_false_is_refused(inputs, told):
    with pytest.raises(WrongShape) as refusal:
        codec.item_from_json(f'{{"inputs": {inputs}}}'.encode(), BOOLEANS)
    assert told in str(refusal.value)


def test_octets_of_true_and_false_are_0_and_1():
    assert codec.item_from_octets(b"\x01\x00\x01", BOOLEANS).tolist() == [True, False, True]
    with pytest.raises(WrongShape, match=r"expected bytes of 0 and 1 for bool\[3\], got others"):
        codec.item_from_octets(b"\x01\x00\x02", BOOLEANS)


@given(
    st.sampled_from("?bBhHiIlLefd"),
    st.one_of(
        st.lists(
            st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=3),
            min_size=3,
            max_size=3,
        ),
        st.lists(st.sampled_from([0, 1, True, False, 0.0, 1.0, 2, 0.5]), min_size=3, max_size=3),
    ),
)
def test_any_values_are_an_input_of_any_type_or_a_refusal(code, values):
    spec = TensorSpec((3,), np.dtype(code))
    try:
        item, _ = codec.item_from_json(json.dumps({"inputs": values}).encode(), spec)
    except RequestError:
        return
    assert (item.shape, item.dtype) == (spec.shape, spec.dtype)
    given = np.array(values, object)
    close = np.isclose(item.astype(float), given.astype(float), rtol=1e-2, atol=1e-7)
    assert (
        close.all() if item.dtype.kind == "f" else all(int(a) == b for a, b in zip(item, values, strict=True))
    )


def test_a_byte_order_mark_before_json_is_ignored():
    item, _ = codec.item_from_json(b'\xef\xbb\xbf{"inputs": [1, 2, 3]}', FLOATS)
    assert item.tolist() == [1, 2, 3]


def test_of_two_inputs_of_the_same_name_the_last_counts():
    item, _ = codec.item_from_json(b'{"inputs": [1, 2, 3], "inputs": [4, 5, 6]}', FLOATS)
    assert item.tolist() == [4, 5, 6]


def test_a_long_text_among_numbers_takes_no_more_memory_than_itself():
    spec = TensorSpec((1000,), np.dtype(np.float32))
    body = b'{"inputs": [' + b"0, " * 999 + b'"' + b"x" * 60_000 + b'"]}'
    tracemalloc.start()
    try:
        with pytest.raises(WrongShape, match="got text among them"):
            codec.item_from_json(body, spec)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_octets_that_are_no_finite_numbers_are_refused(number):
    with pytest.raises(WrongShape, match="NaN or infinity"):
        codec.item_from_octets(np.array([1, number, 3], np.float32).tobytes(), FLOATS)


@given(st.binary(max_size=60))
@example(b'{"inputs":[[0,0],[0,0]]}')
def test_any_bytes_are_an_input_or_a_refusal(body):
    try:
        item, _ = codec.item_from_json(body, PIXELS)
    except RequestError:
        return
    assert (item.shape, item.dtype) == (PIXELS.shape, PIXELS.dtype)


RESULT = Result(np.array([0.25, 2.0], np.float32), [0.75, 0.25], [2, 0])


def test_labels_are_answered_with_their_classes_and_probabilities():
    assert orjson.loads(answers.answer_body(RESULT, Kind.PIXELS, PHOTOS, batched=False)) == {
        "model": "m",
        "predictions": [
            {"label": "rat", "class": 2, "probability": 0.75},
            {"label": "cat", "class": 0, "probability": 0.25},
        ],
    }


@pytest.mark.parametrize(("batched", "outputs"), [(False, [0.25, 2.0]), (True, [[0.25, 2.0]])])
def test_outputs_have_a_batch_dimension_where_the_request_had_one(batched, outputs):
    answer = orjson.loads(answers.outputs_body(RESULT, TENSORS, batched=batched))
    assert answer == {"model": "m", "outputs": outputs}


def test_a_model_without_labels_answers_an_image_with_its_outputs():
    assert orjson.loads(answers.answer_body(RESULT, Kind.PIXELS, TENSORS, batched=False)) == {
        "model": "m",
        "outputs": [0.25, 2.0],
    }


@pytest.mark.parametrize(
    ("outputs", "alone", "batched"),
    [
        (np.float32(0.1), b"0.1", b"[0.1]"),
        (np.float64(0.1), b"0.1", b"[0.1]"),
        (np.float64(1 / 3), b"0.3333333333333333", b"[0.3333333333333333]"),
        (np.int64(2**60 + 1), b"1152921504606846977", b"[1152921504606846977]"),
        (np.bool_(True), b"true", b"[true]"),
        (np.array(0.5, np.float32), b"0.5", b"[0.5]"),
        (np.array([16777217, -1]), b"[16777217,-1]", b"[[16777217,-1]]"),
        (np.array([2**64 - 1], np.uint64), b"[18446744073709551615]", b"[[18446744073709551615]]"),
        (np.array([True, False]), b"[true,false]", b"[[true,false]]"),
        (np.array([[1, 2], [3, 4]], np.uint8).T, b"[[1,3],[2,4]]", b"[[[1,3],[2,4]]]"),
        (np.arange(6, dtype=np.int16)[::2], b"[0,2,4]", b"[[0,2,4]]"),
    ],
)
def test_outputs_of_every_type_and_shape_are_written_exactly(outputs, alone, batched):
    written = [answers.outputs_body(Result(outputs, [], []), TENSORS, batched=each) for each in (False, True)]
    assert written == [b'{"model":"m","outputs":%b}' % each for each in (alone, batched)]


@given(
    npst.arrays(
        st.sampled_from([np.float32, np.float64, np.int64, np.uint8, np.bool_]),
        npst.array_shapes(min_dims=0, max_dims=4, max_side=5),
    ).filter(lambda outputs: np.isfinite(outputs).all()),
    st.integers(1, 12),
    st.booleans(),
)
def test_outputs_that_are_written_in_pieces_are_the_same_bytes(outputs, at_once, batched):
    document = {"model": "m", "outputs": outputs[None] if batched else outputs[()]}
    whole = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answers, "NUMBERS_AT_ONCE", at_once)
        assert answers.outputs_body(Result(outputs, [], []), TENSORS, batched=batched) == whole


@pytest.mark.parametrize(
    ("form", "dtype", "numbers", "decoded"),
    [
        (Kind.PIXELS, np.float32, 2**18, False),
        (Kind.PIXELS, np.float32, 2**18 + 1, True),
        (Kind.PIXELS, np.uint8, 2**24, False),
        (Kind.TENSOR, np.float32, 1, True),
        (Kind.IMAGE, np.uint8, 192, True),
    ],
)
def test_all_but_octets_that_are_quickly_looked_through_go_to_the_decoding_threads(
    form, dtype, numbers, decoded
):
    assert codec.is_decoded(form, TensorSpec((numbers,), np.dtype(dtype))) is decoded
