"""``oip:`` asks a server of the Open Inference Protocol what its model takes, and sends that; what it cannot tell is said."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import orjson
import pytest

from tailgate.harness.errors import TargetError, UsageError
from tailgate.harness.load.payloads import Payloads, told_by
from tailgate.harness.scenario.payloads.inference import COUNT, HEADER_LENGTH, tensor_payloads
from tailgate.harness.scenario.payloads.sources import built_in_payloads
from tailgate.harness.target.settings import TargetSettings
from tailgate.harness.target.spec import UrlTarget

PIXELS = {"name": "photo", "datatype": "UINT8", "shape": [-1, 2, 3]}
WEIGHT = {"name": "weight", "datatype": "FP32", "shape": [-1]}
MODEL = {"name": "a model", "inputs": [PIXELS, WEIGHT], "outputs": []}
PAGES = {
    ("POST", "/v2/repository/index"): [{"name": "a model"}],
    ("GET", "/v2"): {"extensions": ["binary_tensor_data"]},
    ("GET", "/v2/models/a%20model"): MODEL,
}


class Pages(BaseHTTPRequestHandler):
    """Answers with the pages of its server, and 404 where there is none."""

    def do_GET(self):
        self.server.asked.append(self.path)
        page = self.server.pages.get((self.command, self.path))
        body = b"nothing" if page is None else json.dumps(page).encode()
        self.send_response(404 if page is None else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.do_GET()

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def running(tmp_path):
    """Return a target that answers with PAGES, which a test may change, and what it was asked."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        server.pages, server.asked = dict(PAGES), []
        thread = Thread(target=server.serve_forever)
        thread.start()
        settings = TargetSettings(readiness_path=None, metrics_path=None)
        target = UrlTarget(f"http://127.0.0.1:{server.server_port}", settings)
        yield target.start(tmp_path), server
        server.shutdown()
        thread.join()


def test_a_server_s_metadata_make_its_tensors(running):
    target, _ = running
    payloads = told_by(target, "")
    assert [payload.name for payload in payloads] == [f"oip-{index}" for index in range(COUNT)]
    assert {payload.path for payload in payloads} == {"/v2/models/a%20model/infer"}
    assert len({payload.body for payload in payloads}) == COUNT
    (length,) = {dict(payload.headers)[HEADER_LENGTH] for payload in payloads}
    header, tail = payloads[0].body[: int(length)], payloads[0].body[int(length) :]
    photo, weight = orjson.loads(header)["inputs"]
    assert (photo["shape"], photo["parameters"]) == ([1, 2, 3], {"binary_data_size": 6})
    assert (weight["shape"], weight["parameters"]) == ([1], {"binary_data_size": 4})
    assert len(tail) == 10


def test_a_server_without_binary_data_gets_json(running):
    target, server = running
    server.pages["GET", "/v2"] = {"extensions": []}
    (payload, *_) = told_by(target, "a model")
    assert payload.content_type == "application/json"
    photo, weight = json.loads(payload.body)["inputs"]
    assert len(photo["data"]) == 6
    assert isinstance(weight["data"][0], float)
    assert server.asked == ["/v2", "/v2/models/a%20model"]


@pytest.mark.parametrize(
    ("datatype", "kind"),
    [("BOOL", "b"), ("INT8", "i"), ("UINT64", "u"), ("FP16", "f"), ("FP64", "f")],
)
def test_every_type_of_numbers_is_made(datatype, kind):
    metadata = {"name": "m", "inputs": [{"name": "x", "datatype": datatype, "shape": [-1, -1, 4]}]}
    (payload, *_) = tensor_payloads(metadata, binary=True)
    header = payload.body[: int(dict(payload.headers)[HEADER_LENGTH])]
    (given,) = orjson.loads(header)["inputs"]
    assert given["shape"] == [1, 1, 4]
    size = given["parameters"]["binary_data_size"]
    assert np.dtype(f"{kind}{size // 4}").itemsize * 4 == size


@pytest.mark.parametrize(("datatype", "binary"), [("BYTES", True), ("BF16", True), ("FP16", False)])
def test_a_type_that_is_not_made_is_refused_with_the_input(datatype, binary):
    metadata = {"name": "m", "inputs": [{"name": "x", "datatype": datatype, "shape": [1]}]}
    with pytest.raises(UsageError, match=f"payloads oip: input 'x' is {datatype}, which is not made"):
        tensor_payloads(metadata, binary=binary)


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        (("POST", "/v2/repository/index"), "POST /v2/repository/index: expected JSON .*, got 404 nothing"),
        (("GET", "/v2/models/a%20model"), "GET /v2/models/a%20model: expected JSON .*, got 404 nothing"),
    ],
)
def test_a_server_that_does_not_tell_is_named_with_what_it_was_asked(running, missing, told):
    target, server = running
    del server.pages[missing]
    with pytest.raises(TargetError, match=f"--perf-payloads=oip:.*: {told}"):
        told_by(target, "")


def test_a_server_of_no_model_is_told_how_to_name_one(running):
    target, server = running
    server.pages["POST", "/v2/repository/index"] = []
    with pytest.raises(TargetError, match="the server lists no model; name one: oip:MODEL"):
        told_by(target, "")


def test_the_bodies_come_with_the_running_target_and_are_asked_for_once(running):
    target, server = running
    payloads = Payloads(built_in_payloads, lambda payload: payload)
    assert {payload.body for payload in payloads("oip:")} == {b""}
    names = [payload.name for payload in payloads("oip:")]
    pixels = payloads("pixels:1")
    payloads.ask(target)
    payloads.ask(target)
    assert server.asked.count("/v2") == 1
    assert b"" not in {payload.body for payload in payloads("oip:")}
    assert [payload.name for payload in payloads("oip:")] == names
    assert payloads("pixels:1") is pixels
