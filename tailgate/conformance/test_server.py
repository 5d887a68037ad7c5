"""The server itself: health, metadata, and what it does not know."""

import pytest

from tailgate.conformance.server import Server

clause = pytest.mark.clause
ERROR = "Inference Response JSON Error Object"


@clause("HTTP/REST", "Server Live: GET v2/health/live")
def test_a_live_server_answers_200(server: Server) -> None:
    assert server.client.get("/v2/health/live").status_code == 200


@clause("HTTP/REST", "Server Ready: GET v2/health/ready")
def test_a_ready_server_answers_200(server: Server) -> None:
    assert server.client.get("/v2/health/ready").status_code == 200


@clause("Server Live Response JSON Object", '$live_server_response = { "live" : $bool }')
def test_liveness_is_a_json_object(server: Server) -> None:
    assert server.client.get("/v2/health/live").json()["live"] is True


@clause("Server Ready Response JSON Object", '$ready_server_response = { "live" : $bool }')
def test_readiness_is_a_json_object(server: Server) -> None:
    document = server.client.get("/v2/health/ready").json()
    # The specification repeats the member of liveness here; servers also call it "ready".
    assert True in (document.get("live"), document.get("ready"))


@clause("Server Metadata", "A successful server metadata request is indicated by a 200 HTTP status code.")
def test_server_metadata_are_names_and_extensions(server: Server) -> None:
    answer = server.client.get("/v2")
    assert answer.status_code == 200
    document = answer.json()
    assert isinstance(document["name"], str)
    assert isinstance(document["version"], str)
    assert all(isinstance(extension, str) for extension in document["extensions"])


@clause(
    "Model Metadata",
    "A failed model metadata request must be indicated by an HTTP error status (typically 400).",
)
def test_metadata_of_an_unknown_model_are_an_error(server: Server) -> None:
    server.refused(server.client.get("/v2/models/no-such-model-anywhere"))


@clause(ERROR, "The HTTP body must contain the $inference_error_response object.")
def test_inference_by_an_unknown_model_is_an_error(server: Server) -> None:
    server.refused(server.post(b'{"inputs": []}', "/v2/models/no-such-model-anywhere/infer"))


@clause("Model Ready", "The model ready health API indicates if a specific model is ready for inferencing.")
def test_an_unknown_model_is_not_ready(server: Server) -> None:
    assert server.client.get("/v2/models/no-such-model-anywhere/ready").status_code >= 400
