"""Certificates of an authority that only the test knows, shown by servers of the test's own process."""

import http.server
import ssl
import threading

import pytest
import trustme
from scripted_server import OK, ScriptedServer

from tailgate.harness.errors import TargetError, UsageError
from tailgate.harness.load.reach import load_settings
from tailgate.harness.load.settings import read_settings, write_settings
from tailgate.harness.observe.beside.probes import Asked, ask
from tailgate.harness.options.reading import parse_options
from tailgate.harness.target.asking.trust import Trust, chosen_trust, tls_refusal
from tailgate.harness.target.settings import TargetSettings
from tailgate.harness.target.spec import parse_target

PATHS = {"/health/ready": [OK], "/metrics": [OK]}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return a folder with an authority, another one, a server's certificate, and a client's."""
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("ca", "other"):
        authority = trustme.CA()
        authority.cert_pem.write_to_path(folder / f"{name}.pem")
        for who in ("127.0.0.1", "elsewhere.example"):
            authority.issue_cert(who).private_key_and_cert_chain_pem.write_to_path(
                folder / f"{name}-{who}.pem"
            )
        client = authority.issue_cert("client@here.example")
        client.private_key_pem.write_to_path(folder / f"{name}-client.key")
        client.cert_chain_pems[0].write_to_path(folder / f"{name}-client.crt")
        client.private_key_and_cert_chain_pem.write_to_path(folder / f"{name}-client.pem")
    past = trustme.CA()
    past.cert_pem.write_to_path(folder / "past.pem")
    expired = past.issue_cert("127.0.0.1", not_after=past._certificate.not_valid_before_utc)
    expired.private_key_and_cert_chain_pem.write_to_path(folder / "expired.pem")
    (folder / "text.pem").write_text("no certificate")
    return folder


def serving(files, certificate="ca-127.0.0.1.pem", asks_for=None, newest=ssl.TLSVersion.TLSv1_3):
    """Return a server's side, which asks for certificates of an authority where one is named."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = newest
    context.load_cert_chain(files / certificate)
    if asks_for is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(files / asks_for)
    return context


def trust(files, **named):
    return Trust(**{name: value if value is True else files / value for name, value in named.items()})


def started(port, trusted, tmp_path):
    settings = TargetSettings(trust=trusted, ready_timeout_s=30)
    return parse_target(f"https://127.0.0.1:{port}", settings).start(tmp_path)


@pytest.mark.parametrize(
    ("asks_for", "named"),
    [
        (None, {"ca_file": "ca.pem"}),
        (None, {"ca_file": "ca-127.0.0.1.pem"}),  # the server's own certificate
        (None, {"insecure": True}),
        ("other.pem", {"ca_file": "ca.pem", "client_cert": "other-client.pem"}),
        (
            "other.pem",
            {"ca_file": "ca.pem", "client_cert": "other-client.crt", "client_key": "other-client.key"},
        ),
    ],
)
def test_one_trust_holds_for_readiness_metrics_probes_and_reach(tmp_path, files, asks_for, named):
    with ScriptedServer(PATHS, serving(files, asks_for=asks_for)) as server:
        running = started(server.port, trust(files, **named), tmp_path)
        with running.client(30) as client:
            probe = ask(Asked.METRICS, running.metrics_url, client)
        load = load_settings(running, parse_options(lambda _: None, tmp_path))
    assert probe.status == 200
    assert (load.tls, load.trust, load.at_once) == (True, running.settings.trust, None)
    assert len(server.requests) > 3, "reach has asked as well"


@pytest.mark.parametrize(
    ("server", "named", "words"),
    [
        ({}, {}, "its certificate is not trusted: .*--perf-ca-file=FILE .*--perf-insecure"),
        ({}, {"ca_file": "other.pem"}, "its certificate is not trusted: "),
        ({"certificate": "ca-elsewhere.example.pem"}, {"ca_file": "ca.pem"}, "not valid for '127.0.0.1'"),
        ({"certificate": "expired.pem"}, {"ca_file": "past.pem"}, "certificate has expired"),
        (
            {"asks_for": "other.pem", "newest": ssl.TLSVersion.TLSv1_2},
            {"ca_file": "ca.pem"},
            "it refuses the harness's certificate .*--perf-client-cert=FILE",
        ),
        (
            {"asks_for": "other.pem", "newest": ssl.TLSVersion.TLSv1_2},
            {"ca_file": "ca.pem", "client_cert": "ca-client.pem"},
            "it refuses the harness's certificate .*unknown ca",
        ),
    ],
)
def test_a_certificate_error_ends_the_wait_at_once_in_its_own_words(tmp_path, files, server, named, words):
    with (
        ScriptedServer(PATHS, serving(files, **server)) as running,
        pytest.raises(TargetError, match=words) as refused,
    ):
        started(running.port, trust(files, **named), tmp_path)
    assert "did not answer 2xx within" not in str(refused.value)


def test_a_server_without_tls_is_not_waited_for_either(tmp_path, files):
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        with pytest.raises(TargetError, match="does not speak TLS; is it http://"):
            started(server.server_port, trust(files, ca_file="ca.pem"), tmp_path)
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("error", [ssl.SSLEOFError(), ConnectionRefusedError(), TimeoutError()])
def test_a_connection_that_only_ended_is_tried_again(error):
    assert tls_refusal(error) is None


REFUSED = {
    "no such file": ({"ca_file": "none.pem"}, "--perf-ca-file: cannot read .*none.pem: No such file"),
    "a folder": ({"ca_file": "."}, "--perf-ca-file: cannot read "),
    "a text": (
        {"ca_file": "text.pem"},
        "--perf-ca-file: cannot read .*text.pem: it holds none, expected certificates",
    ),
    "a key alone": ({"ca_file": "ca-client.key"}, "--perf-ca-file: cannot read .*: it holds none"),
    "no client certificate": ({"client_cert": "none.pem"}, "--perf-client-cert: cannot read .*No such file"),
    "a text for a certificate": (
        {"client_cert": "text.pem"},
        "--perf-client-cert: .*expected a certificate in PEM",
    ),
    "no key in it": (
        {"client_cert": "ca-client.crt"},
        "--perf-client-cert: .*--perf-client-key=FILE names the file",
    ),
    "no key": (
        {"client_cert": "ca-client.crt", "client_key": "none"},
        "--perf-client-key: cannot read .*none: No such file",
    ),
    "a text for a key": (
        {"client_cert": "ca-client.crt", "client_key": "text.pem"},
        "--perf-client-key: .*expected a private key in PEM",
    ),
    "another's key": (
        {"client_cert": "ca-client.crt", "client_key": "other-client.key"},
        "--perf-client-key: the key does not fit the certificate",
    ),
    "a key with a password": (
        {"client_cert": "ca-client.crt", "client_key": "locked.key"},
        "--perf-client-key: the key in .*locked.key needs a password",
    ),
    "a key without its certificate": (
        {"client_key": "ca-client.key"},
        "--perf-client-key=.* is the key of no",
    ),
    "a trust that is not used": (
        {"ca_file": "ca.pem", "insecure": True},
        "--perf-insecure verifies no certificate",
    ),
}


def lock(files):
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key((files / "ca-client.key").read_bytes(), None)
    how = serialization.BestAvailableEncryption(b"sesame")
    form = serialization.PrivateFormat.PKCS8
    (files / "locked.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, how))


@pytest.mark.parametrize(("named", "words"), REFUSED.values(), ids=REFUSED)
def test_a_file_that_does_not_fit_is_refused_by_its_option(tmp_path, files, named, words):
    lock(files)
    said = {name: value if value is True else str(files / value) for name, value in named.items()}
    with pytest.raises(UsageError, match=words):
        chosen_trust(parse_options(lambda option: said.get(option.field), tmp_path))


def test_the_generator_reads_the_trust_that_was_written(tmp_path, files):
    chosen = trust(files, ca_file="ca.pem", client_cert="ca-client.pem")
    with ScriptedServer(PATHS, serving(files)) as server:
        running = started(server.port, chosen, tmp_path)
        settings = load_settings(running, parse_options(lambda _: None, tmp_path))
    write_settings(settings, tmp_path / "load.json")
    assert read_settings(tmp_path / "load.json", {}) == settings
