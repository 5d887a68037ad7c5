"""Triton's binary tensor data extension."""

import json

import pytest

from tailgate.conformance.server import HEADER_LENGTH, Server, same, taken_apart

clause = pytest.mark.clause
WHERE = "Binary Tensor Data Extension"


@pytest.fixture(autouse=True)
def _binary(server: Server) -> None:
    server.need("binary_tensor_data")


@clause(WHERE, "The binary data for a tensor is delivered in the HTTP body after the JSON object")
def test_binary_inputs_are_the_same_as_json(server: Server) -> None:
    inputs = server.tensors()
    assert same(server.ask_binary(inputs).outputs(), server.ask(inputs).outputs())


@clause(WHERE, "row major, without stride or padding between elements")
def test_a_batch_in_binary_is_the_same_as_in_json(server: Server) -> None:
    if not server.batches:
        pytest.skip("the model has no batch dimension")
    inputs = server.tensors(3)
    assert same(server.ask_binary(inputs).outputs(), server.ask(inputs).outputs())


@clause(WHERE, '"binary_data" : bool parameter that is true if the output should be returned as binary data')
def test_one_output_is_binary_where_that_is_asked(server: Server) -> None:
    name = server.output_names[0]
    got = server.ask(server.tensors(), outputs=[{"name": name, "parameters": {"binary_data": True}}])
    assert got.document["outputs"][0]["parameters"]["binary_data_size"] == len(got.tail)
    assert "data" not in got.document["outputs"][0]
    assert same(got.outputs(), server.ask(server.tensors(), outputs=[{"name": name}]).outputs())


@clause(
    WHERE,
    '"binary_data_output" : bool parameter that is true if all outputs should be returned as binary data',
)
def test_all_outputs_are_binary_where_that_is_asked(server: Server) -> None:
    got = server.ask(server.tensors(), parameters={"binary_data_output": True})
    assert all("binary_data_size" in output["parameters"] for output in got.document["outputs"])
    assert same(got.outputs(), server.ask(server.tensors()).outputs())


@clause(WHERE, 'If "binary_data" is specified on an output it overrides this setting.')
def test_one_output_may_be_json_among_binary_ones(server: Server) -> None:
    outputs = [{"name": server.output_names[0], "parameters": {"binary_data": False}}]
    got = server.ask(server.tensors(), outputs=outputs, parameters={"binary_data_output": True})
    assert "data" in got.document["outputs"][0]
    assert got.tail == b""


@clause(WHERE, "in the same order as the order of the input or output tensors are specified in the JSON")
def test_binary_inputs_may_come_in_any_order(server: Server) -> None:
    inputs = server.tensors(json_too=False)
    if len(inputs) < 2:
        pytest.skip("the model has one input")
    assert same(server.ask_binary(inputs[::-1]).outputs(), server.ask_binary(inputs).outputs())


@clause(WHERE, "The first parameter is used in $request_input, the second in $request_output")
def test_inputs_in_json_may_have_answers_in_binary(server: Server) -> None:
    inputs = server.tensors()
    binary = server.ask(inputs, parameters={"binary_data_output": True})
    assert same(binary.outputs(), server.ask_binary(inputs).outputs())


@clause(
    WHERE, '"binary_data_size" : int64 parameter indicating the size of the tensor binary data, in bytes.'
)
@pytest.mark.parametrize("change", [-1, 1])
def test_a_size_that_is_not_the_tensor_s_is_refused(server: Server, change: int) -> None:
    inputs = server.tensors()
    document = {"inputs": [tensor.in_binary() for tensor in inputs]}
    document["inputs"][0]["parameters"]["binary_data_size"] += change
    header = json.dumps(document).encode()
    body = b"".join((header, *(tensor.binary() for tensor in inputs)))
    server.refused(server.post(body, headers={HEADER_LENGTH: str(len(header))}))


@clause(WHERE, "Inference-Header-Content-Length gives the length of the JSON object")
def test_a_length_beyond_the_body_is_refused(server: Server) -> None:
    body = json.dumps({"inputs": [tensor.in_json() for tensor in server.tensors()]}).encode()
    server.refused(server.post(body, headers={HEADER_LENGTH: str(len(body) + 1000)}))


@clause(WHERE, "Inference-Header-Content-Length must be provided")
def test_binary_data_without_the_length_of_the_json_are_refused(server: Server) -> None:
    inputs = server.tensors()
    header = json.dumps({"inputs": [tensor.in_binary() for tensor in inputs]}).encode()
    server.refused(server.post(b"".join((header, *(tensor.binary() for tensor in inputs))), headers={}))


@clause(
    "Raw Binary Request",
    "Inference-Header-Content-Length 0 indicates that the request body doesn't include the header",
)
def test_a_raw_body_is_the_only_input_and_is_answered_in_binary(server: Server) -> None:
    inputs = server.tensors(json_too=False)
    if len(inputs) != 1 or inputs[0].datatype == "BYTES":
        pytest.skip("the model has several inputs, or one of BYTES")
    got = taken_apart(server.post(inputs[0].binary(), headers={HEADER_LENGTH: "0"}))
    assert all("binary_data_size" in output["parameters"] for output in got.document["outputs"])
    assert same(got.outputs(), server.ask_binary(inputs).outputs())


@clause(WHERE, "All tensor data types are representable as binary data in the native size of the data type.")
def test_half_precision_is_sent_as_binary_data(server: Server) -> None:
    inputs = server.tensors(json_too=False)
    if all(tensor.datatype != "FP16" for tensor in inputs):
        pytest.skip("the model has no input of FP16")
    server.ask_binary(inputs)
