"""Answers to inference requests, read by tritonclient's own decoder; content codings; the older protocol; addresses; pages."""

import base64
import gzip
import json
import zlib

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from tritonclient.http import InferResult

from tailgate.service.codec.intent import infer_head
from tailgate.service.codec.oip import codings, first_version, pages, reply
from tailgate.service.codec.oip.call import Call, Wanted
from tailgate.service.codec.oip.datatypes import NUMPY
from tailgate.service.codec.oip.paths import Address, address_of, require_model
from tailgate.service.codec.oip.reply import classified
from tailgate.service.errors import BadInput, Encoded, RequestError, TooLarge, UnknownModel, WrongShape
from tailgate.service.metrics import Metrics
from tailgate.service.models import ImageInput, TensorSpec
from tailgate.service.models.items import Result
from tailgate.service.models.spec import NamedTensor, Served

# What the graph answers in: half precision is widened there.
ANSWERED = sorted(set(NUMPY) - {"FP16"})
ITEM = TensorSpec((2,), np.dtype(np.int64))


def served(*outputs, labels=None, image=None, inputs=()):
    named = tuple(
        NamedTensor(f"out{number}", TensorSpec(np.shape(row), row.dtype))
        for number, row in enumerate(outputs)
    )
    return Served("m", ITEM, labels, image, inputs, named)


def call(rows, *wanted, **members):
    return Call(rows, (), wanted, 0, **members)


def result_of(*rows):
    return Result(rows[0], [], [], rows[1:])


def decoded(written):
    return InferResult.from_response_body(written.body, header_length=written.header_length)


@given(st.data())
@pytest.mark.parametrize("datatype", ANSWERED)
def test_tritonclient_reads_what_was_written_in_either_form(datatype, data):
    dtype = NUMPY[datatype]
    elements = {"allow_nan": False, "allow_infinity": False} if dtype.kind == "f" else None
    side = st.integers(1, 4)
    shapes = st.tuples(side) | st.tuples(side, side)
    array = data.draw(shapes.flatmap(lambda shape: npst.arrays(dtype, shape, elements=elements)))
    binary = data.draw(st.booleans())
    model = served(array[0])
    results = [result_of(row) for row in array]
    written = reply.reply_body(call(len(array), Wanted(0, binary=binary)), results, model)
    assert (written.header_length is not None) == binary
    got = decoded(written).as_numpy("out0")
    assert (got.dtype, got.shape) == (dtype, array.shape)
    assert np.array_equal(got, array)
    assert decoded(written).get_response()["model_name"] == "m"


@given(st.integers(1, 4), st.booleans())
def test_an_answer_in_its_frame_is_the_answer_and_outputs_of_other_sizes_have_none(rows, several):
    first, second = np.arange(8, dtype=np.float32).reshape(4, 2), np.arange(4)
    model = served(first[0], second[0])
    wanted = (Wanted(1, binary=True), Wanted(0, binary=True)) if several else (Wanted(0, binary=True),)
    asked = call(rows, *wanted, parameters={"mine": 1})
    results = [result_of(first[row], second[row]) for row in range(rows)]
    frame = reply.frame_of(asked, model)
    whole = reply.reply_body(asked, results, model)
    assert reply.framed(frame, asked, results) == whole.body
    assert frame.header == whole.body[: whole.header_length]
    assert reply.framed(frame, asked, [result_of(np.zeros(3, np.float32), np.int64(0))] * rows) is None
    assert reply.frame_of(call(rows, Wanted(0, binary=False)), model) is None


def test_several_outputs_stand_in_the_order_in_which_they_are_asked_for():
    first, second = np.arange(6, dtype=np.float32).reshape(2, 3), np.array([7, 8])
    results = [result_of(*rows) for rows in zip(first, second, strict=True)]
    wanted = Wanted(1, binary=True), Wanted(0, binary=True)
    got = decoded(
        reply.reply_body(
            call(2, *wanted, id="9", parameters={"mine": 1}), results, served(first[0], second[0])
        )
    )
    assert [output["name"] for output in got.get_response()["outputs"]] == ["out1", "out0"]
    assert np.array_equal(got.as_numpy("out0"), first)
    assert np.array_equal(got.as_numpy("out1"), second)
    assert got.get_response()["id"] == "9"
    assert got.get_response()["parameters"] == {"mine": 1}


def test_forms_may_be_mixed_and_binary_data_follow_the_json_in_order():
    rows = np.array([[1.0, 2.0]], np.float32), np.array([[3, 4, 5]])
    written = reply.reply_body(
        call(1, Wanted(0, binary=False), Wanted(1, binary=True)),
        [result_of(*(row[0] for row in rows))],
        served(*(r[0] for r in rows)),
    )
    document = json.loads(written.body[: written.header_length])
    assert document["outputs"][0] == {"name": "out0", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 2.0]}
    assert written.body[written.header_length :] == rows[1].tobytes()


@given(
    npst.arrays(st.sampled_from(["f4", "i8", "u1", "?"]), st.integers(1, 9), elements=None),
    st.integers(1, 12),
)
def test_classes_are_the_largest_values_of_the_output_and_equal_ones_stand_in_their_order(row, count):
    if row.dtype.kind == "f":
        row = np.nan_to_num(row, posinf=1, neginf=-1)
    got = [text.decode().split(":") for text in classified(row, count, None)]
    order = sorted(range(len(row)), key=lambda index: (-float(row[index]), index))[:count]
    assert [int(index) for _, index in got] == order


@pytest.mark.parametrize("binary", [True, False])
def test_classification_has_triton_s_form_with_labels_where_each_value_has_one(binary):
    rows = np.array([[1.1, 3.3, 0.5, 2.4], [4, 1, 2, 3]], np.float32)
    results = [result_of(row) for row in rows]
    wanted = Wanted(0, binary=binary, classes=2)
    plain = decoded(reply.reply_body(call(2, wanted), results, served(rows[0])))
    assert plain.get_output("out0")["datatype"] == "BYTES"
    assert [_text(each) for each in plain.as_numpy("out0").ravel()] == [
        "3.300000:1",
        "2.400000:3",
        "4.000000:0",
        "3.000000:3",
    ]
    labelled = decoded(
        reply.reply_body(call(2, wanted), results, served(rows[0], labels=("a", "b", "c", "d")))
    )
    assert labelled.as_numpy("out0").shape == (2, 2)
    assert _text(labelled.as_numpy("out0")[0, 0]) == "3.300000:1:b"
    assert classified(np.array([3, 9]), 5, None) == [b"9:1", b"3:0"]


def _text(value):
    return value.decode() if isinstance(value, bytes) else value


def test_large_answers_are_written_in_a_thread_and_small_ones_are_not():
    small, large = Result(np.zeros(10, np.float32), [], []), Result(np.zeros(5000, np.float32), [], [])
    binary, text = Wanted(0, binary=True), Wanted(0, binary=False)
    assert [
        reply.takes_long(call(1, wanted), [result]) for wanted in (binary, text) for result in (small, large)
    ] == [
        False,
        False,
        False,
        True,
    ]
    assert reply.takes_long(call(2, binary), [Result(np.zeros(2**20, np.float32), [], [])] * 2)


# Content codings.


@given(st.binary(max_size=3000), st.sampled_from([codings.GZIP, codings.DEFLATE]))
def test_a_body_is_packed_and_unpacked_and_others_understand_both(body, coding):
    other = gzip if coding == codings.GZIP else zlib
    assert codings.decoded(codings.encoded(body, coding), coding, 3000) == body
    assert other.decompress(codings.encoded(body, coding)) == body
    assert codings.decoded(other.compress(body), coding, 3000) == body


@pytest.mark.parametrize("coding", [codings.GZIP, codings.DEFLATE])
def test_a_small_body_that_unpacks_to_more_than_the_limit_is_refused_without_its_bytes(coding):
    bomb = codings.encoded(bytes(10_000_000), coding)
    with pytest.raises(TooLarge, match="more than 1000 bytes when it is unpacked"):
        codings.decoded(bomb, coding, 1000)
    exact = codings.encoded(bytes(1000), coding)
    assert len(codings.decoded(exact, coding, 1000)) == 1000
    for damaged in (exact[:-1], exact + b"x", exact + exact, b"", b"not packed"):
        with pytest.raises(BadInput):
            codings.decoded(damaged, coding, 1000)


@given(st.binary(max_size=200), st.sampled_from([codings.GZIP, codings.DEFLATE]))
def test_any_bytes_unpack_or_are_refused(body, coding):
    try:
        codings.decoded(body, coding, 1000)
    except RequestError:
        return


@pytest.mark.parametrize(
    ("value", "coding"),
    [
        (b"", None),
        (b"identity", None),
        (b"gzip", b"gzip"),
        (b"X-GZIP", b"gzip"),
        (b" deflate ", b"deflate"),
        (b"br", Encoded),
        (b"gzip, gzip", Encoded),
        (b"gzip, deflate", Encoded),
        (b"identity, gzip", b"gzip"),
    ],
)
def test_one_known_coding_of_a_body_is_taken_and_any_other_is_refused_with_those_that_are(value, coding):
    headers = [(b"content-encoding", value)]
    if coding is Encoded:
        with pytest.raises(Encoded, match="expected gzip or deflate") as refusal:
            infer_head(headers, first=False)
        assert (b"accept-encoding", b"gzip, deflate") in refusal.value.headers()
    else:
        assert infer_head(headers, first=False).coding == coding


@pytest.mark.parametrize(
    ("value", "coding"),
    [
        (None, None),
        (b"", None),
        (b"identity", None),
        (b"br, zstd", None),
        (b"gzip", b"gzip"),
        (b"gzip, deflate, br", b"gzip"),
        (b"deflate", b"deflate"),
        (b"gzip;q=0.2, deflate;q=0.8", b"deflate"),
        (b"gzip;q=0, deflate;q=0", None),
        (b"*", b"gzip"),
        (b"*;q=0", None),
        (b"gzip;q=0, *", b"deflate"),
        (b"gzip;q=much", None),
        (b"gzip;level=1;q=0, deflate;level=9", b"deflate"),
    ],
)
def test_the_answer_s_coding_is_the_one_that_the_client_likes_best(value, coding):
    headers = [] if value is None else [(b"accept-encoding", value)]
    assert infer_head(headers, first=False).accepted == coding


@pytest.mark.parametrize("value", [b"-1", b"1.5", b"", b"x", b"1" * 30])
def test_a_length_of_the_json_that_is_no_number_is_refused(value):
    with pytest.raises(BadInput, match="Inference-Header-Content-Length: expected a number of bytes"):
        infer_head([(b"inference-header-content-length", value)], first=False)


def test_two_lengths_of_the_json_are_refused_unless_they_agree():
    name = b"inference-header-content-length"
    assert infer_head([(name, b"5"), (name, b"5")], first=False).header_length == 5
    with pytest.raises(BadInput, match="expected one value, got several"):
        infer_head([(name, b"5"), (name, b"6")], first=False)


# KServe's first version.

VECTOR = Served(
    "m",
    TensorSpec((2,), np.dtype(np.float32)),
    None,
    None,
    (),
    (NamedTensor("o", TensorSpec((1,), np.dtype("f4"))),),
)
PHOTOS = Served("m", ImageInput(4).spec, None, ImageInput(4), (), VECTOR.outputs)
PAIR = Served(
    "m",
    TensorSpec((16,), np.dtype(np.uint8)),
    None,
    None,
    (
        NamedTensor("a", TensorSpec((2,), np.dtype(np.float32))),
        NamedTensor("b", TensorSpec((), np.dtype(np.int64))),
    ),
    (*VECTOR.outputs, NamedTensor("p", TensorSpec((), np.dtype(np.int64)))),
)


def first_call(document, model):
    return first_version.call_from(json.dumps(document).encode(), model, 8)


def test_instances_are_items_and_predictions_their_outputs():
    got = first_call({"instances": [[1, 2], [3, 4]]}, VECTOR)
    assert (got.rows, got.sources[0].shape, got.sources[0].data) == (2, (2, 2), [[1, 2], [3, 4]])
    written = first_version.reply_body(got, [result_of(np.array([x], np.float32)) for x in (1, 2)], VECTOR)
    assert json.loads(written.body) == {"predictions": [[1.0], [2.0]]}


def test_instances_of_several_inputs_are_objects_and_so_are_their_predictions():
    got = first_call({"instances": [{"a": [1, 2], "b": 3}]}, PAIR)
    assert [source.data for source in got.sources] == [[[1, 2]], [3]]
    written = first_version.reply_body(got, [result_of(np.array([1], np.float32), np.int64(7))], PAIR)
    assert json.loads(written.body) == {"predictions": [{"o": [1.0], "p": 7}]}


@pytest.mark.parametrize("wrapped", [False, True])
def test_instances_may_be_pictures_in_base64(wrapped):
    text = base64.b64encode(b"picture").decode()
    picture = {"b64": text}
    got = first_call({"instances": [{"image_bytes": picture} if wrapped else picture]}, PHOTOS)
    assert (got.pictures, got.sources[0].data) == (True, [text])


@pytest.mark.parametrize(
    ("document", "model", "kind", "told"),
    [
        ([], VECTOR, BadInput, "expected a JSON object"),
        ({"instances": 1}, VECTOR, BadInput, "expected a JSON object"),
        ({"instances": []}, VECTOR, WrongShape, "instances: expected 1 to 8, got 0"),
        ({"instances": [[1, 2]] * 9}, VECTOR, WrongShape, "instances: expected 1 to 8, got 9"),
        ({"instances": [{"a": [1, 2]}]}, PAIR, WrongShape, "expected an object of ['a', 'b'] for each item"),
        ({"instances": [[1, 2]]}, PAIR, WrongShape, "expected an object of ['a', 'b'] for each item"),
        ({"instances": [{"y": [1, 2]}]}, VECTOR, WrongShape, "expected an object of ['input'] for each item"),
    ],
)
def test_instances_that_are_none_are_refused(document, model, kind, told):
    with pytest.raises(kind) as refusal:
        first_call(document, model)
    assert told in str(refusal.value)


# Addresses and pages.


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("/v2/models/m", ("m", None, "")),
        ("/v2/models/m/", ("m", None, "")),
        ("/v2/models/m/infer", ("m", None, "infer")),
        ("/v2/models/m/versions/1/infer", ("m", "1", "infer")),
        ("/v2/models/m/versions/1", ("m", "1", "")),
        ("/v2/models/torchvision:resnet18/ready", ("torchvision:resnet18", None, "ready")),
        ("/v2/models/a/b/config", ("a/b", None, "config")),
        ("/v2/models/m/versions/1/stats", ("m", "1", "stats")),
        ("/v2/models/", None),
        ("/v2/health/ready", None),
        ("/predict", None),
    ],
)
def test_a_path_names_a_model_a_version_and_what_is_asked(path, address):
    got = address_of(path)
    assert (got and got[:3]) == address


def test_paths_of_the_first_version_name_a_model_and_its_verb():
    assert address_of("/v1/models/m:predict") == ("m", None, "infer", True)
    assert address_of("/v1/models/a:b:predict") == ("a:b", None, "infer", True)
    assert address_of("/v1/models/m") == ("m", None, "", True)


def test_another_model_or_version_is_refused_and_none_is_any():
    for version in (None, "", "1"):
        require_model(Address("m", version, ""), "m")
    with pytest.raises(UnknownModel, match="unknown model 'n'; this service has one, 'm'"):
        require_model(Address("n", None, ""), "m")
    with pytest.raises(UnknownModel, match="unknown version '2' of 'm'; there is one, '1'"):
        require_model(Address("m", "2", ""), "m")


def test_metadata_and_configuration_say_the_same_of_each_tensor():
    metadata, config = pages.model(PAIR), pages.config(PAIR, 8, 0.002)
    assert metadata["inputs"] == [
        {"name": "a", "datatype": "FP32", "shape": [-1, 2]},
        {"name": "b", "datatype": "INT64", "shape": [-1]},
    ]
    for told, configured in ((metadata["inputs"], config["input"]), (metadata["outputs"], config["output"])):
        assert [
            {"name": each["name"], "data_type": f"TYPE_{each['datatype']}", "dims": each["shape"][1:]}
            for each in told
        ] == configured
    assert config["max_batch_size"] == 8
    assert config["dynamic_batching"] == {"max_queue_delay_microseconds": 2000}
    assert pages.config(PAIR, 8, None)["dynamic_batching"] == {}


def test_statistics_count_items_batches_and_nanoseconds():
    metrics = Metrics((), 8, list)
    metrics.note_batch(3, 0.5, 100.25)
    metrics.note_batch(3, 0.5, 100.5)
    metrics.note_batch(1, 0.25, 101.0)
    (stats,) = pages.stats(VECTOR, metrics)["model_stats"]
    assert (stats["inference_count"], stats["execution_count"], stats["last_inference"]) == (7, 3, 101_000)
    assert stats["inference_stats"]["compute_infer"] == {"count": 7, "ns": 3_250_000_000}
    assert [(each["batch_size"], each["compute_infer"]) for each in stats["batch_stats"]] == [
        (1, {"count": 1, "ns": 250_000_000}),
        (3, {"count": 2, "ns": 1_000_000_000}),
    ]
    assert orjson.loads(orjson.dumps(pages.server("1.0")))["extensions"] == list(pages.EXTENSIONS)
