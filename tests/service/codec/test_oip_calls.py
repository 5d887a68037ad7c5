"""Inference requests: what tritonclient's own encoder writes is read as the tensors that went in, and all else is refused."""

import base64
import json
import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from tritonclient.http import InferInput, InferRequestedOutput
from tritonclient.http._utils import _get_inference_request
from tritonclient.utils import serialize_byte_tensor

from tailgate.service.codec.inputs import MORE_MARKS
from tailgate.service.codec.intent import InferHead
from tailgate.service.codec.oip import call as calls
from tailgate.service.codec.oip import datatypes
from tailgate.service.codec.oip.body import JSON_NUMBERS, KnownCalls, read_body, read_items
from tailgate.service.errors import BadInput, NotOffered, RequestError, TooLarge, WrongShape
from tailgate.service.models import ImageInput, TensorSpec
from tailgate.service.models.spec import NamedTensor, Served, places, record_spec
from tailgate.service.settings import load_settings

FLOAT = np.dtype(np.float32)
SETTINGS = load_settings({}, queue_capacity=8, max_body_bytes=10_000_000)


def served(*inputs, image=None, outputs=("scores",)):
    """Return a model of some named inputs, each a shape and a type."""
    tensors = tuple(NamedTensor(name, TensorSpec(shape, dtype)) for name, shape, dtype in inputs)
    item = tensors[0].spec if len(tensors) == 1 else record_spec(tensor.spec for tensor in tensors)
    named = tuple(NamedTensor(name, TensorSpec((3,), FLOAT)) for name in outputs)
    return Served("m", item, None, image, tensors, named)


VECTOR = served(("x", (3,), FLOAT))
PHOTOS = served(("photo", (4, 4, 3), np.dtype(np.uint8)), image=ImageInput(4))
PAIR = served(("ids", (2,), np.dtype(np.int64)), ("weight", (), np.dtype(np.float16)), outputs=("a", "b"))


def head(length, *, first=False):
    return InferHead(first, length, None, None)


def read(body, length, model):
    return read_body(head(length), body, model, SETTINGS, KnownCalls())


def sent(*inputs, outputs=None, request_id="", timeout=None, parameters=None):
    """Return what tritonclient sends: a body and the length of its JSON."""
    return _get_inference_request(list(inputs), request_id, outputs, 0, False, False, 0, timeout, parameters)


def tensor(name, array, *, datatype, binary=True):
    given = InferInput(name, list(array.shape), datatype)
    given.set_data_from_numpy(array, binary_data=binary)
    return given


def body_of(*inputs, **members):
    """Return a request as JSON; each input is x with other members."""
    plain = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}
    tensors = [
        {key: value for key, value in (plain | each).items() if value is not None} for each in inputs or [{}]
    ]
    return json.dumps({"inputs": tensors} | members).encode()


def finite_arrays(dtype):
    elements = {"allow_nan": False, "allow_infinity": False} if dtype.kind == "f" else None
    shapes = st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(1, 4))
    return shapes.flatmap(lambda shape: npst.arrays(dtype, shape, elements=elements))


@given(st.data())
@pytest.mark.parametrize("datatype", datatypes.NUMPY)
def test_what_tritonclient_sends_is_read_as_the_arrays_that_it_was_given(datatype, data):
    array = data.draw(finite_arrays(datatypes.NUMPY[datatype]))
    binary = datatype in datatypes.WITHOUT_JSON or data.draw(st.booleans())
    model = served(("x", array.shape[1:], array.dtype))
    got = read(*sent(tensor("x", array, datatype=datatype, binary=binary)), model)
    assert got.known.call.rows == len(array)
    assert all(np.array_equal(item, row) for item, row in zip(got.items, array, strict=True))
    assert {item.dtype for item in got.items} == {array.dtype}


@given(finite_arrays(np.dtype(np.float32)))
def test_bf16_widens_to_an_input_of_fp32_and_keeps_each_value(array):
    with np.errstate(over="ignore"):
        short = array.astype(ml_dtypes.bfloat16)
    wide = short.astype(np.float32)
    model = served(("x", array.shape[1:], FLOAT))
    body = sent(tensor("x", short, datatype="BF16"))
    if np.isfinite(wide).all():
        assert np.array_equal(np.stack(read(*body, model).items), wide)
    else:
        with pytest.raises(WrongShape, match="input 'x': expected finite numbers"):
            read(*body, model)


@given(st.data())
@pytest.mark.parametrize("datatype", sorted(set(datatypes.NUMPY) - datatypes.WITHOUT_JSON))
def test_json_data_may_be_nested_as_the_shape_or_flat(datatype, data):
    array = data.draw(finite_arrays(datatypes.NUMPY[datatype]))
    model = served(("x", array.shape[1:], array.dtype))
    given_as = array if data.draw(st.booleans()) else array.reshape(-1)
    body = body_of({"shape": array.shape, "datatype": datatype, "data": given_as.tolist()})
    assert np.array_equal(np.stack(read(body, None, model).items), array)


@pytest.mark.parametrize("datatype", sorted(datatypes.WITHOUT_JSON))
def test_half_precision_has_no_json_and_the_refusal_says_what_has(datatype):
    dtype = np.dtype(np.float16) if datatype == "FP16" else FLOAT
    with pytest.raises(
        WrongShape, match=f"input 'x': {datatype} has no form in JSON; send it as binary data"
    ):
        read(body_of({"datatype": datatype}), None, served(("x", (3,), dtype)))


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=8))
@example([b""])
def test_byte_strings_are_written_and_read_as_tritonclient_does(strings):
    encoded = serialize_byte_tensor(np.array(strings, object)).item()
    assert datatypes.bytes_of_strings(strings) == encoded
    assert datatypes.strings_from_bytes(encoded, len(strings), "x") == strings
    for damaged in (encoded[:-1], encoded + b"\0"):
        with pytest.raises(WrongShape, match="input 'x'"):
            datatypes.strings_from_bytes(damaged, len(strings), "x")


@given(st.binary(max_size=40), st.integers(0, 10))
def test_any_bytes_are_byte_strings_or_refused(data, count):
    try:
        strings = datatypes.strings_from_bytes(data, count, "x")
    except WrongShape:
        return
    assert datatypes.bytes_of_strings(strings) == data


@pytest.mark.parametrize("shape", [[2], [2, 1]])
@pytest.mark.parametrize("binary", [True, False])
def test_a_model_of_images_takes_pictures_as_byte_strings(shape, binary):
    files = [b"\xff\xd8\xff picture", b"another"]
    if binary:
        given = tensor("photo", np.array(files, object).reshape(shape), datatype="BYTES")
        body, length = sent(given)
    else:
        data = np.array([base64.b64encode(file).decode() for file in files], object).reshape(shape).tolist()
        body, length = body_of({"name": "photo", "shape": shape, "datatype": "BYTES", "data": data}), None
    got = read(body, length, PHOTOS)
    assert (got.pictures, got.items, got.known.call.pictures) == (files, [], True)


def test_a_picture_in_json_that_is_no_base64_is_refused():
    body = body_of({"name": "photo", "shape": [1], "datatype": "BYTES", "data": ["no base64!"]})
    with pytest.raises(WrongShape, match="input 'photo': expected pictures in base64, or as binary data"):
        read(body, None, PHOTOS)


def test_raw_bodies_are_the_only_input_of_one_item_and_are_answered_in_binary():
    pixels = np.arange(48, dtype=np.uint8)
    got = read(pixels.tobytes(), 0, PHOTOS)
    assert np.array_equal(got.items[0], pixels.reshape(4, 4, 3))
    assert all(wanted.binary for wanted in got.known.call.outputs)
    assert read(b"\xff\xd8\xff picture", 0, PHOTOS).pictures == [b"\xff\xd8\xff picture"]
    with pytest.raises(WrongShape, match="expected exactly the 48 bytes"):
        read(b"something else", 0, PHOTOS)
    with pytest.raises(BadInput, match="for models of one input, and m has 2: 'ids', 'weight'"):
        read(b"something else", 0, PAIR)


def test_several_inputs_come_in_any_order_and_make_one_record_per_item():
    ids = np.array([[1, 2], [3, 4]], np.int64)
    weight = np.array([0.5, 2.0], np.float16)
    inputs = tensor("ids", ids, datatype="INT64"), tensor("weight", weight, datatype="FP16")
    for order in (inputs, inputs[::-1]):
        items = read(*sent(*order), PAIR).items
        begins = places(tensor.spec for tensor in PAIR.inputs)
        assert [item[: begins[1]].view(np.int64).tolist() for item in items] == ids.tolist()
        assert [item[begins[1] :][:2].view(np.float16)[0] for item in items] == weight.tolist()
        assert {item.shape for item in items} == {PAIR.item.shape}


REFUSED = {
    "not JSON": (b"{", BadInput, "not an inference request"),
    "no object": (b"[]", BadInput, "Expected `object`, got `array`"),
    "no inputs": (b"{}", BadInput, "missing required field `inputs`"),
    "none of the inputs": (b'{"inputs": []}', WrongShape, "inputs: expected each of 'x' once, got []"),
    "an unknown input": (body_of({"name": "y"}), WrongShape, "inputs: expected 'x', got 'y'"),
    "the same twice": (body_of({}, {}), WrongShape, "expected each of 'x' once, got ['x', 'x']"),
    "another datatype": (
        body_of({"datatype": "INT8"}),
        WrongShape,
        "input 'x': expected datatype FP32 or BF16, got 'INT8'",
    ),
    "no datatype": (
        body_of({"datatype": "FLOAT"}),
        WrongShape,
        "input 'x': expected datatype FP32 or BF16, got 'FLOAT'",
    ),
    "no batch": (body_of({"shape": [3]}), WrongShape, "input 'x': expected shape [-1, 3] of FP32, got [3]"),
    "another shape": (
        body_of({"shape": [1, 4]}),
        WrongShape,
        "input 'x': expected shape [-1, 3] of FP32, got [1, 4]",
    ),
    "no shape": (body_of({"shape": []}), WrongShape, "expected shape [-1, 3] of FP32, got []"),
    "a negative side": (
        body_of({"shape": [-1, 3]}),
        WrongShape,
        "input 'x': expected 1 to 8 items in its first dimension, got -1",
    ),
    "no number for a side": (
        body_of({"shape": ["1", 3]}),
        BadInput,
        "Expected `int`, got `str` - at `$.inputs[0].shape[0]`",
    ),
    "nobody": (
        body_of({"shape": [0, 3], "data": []}),
        WrongShape,
        "expected 1 to 8 items in its first dimension, got 0",
    ),
    "a crowd": (
        body_of({"shape": [9, 3]}),
        WrongShape,
        "expected 1 to 8 items in its first dimension, got 9",
    ),
    "too few numbers": (
        body_of({"data": [1, 2]}),
        WrongShape,
        "input 'x': expected data nested as [1, 3] or as a flat list of 3",
    ),
    "ragged lists": (
        body_of({"shape": [2, 3], "data": [[1, 2, 3], [4]]}),
        WrongShape,
        "input 'x': the lists are of unequal lengths",
    ),
    "half nested": (
        body_of({"shape": [1, 3], "data": [[1, 2, [3]]]}),
        WrongShape,
        "input 'x': expected numbers",
    ),
    "text": (
        body_of({"data": ["a", 1, 2]}),
        WrongShape,
        "input 'x': expected numbers for float32[1, 3], got text",
    ),
    "too large": (body_of({"data": [1e39, 1, 2]}), WrongShape, "input 'x': a number among them is too large"),
    "no data": (
        body_of({"data": None}),
        BadInput,
        "input 'x': expected either data or the parameter binary_data_size",
    ),
    "both": (
        body_of({"parameters": {"binary_data_size": 12}}),
        BadInput,
        "input 'x': expected either data or the parameter binary_data_size, got both or neither",
    ),
    "another size": (
        body_of({"data": None, "parameters": {"binary_data_size": 11}}),
        WrongShape,
        "input 'x': expected binary_data_size 12 for FP32 [1, 3], got 11",
    ),
    "no size": (
        body_of({"data": None, "parameters": {"binary_data_size": "12"}}),
        BadInput,
        "input 'x': binary_data_size: expected a whole number of 0 or more, got '12'",
    ),
    "bytes that are not there": (
        body_of({"data": None, "parameters": {"binary_data_size": 12}}),
        BadInput,
        "expected 12 bytes of binary data behind the JSON, got 0",
    ),
    "shared memory": (
        body_of({"data": None, "parameters": {"shared_memory_region": "r"}}),
        NotOffered,
        "input 'x': shared memory is not supported",
    ),
    "an unknown output": (
        body_of(outputs=[{"name": "y"}]),
        WrongShape,
        "outputs: expected each of 'scores' at most once, got 'y'",
    ),
    "an output twice": (
        body_of(outputs=[{"name": "scores"}] * 2),
        WrongShape,
        "expected each of 'scores' at most once",
    ),
    "no flag": (
        body_of(outputs=[{"name": "scores", "parameters": {"binary_data": 1}}]),
        BadInput,
        "output 'scores': binary_data: expected true or false, got 1",
    ),
    "no number of classes": (
        body_of(outputs=[{"name": "scores", "parameters": {"classification": -1}}]),
        BadInput,
        "output 'scores': classification: expected a whole number of 0 or more, got -1",
    ),
    "an output in shared memory": (
        body_of(outputs=[{"name": "scores", "parameters": {"shared_memory_region": "r"}}]),
        NotOffered,
        "output 'scores': shared memory is not supported",
    ),
    "no timeout": (
        body_of(parameters={"timeout": 1.5}),
        BadInput,
        "parameters: timeout: expected a whole number",
    ),
    "a nested parameter": (body_of(parameters={"a": {}}), BadInput, "$.parameters"),
    "an id that is none": (body_of(id=5), BadInput, "Expected `str | null`, got `int` - at `$.id`"),
    "an empty body": (b"", BadInput, "the body is empty"),
}


@pytest.mark.parametrize(("body", "kind", "told"), REFUSED.values(), ids=REFUSED)
def test_a_request_that_is_none_is_refused_with_the_tensor_what_was_expected_and_what_came(body, kind, told):
    with pytest.raises(kind) as refusal:
        read(body, None, VECTOR)
    assert type(refusal.value) is kind
    assert told in str(refusal.value)


def test_inputs_of_unequal_numbers_of_items_are_refused():
    ids = tensor("ids", np.zeros((2, 2), np.int64), datatype="INT64")
    with pytest.raises(WrongShape, match=r"expected as many items in each, got \[2, 1\] in 'ids', 'weight'"):
        read(*sent(ids, tensor("weight", np.zeros(1, np.float16), datatype="FP16")), PAIR)


def test_a_length_beyond_the_body_is_refused():
    with pytest.raises(
        BadInput, match="Inference-Header-Content-Length: 100 bytes of JSON are announced, and the body has 2"
    ):
        read(b"{}", 100, VECTOR)


def test_the_answer_is_asked_for_by_name_form_id_and_own_parameters():
    outputs = [InferRequestedOutput("b", binary_data=False), InferRequestedOutput("a", class_count=2)]
    ids = tensor("ids", np.zeros((1, 2), np.int64), datatype="INT64")
    weight = tensor("weight", np.zeros(1, np.float16), datatype="FP16")
    own = {"mine": 1, "yours": True}
    call = read(
        *sent(ids, weight, outputs=outputs, request_id="7", timeout=1500, parameters=own), PAIR
    ).known.call
    assert call.outputs == (calls.Wanted(1, binary=False), calls.Wanted(0, binary=True, classes=2))
    assert (call.id, call.parameters, call.timeout_s) == ("7", own, 0.0015)
    call = read(*sent(ids, weight), PAIR).known.call
    assert call.outputs == (calls.Wanted(0, binary=True), calls.Wanted(1, binary=True))
    assert (call.id, call.parameters, call.timeout_s) == (None, None, None)


def test_one_output_may_differ_from_what_is_asked_of_all():
    asked = {
        "outputs": [{"name": "scores", "parameters": {"binary_data": False}}],
        "parameters": {"binary_data_output": True},
    }
    assert read(body_of(**asked), None, VECTOR).known.call.outputs == (calls.Wanted(0, binary=False),)


def test_a_call_is_remembered_by_its_json_unless_that_has_an_id_or_data():
    known = KnownCalls()
    zeros = np.zeros((1, 3), np.float32)
    plain, length = sent(tensor("x", zeros, datatype="FP32"))
    assert known.met(head(length), plain) is None
    first = read_body(head(length), plain, VECTOR, SETTINGS, known)
    assert known.met(head(length), plain) is first.known
    again = read_items(first.known, memoryview(plain)[length:], len(plain))
    assert np.array_equal(again.items, first.items)
    for body, length in (
        sent(tensor("x", zeros, datatype="FP32"), request_id="1"),
        sent(tensor("x", zeros, datatype="FP32", binary=False)),
    ):
        read_body(head(length), body, VECTOR, SETTINGS, known)
        assert known.met(head(length or len(body)), body) is None


@given(st.integers(0, 200))
def test_only_so_many_calls_are_remembered(extra):
    known = KnownCalls()
    for number in range(extra):
        header = body_of({"data": None, "parameters": {"binary_data_size": 12, "n": number}})
        known.read(memoryview(header), VECTOR, 8)
    assert len(known._calls) <= 64


@pytest.mark.parametrize("piece", [b"[],", b"1,", b"{},", b'":",'])
def test_json_of_far_more_values_than_a_request_has_is_refused_before_it_is_parsed(piece, monkeypatch):
    monkeypatch.setattr(calls, "_decode", None)
    body = b'{"inputs": [' + piece * (JSON_NUMBERS + MORE_MARKS + 1)
    with pytest.raises(TooLarge, match="send the tensors as binary data instead"):
        read(body, None, VECTOR)


BODIES = [
    sent(tensor("x", np.ones((2, 3), np.float32), datatype="FP32")),
    sent(tensor("x", np.ones((1, 3), np.float32), datatype="FP32", binary=False), request_id="5"),
    (body_of(outputs=[{"name": "scores", "parameters": {"classification": 1}}]), None),
    (np.ones(3, np.float32).tobytes(), 0),
]


@given(
    st.sampled_from(BODIES),
    st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=4), st.integers(0, 4)), max_size=4),
    st.integers(-2, 2),
)
def test_any_damage_to_a_request_is_refused_or_read_as_the_model_s_inputs(body, damage, shift):
    data, length = bytearray(body[0]), body[1]
    for place, piece, count in damage:
        data[place : place + count] = piece
    if length:
        length = max(0, length + shift)
    try:
        got = read(bytes(data), length, VECTOR)
    except RequestError:
        return
    assert len(got.items) == got.known.call.rows <= SETTINGS.queue_capacity
    assert all((item.shape, item.dtype) == ((3,), FLOAT) and np.isfinite(item).all() for item in got.items)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "shape", "datatype", "data"]), inner)
    ),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "inputs": JSON
            | st.lists(
                st.fixed_dictionaries(
                    {"name": st.just("x") | JSON, "shape": JSON, "datatype": JSON, "data": JSON}
                )
            ),
            "id": JSON,
            "outputs": JSON,
            "parameters": JSON,
        },
    )
)
def test_any_json_is_refused_or_read(document):
    body = json.dumps(document).encode()
    try:
        call = read(body, None, VECTOR).known.call
    except RequestError:
        return
    assert math.prod(call.sources[0].shape) == call.rows * 3
