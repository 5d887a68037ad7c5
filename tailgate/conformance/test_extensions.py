"""Triton's other extensions that a server may list: classification, configuration, statistics, repository, scheduling."""

import time
from typing import Any

import numpy as np
import pytest

from tailgate.conformance.server import Json, Server, same

clause = pytest.mark.clause
PATIENCE_S, LOOK_S = 10.0, 0.1
CLASSIFICATION, STATISTICS = "Classification Extension", "Statistics Extension"


def _classes(server: Server, count: int) -> tuple[Json, Any, Any]:
    """Return the first output as classes: as described, its texts, and the tensor itself."""
    server.need("classification")
    inputs, name = server.tensors(), server.output_names[0]
    values = server.ask(inputs, outputs=[{"name": name}]).outputs()[name]
    got = server.ask(inputs, outputs=[{"name": name, "parameters": {"classification": count}}])
    return got.document["outputs"][0], got.outputs()[name], values


@clause(CLASSIFICATION, "type BYTES with shape [ batch-size, <count> ]")
def test_classes_are_byte_strings_one_row_per_item(server: Server) -> None:
    described, texts, values = _classes(server, 1)
    assert described["datatype"] == "BYTES"
    expected = [len(values), 1] if server.batches else [1]
    assert list(texts.shape) == expected


@clause(CLASSIFICATION, "<value>:<index>[:<label>], the n highest-valued elements in the output tensor")
def test_classes_are_the_highest_values(server: Server) -> None:
    _, texts, values = _classes(server, 2)
    flat = values.reshape(-1)
    for text in texts.reshape(-1):
        value, index = text.split(":")[:2]
        assert float(value) == pytest.approx(float(flat[int(index)]), rel=1e-3, abs=1e-5)
    highest = np.sort(flat)[::-1][: texts.size]
    assert [float(text.split(":")[0]) for text in texts.reshape(-1)] == pytest.approx(
        highest.tolist(), rel=1e-3, abs=1e-5
    )


@clause("Model Configuration Extension", "GET v2/models/${MODEL_NAME}[/versions/${MODEL_VERSION}]/config")
def test_the_configuration_has_the_tensors_of_the_metadata(server: Server) -> None:
    server.need("model_configuration")
    config = server.client.get(f"{server.path}/config").json()
    assert config["name"] == server.model
    assert isinstance(config["max_batch_size"], int)
    for told, configured in (("inputs", "input"), ("outputs", "output")):
        names = [tensor["name"] for tensor in server.metadata[told]]
        assert [tensor["name"] for tensor in config[configured]] == names


@clause(
    "Model Configuration Extension",
    "A failed model configuration request must be indicated by an HTTP error status",
)
def test_the_configuration_of_an_unknown_model_is_an_error(server: Server) -> None:
    server.need("model_configuration")
    server.refused(server.client.get("/v2/models/no-such-model-anywhere/config"))


def _stats(server: Server, path: str) -> Json:
    server.need("statistics")
    (stats,) = [
        each for each in server.client.get(path).json()["model_stats"] if each["name"] == server.model
    ]
    return dict(stats)


def _counted(server: Server, rows: int) -> tuple[Json, Json]:
    """Return the statistics before and after a batch. No clause says that an answer is counted before it is sent."""
    before = _at_rest(server)
    server.ask(server.tensors(rows))
    end_s = time.monotonic() + PATIENCE_S
    while (after := _at_rest(server)) == before and time.monotonic() < end_s:
        pass
    return before, after


def _at_rest(server: Server) -> Json:
    """Return statistics that have not changed between two looks."""
    end_s = time.monotonic() + PATIENCE_S
    stats = _stats(server, f"{server.path}/stats")
    while time.monotonic() < end_s:
        time.sleep(LOOK_S)
        earlier, stats = stats, _stats(server, f"{server.path}/stats")
        if stats == earlier:
            break
    return stats


@clause(STATISTICS, "GET v2/models[/${MODEL_NAME}[/versions/${MODEL_VERSION}]]/stats")
@pytest.mark.parametrize("path", ["/v2/models/stats", "{model}/stats"])
def test_statistics_are_counts_and_nanoseconds(server: Server, path: str) -> None:
    stats = _stats(server, path.format(model=server.path))
    for name in ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output"):
        duration = stats["inference_stats"][name]
        assert all(isinstance(duration[member], int) and duration[member] >= 0 for member in ("count", "ns"))


@clause(
    STATISTICS,
    '"inference_count" : Each inference in a batched request is counted as an individual inference.',
)
def test_each_item_of_a_batch_is_an_inference(server: Server) -> None:
    rows = 3 if server.batches else 1
    before, after = _counted(server, rows)
    assert after["inference_count"] - before["inference_count"] == rows
    assert 1 <= after["execution_count"] - before["execution_count"] <= rows


@clause(STATISTICS, '"success" : The count and cumulative duration for all successful inference requests.')
def test_a_batch_is_one_successful_request(server: Server) -> None:
    before, after = (
        each["inference_stats"]["success"] for each in _counted(server, 3 if server.batches else 1)
    )
    assert after["count"] - before["count"] == 1
    assert after["ns"] > before["ns"]


@clause("Model Repository Extension", "The index API returns information about every model available")
def test_the_index_lists_the_model(server: Server) -> None:
    server.need("model_repository")
    index = server.client.post("/v2/repository/index", json={}).json()
    assert server.model in [model["name"] for model in index]


@clause(
    "Schedule Policy Extension",
    '"timeout" : int64 value indicating the timeout value for the request, in microseconds.',
)
def test_a_long_timeout_changes_nothing(server: Server) -> None:
    server.need("schedule_policy")
    assert same(
        server.ask(server.tensors(), parameters={"timeout": 60_000_000}).outputs(),
        server.ask(server.tensors()).outputs(),
    )
