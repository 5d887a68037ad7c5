"""The server under test, and the clause beside each failure."""

from collections.abc import Generator, Iterator

import httpx
import pytest

from tailgate.conformance.server import Server

PATIENCE_S = 60


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Return the server that ``--oip-url`` names."""
    url = request.config.getoption("--oip-url")
    if url is None:
        raise pytest.UsageError("name the server: --oip-url=http://HOST:PORT")
    headers = dict(_header(text) for text in request.config.getoption("--oip-header"))
    with httpx.Client(base_url=url, headers=headers, timeout=PATIENCE_S, trust_env=False) as client:
        # Its own default would let the server pack answers, which no clause asks for.
        client.headers.pop("accept-encoding")
        try:
            yield Server(client, request.config.getoption("--oip-model"))
        except httpx.TransportError as error:
            raise pytest.UsageError(f"--oip-url: no server of HTTP answers at {url}: {error}") from None


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not (colon and name.strip()):
        raise pytest.UsageError(f"--oip-header: expected 'NAME: VALUE', got {text!r}")
    return name.strip(), value.strip()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Print the clause that a failed test checks."""
    report = yield
    marker = item.get_closest_marker("clause")
    if report.failed and marker is not None:
        report.sections.append(("the clause", " — ".join(marker.args)))
    return report
