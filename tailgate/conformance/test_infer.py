"""Inference with tensors in JSON."""

import json
import math

import httpx
import numpy as np
import pytest

from tailgate.conformance.server import Json, Server, same

clause = pytest.mark.clause
RESPONSE = "Inference Response JSON Object"
REQUEST = "Inference Request JSON Object"
ERROR = "Inference Response JSON Error Object"


@clause(RESPONSE, "A successful inference request is indicated by a 200 HTTP status code.")
def test_the_answer_has_the_model_and_every_output_with_name_shape_datatype_and_data(server: Server) -> None:
    document = server.ask(server.tensors()).document
    assert document["model_name"] == server.model
    for output in document["outputs"]:
        assert set(output) >= {"name", "shape", "datatype", "data"}
        assert np.size(output["data"]) == math.prod(output["shape"])


@clause(RESPONSE, '"model_version" : $string #optional')
def test_the_version_of_the_answer_is_one_of_the_metadata(server: Server) -> None:
    version = server.ask(server.tensors()).document.get("model_version")
    if version is None:
        pytest.skip("the answer names no version")
    assert version in server.versions


@clause("Inference Request Examples", "Content-Type: application/json")
def test_an_answer_in_json_says_that_it_is(server: Server) -> None:
    assert server.ask(server.tensors()).response.headers["content-type"].startswith("application/json")


@clause(REQUEST, '"id" : if specified this identifier must be returned in the response.')
def test_the_id_comes_back(server: Server) -> None:
    assert server.ask(server.tensors(), id="conformance-42").document["id"] == "conformance-42"


@clause(REQUEST, '"id" : An identifier for this request. Optional')
def test_no_id_is_needed(server: Server) -> None:
    assert server.ask(server.tensors()).document.get("id", "") == ""


@clause(REQUEST, '"outputs" : if not specified all outputs produced by the model will be returned')
def test_all_outputs_come_where_none_is_named(server: Server) -> None:
    assert sorted(server.ask(server.tensors()).outputs()) == sorted(server.output_names)


@clause(REQUEST, '"outputs" : The output tensors requested for this inference.')
def test_only_the_named_outputs_come(server: Server) -> None:
    for name in server.output_names:
        assert list(server.ask(server.tensors(), outputs=[{"name": name}]).outputs()) == [name]


@clause(RESPONSE, '"datatype" : The data-type of the output tensor elements')
def test_outputs_have_the_datatype_and_shape_of_the_metadata(server: Server) -> None:
    told = {output["name"]: output for output in server.metadata["outputs"]}
    for output in server.ask(server.tensors()).document["outputs"]:
        expected = told[output["name"]]
        assert output["datatype"] == expected["datatype"]
        assert len(output["shape"]) == len(expected["shape"])
        assert all(want in (-1, got) for want, got in zip(expected["shape"], output["shape"], strict=True))


@clause(
    "Tensor Data",
    "in their nature multi-dimensional representation, or as a flattened one-dimensional representation",
)
def test_nested_and_flat_data_are_the_same(server: Server) -> None:
    inputs = server.tensors()
    assert same(server.ask(inputs).outputs(), server.ask(inputs, flat=False).outputs())


@clause(
    "Request Input",
    "If the input is batched, the shape and data must represent the full shape and contents of the entire batch.",
)
def test_a_batch_is_answered_item_by_item(server: Server) -> None:
    if not server.batches:
        pytest.skip("the model has no batch dimension")
    inputs = server.tensors(3)
    together = server.ask(inputs).outputs()
    for row in range(3):
        alone = server.ask([tensor.row(row) for tensor in inputs]).outputs()
        assert same({name: array[row : row + 1] for name, array in together.items()}, alone)


@clause("HTTP/REST", "Inference: POST v2/models/<model_name>[/versions/<model_version>]/infer")
def test_a_version_can_be_asked(server: Server) -> None:
    path = f"{server.version_path()}/infer"
    assert same(server.ask(server.tensors(), path).outputs(), server.ask(server.tensors()).outputs())


@clause("Inference", "The model name and (optionally) version must be available in the URL.")
def test_an_unknown_version_cannot_be_asked(server: Server) -> None:
    body = json.dumps({"inputs": [tensor.in_json() for tensor in server.tensors()]}).encode()
    server.refused(server.post(body, f"{server.path}/versions/987654/infer"))


@clause("Parameters", "a parameter's value is a $string, $number, or $boolean")
def test_parameters_of_one_s_own_are_taken(server: Server) -> None:
    server.ask(server.tensors(), parameters={"text": "a", "number": 5, "flag": True})


@clause(REQUEST, "the inference request object is required in the HTTP body of the POST request")
def test_other_members_mean_nothing(server: Server) -> None:
    assert same(server.ask(server.tensors(), comment="a").outputs(), server.ask(server.tensors()).outputs())


# What is changed in the first input; a member that is None is left out.
WRONG: dict[str, Json] = {
    "an unknown input": {"name": "no-such-input"},
    "an unknown datatype": {"datatype": "FLOAT"},
    "a shape of another rank": {"shape": [1, 1, 1, 1, 1, 1, 1]},
    "a negative side": {"shape": [-1]},
    "no elements": {"data": []},
    "no data": {"data": None},
    "no name": {"name": None},
    "no shape": {"shape": None},
    "no datatype": {"datatype": None},
}
BODIES = {
    "no JSON": b"{",
    "no object": b"[]",
    "no inputs": b"{}",
    "none of the inputs": b'{"inputs": []}',
}
UNKNOWN_OUTPUT = "an unknown output"


def _wrong(server: Server, what: str) -> httpx.Response:
    if what in BODIES:
        return server.post(BODIES[what])
    inputs = [tensor.in_json() for tensor in server.tensors()]
    changed = inputs[0] | WRONG.get(what, {})
    inputs[0] = {member: value for member, value in changed.items() if value is not None}
    outputs = {"outputs": [{"name": "no-such-output"}]} if what == UNKNOWN_OUTPUT else {}
    return server.post(json.dumps({"inputs": inputs, **outputs}).encode())


@pytest.mark.parametrize("what", [*BODIES, *WRONG, UNKNOWN_OUTPUT])
@clause(ERROR, "must be indicated by an HTTP error status; the HTTP body must contain the error object")
def test_a_wrong_request_is_refused_in_the_form_of_the_protocol(server: Server, what: str) -> None:
    server.refused(_wrong(server, what))


@pytest.mark.parametrize("what", [*BODIES, *WRONG, UNKNOWN_OUTPUT])
@clause(
    "RFC 9110, section 15.5", "The 4xx class of status code indicates that the client seems to have erred"
)
def test_a_wrong_request_is_the_client_s_fault(server: Server, what: str) -> None:
    assert 400 <= _wrong(server, what).status_code < 500
