"""The clients that docs/reference/open-inference.md shows run as they are shown, and its transcript is what they get."""

import asyncio
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tritonclient.http as triton
from edges import picture, two_edges
from tritonclient.utils import InferenceServerException

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "open-inference.md").read_text()
BLOCKS = dict(
    zip(
        ("sync", "aio", "curl", "httpx"),
        re.findall(r"```(?:python|sh)\n(.*?)```", PAGE, re.DOTALL),
        strict=False,
    )
)
PIXELS = np.full((1, 8, 8, 3), 100, np.uint8)


@pytest.fixture(scope="module")
def address():
    with pytest.MonkeyPatch.context() as monkeypatch, two_edges(monkeypatch) as edges:
        yield "{}:{}".format(*edges.hot)


def shown(name, address):
    """Return a block of the page for this server and its model."""
    return BLOCKS[name].replace("localhost:8000", address).replace("efficientnet-lite0", "moody")


def test_the_client_runs_as_it_is_shown(address, capsys):
    exec(shown("sync", address), {})
    assert capsys.readouterr().out == "(2, 3)\n"


def test_the_client_of_asyncio_runs_as_it_is_shown(address):
    names = {}
    exec(shown("aio", address), names)
    classes = asyncio.run(names["main"]("moody", [picture("PNG"), picture("JPEG")]))
    assert [[text.decode().split(":")[2] for text in row] for row in classes] == [
        ["red", "green", "blue"]
    ] * 2


def test_httpx_runs_as_it_is_shown(address):
    names = {}
    exec(shown("httpx", address), names)
    got = names["infer"](f"http://{address}/v2/models/moody/infer", PIXELS)
    assert got.tolist() == [pytest.approx([1000 / 255] * 3)]


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_curl_runs_as_it_is_shown(address, tmp_path):
    (tmp_path / "cat.jpg").write_bytes(picture("JPEG"))
    script = shown("curl", address).replace("curl ", "curl -sS --fail --noproxy '*' ")
    done = subprocess.run(
        ["/bin/sh", "-ec", script], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    assert '"name":"moody"' in done.stdout
    assert (tmp_path / "answer").read_bytes().startswith(b'{"model_name":"moody"')


def tensor(*, binary):
    given = triton.InferInput("input", [1, 8, 8, 3], "UINT8")
    given.set_data_from_numpy(PIXELS, binary_data=binary)
    return [given]


def values(result):
    return np.round(result.as_numpy("output"), 3).tolist()


CALLS = {
    "is_server_live()": lambda client: client.is_server_live(),
    "is_server_ready()": lambda client: client.is_server_ready(),
    'is_model_ready("moody")': lambda client: client.is_model_ready("moody"),
    "get_server_metadata()": lambda client: client.get_server_metadata(),
    'get_model_metadata("moody")': lambda client: client.get_model_metadata("moody"),
    'get_model_config("moody")': lambda client: client.get_model_config("moody"),
    "get_model_repository_index()": lambda client: client.get_model_repository_index(),
    'get_inference_statistics("moody")': lambda client: sorted(
        client.get_inference_statistics("moody")["model_stats"][0]
    ),
    'infer("moody", [binary])': lambda client: values(client.infer("moody", tensor(binary=True))),
    'infer("moody", [json])': lambda client: values(client.infer("moody", tensor(binary=False))),
    'async_infer("moody", [binary])': lambda client: values(
        client.async_infer("moody", tensor(binary=True)).get_result()
    ),
    'load_model("other")': lambda client: client.load_model("other"),
    "get_system_shared_memory_status()": lambda client: client.get_system_shared_memory_status(),
}


def transcript(address):
    """Return each call with what it returned or raised."""
    lines = []
    with triton.InferenceServerClient(address) as client:
        for call, make in CALLS.items():
            try:
                got = make(client)
            except InferenceServerException as error:
                got = error
            lines.append(f">>> client.{call}\n{got}")
    return "\n".join(lines)


def test_the_transcript_is_what_the_client_gets(address):
    expected = re.search(r"```pycon\n(.*?)\n```", PAGE, re.DOTALL)[1]
    assert transcript(address) == expected


def test_the_service_passes_every_conformance_test(address, pytester, monkeypatch):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    kit = ("-q", "-p", "tailgate-conformance", "-p", "no:cacheprovider", "--pyargs", "tailgate.conformance")
    outcomes = pytester.runpytest_inprocess(*kit, f"--oip-url=http://{address}").parseoutcomes()
    assert set(outcomes) <= {"passed", "skipped", "warnings"}
    assert outcomes["passed"] > 70
