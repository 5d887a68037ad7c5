"""Schemathesis reads the OpenAPI document and sends what it allows, and what it does not, to both edges of the service."""

import pytest
import schemathesis
from edges import two_edges
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tailgate.service.http.app import create_app
from tailgate.service.settings import load_settings

# Read here and not in a fixture: each operation is a test of its own.
schema = schemathesis.openapi.from_dict(create_app(load_settings({})).openapi())
LEFT_OUT = [
    # No schema can say which bytes are a photograph, or how many the model of the day takes.
    positive_data_acceptance,
    # It holds against all from 500 on; 504 is what a request gets that asks for its answer within a microsecond.
    not_a_server_error,
]


@pytest.fixture(scope="module")
def edges():
    with pytest.MonkeyPatch.context() as monkeypatch, two_edges(monkeypatch) as edges:
        yield edges


@schema.parametrize()
@settings(
    max_examples=40, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
def test_the_service_does_what_its_document_says_on_both_edges(case, edges):
    for host, port in edges.both():
        answer = case.call_and_validate(base_url=f"http://{host}:{port}", excluded_checks=LEFT_OUT)
        assert answer.status_code < 500 or answer.status_code == 504, answer.text
