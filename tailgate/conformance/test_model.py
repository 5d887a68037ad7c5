"""The model: metadata, readiness, versions."""

import pytest

from tailgate.conformance.server import DATATYPES, Server

clause = pytest.mark.clause
METADATA = "Model Metadata Response JSON Object"


@clause(METADATA, '"name" : The name of the model.')
def test_metadata_name_the_model(server: Server) -> None:
    assert server.metadata["name"] == server.model


@clause(METADATA, '"platform" : The framework/backend for the model.')
def test_metadata_name_the_platform(server: Server) -> None:
    assert isinstance(server.metadata["platform"], str)


@clause(METADATA, '"versions" : [ $string, ... ] #optional')
def test_versions_are_strings(server: Server) -> None:
    assert all(isinstance(version, str) for version in server.versions)


@pytest.mark.parametrize("side", ["inputs", "outputs"])
@clause(METADATA, "$metadata_tensor; Variable-size dimensions are specified as -1.")
def test_tensors_have_a_name_a_datatype_and_a_shape(server: Server, side: str) -> None:
    assert server.metadata[side]
    for tensor in server.metadata[side]:
        assert isinstance(tensor["name"], str)
        assert tensor["datatype"] in DATATYPES
        assert all(isinstance(length, int) and length >= -1 for length in tensor["shape"])


@clause("HTTP/REST", "Model Ready: GET v2/models/<model_name>[/versions/<model_version>]/ready")
def test_a_loaded_model_is_ready(server: Server) -> None:
    assert server.client.get(f"{server.path}/ready").status_code == 200


@clause("Model Ready Response JSON Object", '$ready_model_response = { "name" : $string, "ready": $bool }')
def test_readiness_of_a_model_is_a_json_object(server: Server) -> None:
    assert server.client.get(f"{server.path}/ready").json() == {"name": server.model, "ready": True}


@clause(
    "Model Metadata",
    '"versions" : The model versions that may be explicitly requested via the appropriate endpoint.',
)
def test_a_version_has_the_same_metadata(server: Server) -> None:
    answer = server.client.get(server.version_path())
    assert answer.status_code == 200
    assert answer.json()["inputs"] == server.metadata["inputs"]


@clause("Model Ready", "The model name and (optionally) version must be available in the URL.")
def test_a_version_is_ready(server: Server) -> None:
    assert server.client.get(f"{server.version_path()}/ready").status_code == 200


@clause(
    "Model Metadata",
    "A failed model metadata request must be indicated by an HTTP error status (typically 400).",
)
def test_an_unknown_version_is_an_error(server: Server) -> None:
    server.version_path()
    server.refused(server.client.get(f"{server.path}/versions/987654"))
