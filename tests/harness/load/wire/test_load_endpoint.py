"""Where the generator connects: the first address that accepts, or a Unix socket."""

import socket

import pytest
from scripted_server import OK, ScriptedServer

from tailgate.harness.errors import LoadError
from tailgate.harness.load import LoadSettings
from tailgate.harness.load.wire.endpoint import resolve_endpoint
from tailgate.harness.load.wire.request import host_header


def resolving_to(monkeypatch, *hosts):
    """Have every name stand for these addresses, IPv6 where they have colons."""

    def look_up(_host, port, **_):
        families = [
            (socket.AF_INET6, (host, port, 0, 0)) if ":" in host else (socket.AF_INET, (host, port))
            for host in hosts
        ]
        return [(family, socket.SOCK_STREAM, 6, "", address) for family, address in families]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


@pytest.mark.parametrize("others", [("127.0.0.2",), ("::1",), ("::1", "127.0.0.2")])
def test_of_several_addresses_the_first_that_accepts_is_taken(monkeypatch, others):
    with ScriptedServer({"/a": [OK]}) as server:
        resolving_to(monkeypatch, *others, "127.0.0.1", "127.0.0.3")
        endpoint = resolve_endpoint(LoadSettings("both.example", server.port))
        assert (endpoint.family, endpoint.address) == (socket.AF_INET, ("127.0.0.1", server.port))
        assert server.connections <= 1


def test_a_single_address_is_not_asked_before_the_run(monkeypatch):
    with ScriptedServer({"/a": [OK]}) as server:
        resolve_endpoint(LoadSettings("127.0.0.1", server.port))
        assert not server.accepted.acquire(blocking=False)


def test_where_no_address_accepts_each_says_why(monkeypatch):
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        resolving_to(monkeypatch, "127.0.0.1", "127.0.0.2")
        words = r"cannot connect to both.example:\d+: 127.0.0.1: Connection refused; 127.0.0.2: Connection refused"
        with pytest.raises(LoadError, match=words):
            resolve_endpoint(LoadSettings("both.example", bound.getsockname()[1]))


def test_a_socket_is_an_endpoint_of_its_own(tmp_path):
    settings = LoadSettings("localhost", 80, socket_path=tmp_path / "s")
    endpoint = resolve_endpoint(settings)
    assert (endpoint.family, endpoint.address) == (socket.AF_UNIX, str(tmp_path / "s"))
    assert (host_header(settings), settings.where) == ("localhost", str(tmp_path / "s"))
