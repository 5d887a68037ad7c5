"""The releases of uvicorn that the connections are built on: another one is refused, and not served with half of them."""

import asyncio
import sys

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service import server
from service.__main__ import main
from service.errors import ConfigurationError
from service.hot_path import HotPathProtocol


def overridden(ours, theirs):
    """Return the methods of a class of uvicorn, beyond asyncio's, that our classes below it replace."""
    below = ours.__mro__[: ours.__mro__.index(theirs)]
    named = {name for made in below for name in vars(made)}
    return {name for name in named if hasattr(theirs, name) and not hasattr(asyncio.Protocol, name)}


@pytest.mark.parametrize(
    ("ours", "theirs"), [(HotPathProtocol, HttpToolsProtocol), (server.Server, uvicorn.Server)]
)
def test_every_method_that_is_overridden_is_asked_for_at_the_start(ours, theirs):
    assert overridden(ours, theirs) <= set(server.RELIED_ON[theirs])


def test_this_uvicorn_is_one_that_fits():
    server.require_uvicorn()


@pytest.mark.parametrize(
    ("of", "name"), [(of, name) for of, names in server.RELIED_ON.items() for name in names]
)
def test_a_uvicorn_without_a_method_is_refused_and_named(monkeypatch, of, name):
    for base in of.__mro__[:-1]:
        monkeypatch.delattr(base, name, raising=False)
    with pytest.raises(
        ConfigurationError, match=rf"^uvicorn .* has no {of.__name__}\.{name}, .*tailgate\[service\]"
    ):
        server.require_uvicorn()


def test_it_is_refused_before_anything_starts(monkeypatch, capsys):
    monkeypatch.delattr(HttpToolsProtocol, "_start_asgi_task")
    monkeypatch.setattr(server, "listen", None)
    monkeypatch.setattr(sys, "argv", ["service"])
    monkeypatch.setattr("service.__main__.configure_logging", lambda _: None)
    assert main() == 2
    assert capsys.readouterr().err.startswith(
        f"tailgate: uvicorn {uvicorn.__version__} has no HttpToolsProtocol._start_asgi_task"
    )
