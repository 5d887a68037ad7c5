"""The options of the conformance tests, known to pytest before it looks for tests."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup(
        "oip", "conformance with the Open Inference Protocol (--pyargs tailgate.conformance)"
    )
    group.addoption("--oip-url", metavar="URL", help="address of the server, such as http://localhost:8000")
    group.addoption(
        "--oip-model", metavar="NAME", help="model that is asked; default: the first of the repository index"
    )
    group.addoption(
        "--oip-header",
        metavar="'NAME: VALUE'",
        action="append",
        default=[],
        help="header of every request, such as 'Authorization: Bearer TOKEN'; may be repeated",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers", "clause(where, text): what the specification says, which the test checks"
    )
