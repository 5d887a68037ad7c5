"""The releases of uvicorn that the connections are built on: another one is refused, and not served with half of them."""

import sys
from importlib import metadata

import pytest
import uvicorn

from tailgate.service import server
from tailgate.service.__main__ import main

RANGE = "<0.55,>=0.53"


@pytest.fixture
def declared(monkeypatch):
    """Return a function that has this version of uvicorn installed, beside a tailgate that asks for a range."""
    lines = ["httpx>=0.28", f'uvicorn{RANGE}; extra == "service"']
    monkeypatch.setattr(metadata, "requires", {"tailgate": lines}.__getitem__)
    return lambda version: monkeypatch.setattr(uvicorn, "__version__", version)


@pytest.mark.parametrize("version", ["0.53.0", "0.54.7"])
def test_a_uvicorn_within_the_declared_range_is_taken(declared, version):
    declared(version)
    server.require_uvicorn()


@pytest.mark.parametrize("version", ["0.34.0", "0.44.0", "0.52.4", "0.55.0", "1.0.0"])
def test_any_other_is_refused_before_anything_starts(declared, monkeypatch, capsys, version):
    declared(version)
    monkeypatch.setattr(server, "listen", None)
    monkeypatch.setattr(sys, "argv", ["service"])
    monkeypatch.setattr("tailgate.service.__main__.configure_logging", lambda _: None)
    assert main() == 2
    said = capsys.readouterr().err
    assert said.startswith(f"tailgate: uvicorn {version} is installed, ")
    assert said.endswith(f"pip install 'uvicorn{RANGE}'\n")


def test_sources_that_are_not_installed_run_on_what_there_is(monkeypatch):
    def nowhere(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", nowhere)
    monkeypatch.setattr(uvicorn, "__version__", "0.1")
    server.require_uvicorn()
