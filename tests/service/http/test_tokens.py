"""Who may use the service: tokens from the environment and from a file, on both edges."""

import logging

import pytest
from edges import GET_LIVE, HOST, PIXELS, Connection, chunked, pixels, post, two_edges
from serving import metric_samples, running

from tailgate.service.errors import ConfigurationError
from tailgate.service.http.tokens import Tokens, authorization, load_tokens
from tailgate.service.settings import Settings, load_settings

TOKEN, OTHER = "open-sesame-open-sesame", "b3RoZXI/b3RoZXI+b3RoZXI=="
KNOWN = f"Bearer {TOKEN}".encode()


def tokens_of(**settings):
    return load_tokens(load_settings({}, **settings))


@pytest.mark.parametrize(
    ("value", "admitted"),
    [
        (None, False),
        (b"", False),
        (b"Bearer", False),
        (b"Bearer ", False),
        (KNOWN, True),
        (b"bearer " + TOKEN.encode(), True),
        (b"BEARER  " + TOKEN.encode() + b" ", True),
        (f"Bearer {OTHER}".encode(), True),
        (KNOWN[:-1], False),
        (KNOWN + b"x", False),
        (KNOWN.swapcase(), False),
        (b"Basic " + TOKEN.encode(), False),
        (TOKEN.encode(), False),
        (KNOWN + b", " + KNOWN, False),
        (b"Bearer \xff\x00", False),
    ],
)
def test_a_known_bearer_token_is_admitted_and_nothing_else(value, admitted):
    assert Tokens([TOKEN, OTHER]).admit(value) is admitted


def test_every_known_token_is_compared_whatever_the_first_says(monkeypatch):
    compared = []
    monkeypatch.setattr(
        "tailgate.service.http.tokens.hmac.compare_digest", lambda *pair: bool(compared.append(pair))
    )
    assert not Tokens([TOKEN, OTHER]).admit(KNOWN)
    assert len(compared) == 2


def test_two_headers_are_as_none():
    assert authorization([(b"authorization", KNOWN), (b"x", b"y")]) == KNOWN
    assert authorization([(b"authorization", KNOWN), (b"authorization", KNOWN)]) is None
    assert authorization([]) is None


def test_without_a_setting_there_are_no_tokens():
    assert tokens_of() is None


def test_tokens_come_from_the_environment_and_from_a_file(tmp_path):
    file = tmp_path / "tokens"
    file.write_text(f"# ours\n\n  {OTHER}  # until May\n")
    assert tokens_of(token=TOKEN).admit(KNOWN)
    assert tokens_of(tokens_file=file).admit(f"Bearer {OTHER}".encode())
    both = load_tokens(load_settings({"TAILGATE_TOKEN": TOKEN, "TAILGATE_TOKENS_FILE": str(file)}))
    assert both.admit(KNOWN)
    assert both.admit(f"Bearer {OTHER}".encode())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot read {path}: No such file or directory"),
        (b"\xff\xfe", "it is not text in UTF-8"),
        (b"", "{path} holds no token"),
        (b"# none\n\n", "{path} holds no token"),
        (TOKEN.encode() + b"\nshort-secret\n", "{path}, line 2: expected 16 characters or more, got 12"),
        (b"two words of secret", "{path}, line 1: expected letters, digits"),
        (b"se=cret-se=cret-secret", "{path}, line 1: expected letters, digits"),
    ],
)
def test_a_file_that_would_let_nobody_or_anybody_in_is_refused_without_telling_a_token(
    tmp_path, content, reason
):
    path = tmp_path / "tokens"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError) as refusal:
        tokens_of(tokens_file=path)
    assert str(refusal.value).startswith("TAILGATE_TOKENS_FILE: ")
    assert reason.format(path=path) in str(refusal.value)
    assert "secret" not in str(refusal.value)


def test_a_folder_is_no_file_of_tokens(tmp_path):
    with pytest.raises(
        ConfigurationError, match=f"TAILGATE_TOKENS_FILE: cannot read {tmp_path}: Is a directory"
    ):
        tokens_of(tokens_file=tmp_path)


def test_settings_and_their_errors_hold_no_token():
    settings = load_settings({}, token=TOKEN)
    assert TOKEN not in repr(settings) + str(settings.model_dump())
    with pytest.raises(ConfigurationError) as refusal:
        load_settings({"TAILGATE_TOKEN": TOKEN, "TAILGATE_TLS_KEY_PASSWORD": TOKEN, "TAILGATE_PORT": "x"})
    assert TOKEN not in str(refusal.value)
    assert {name for name, field in Settings.model_fields.items() if "Secret" in str(field.annotation)} == {
        "token",
        "tls_key_password",
    }


@pytest.mark.asyncio
async def test_a_stranger_may_ask_for_health_only_and_is_counted():
    async with running(token=TOKEN) as server:
        answers = {
            path: await server.client.request(method, path)
            for method, path in [
                ("GET", "/health/live"),
                ("GET", "/health/ready"),
                ("GET", "/healthz"),
                ("GET", "/livez"),
                ("HEAD", "/readyz"),
                ("GET", "/"),
                ("GET", "/metrics"),
                ("GET", "/openapi.json"),
                ("GET", "/nowhere"),
                ("HEAD", "/docs"),
                ("GET", "/v2/health/live"),
                ("GET", "/v2/health/ready"),
                ("GET", "/health/live/"),
                ("GET", "/readyz/"),
                ("OPTIONS", "/predict"),
                ("POST", "/health/../predict"),
                ("GET", "//health/live"),
            ]
        }
        server.client.headers["authorization"] = KNOWN.decode()
        served = await server.predict([1, 2, 3, 4])
        outcomes = await server.outcomes()
    assert {path for path, answer in answers.items() if answer.status_code == 200} == {
        "/health/live",
        "/health/ready",
        "/healthz",
        "/livez",
        "/readyz",
        "/v2/health/live",
        "/v2/health/ready",
    }
    refused = [answer for answer in answers.values() if answer.status_code != 200]
    assert {answer.status_code for answer in refused} == {401}
    assert {answer.headers["www-authenticate"] for answer in refused} == {'Bearer realm="tailgate"'}
    assert served.status_code == 200
    assert outcomes == {"unauthorized": len(refused), "ok": 1}


@pytest.mark.asyncio
async def test_metrics_can_be_left_open():
    async with running(token=TOKEN, metrics_open=True) as server:
        assert (await server.client.get("/metrics")).status_code == 200
        assert (await server.client.get("/")).status_code == 401


@pytest.mark.asyncio
async def test_a_websocket_is_closed_on_a_stranger():
    async with running(token=TOKEN) as server:
        sent = []

        async def send(message):
            sent.append(message)

        await server.app({"type": "websocket", "path": "/health/live", "headers": []}, None, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]


@pytest.fixture(scope="module")
def edges():
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        two_edges(monkeypatch, token=TOKEN) as edges,
    ):
        yield edges


def with_token(value, request_=PIXELS):
    return request_.replace(HOST, HOST + b"Authorization: " + value + b"\r\n")


CONVERSATIONS = {
    "none, then known, then none": [(PIXELS, 401), (with_token(KNOWN), 200), (PIXELS, 401)],
    "known twice": [(with_token(KNOWN), 200), (with_token(KNOWN), 200)],
    "known, then wrong, then known": [
        (with_token(KNOWN), 200),
        (with_token(KNOWN + b"x"), 401),
        (with_token(KNOWN), 200),
    ],
    "two headers": [(with_token(KNOWN, with_token(KNOWN)), 401)],
    "one in a trailer": [
        (chunked(pixels(), trailer=b"Authorization: " + KNOWN + b"\r\n"), 401),
        (with_token(KNOWN), 200),
    ],
    "health": [(GET_LIVE, 200), (PIXELS, 401)],
    "a large body": [(post(bytes(100_000)), 401), (with_token(KNOWN), 200)],
    "one that is refused": [(with_token(KNOWN, post(pixels(), b"text/plain")), 415)],
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_both_servers_let_the_same_requests_in(edges, name):
    conversation, answers = CONVERSATIONS[name], []
    # uvicorn takes trailers for headers.
    for address in [edges.hot] if name == "one in a trailer" else edges.both():
        with Connection(address) as connection:
            answers.append([])
            for request_, _ in conversation:
                connection.send(request_)
                answers[-1].append(connection.answer())
    assert answers[0] == answers[-1]
    assert [status for status, _, _ in answers[0]] == [status for _, status in conversation]


def test_a_stranger_that_waits_to_be_asked_for_its_body_is_refused_for_good(edges):
    with Connection(edges.hot) as connection:
        connection.send(post(pixels(), b"image/png", b"Expect: 100-continue")[: -len(pixels())])
        status, headers, _ = connection.answer()
        assert (status, headers[-1]) == (401, b"connection: close")
        assert connection.is_closed()


def test_a_wrong_token_is_told_from_none_as_the_standard_has_it(edges):
    with Connection(edges.hot) as connection:
        connection.send(PIXELS + with_token(b"Bearer x"))
        none, wrong = connection.answers(2)
    assert b'www-authenticate: Bearer realm="tailgate"' in none[1]
    assert b'www-authenticate: Bearer realm="tailgate", error="invalid_token"' in wrong[1]


def test_a_token_is_in_no_log_and_no_metric(edges, caplog, capsys):
    with caplog.at_level(logging.DEBUG), Connection(edges.hot) as connection:
        for value in (KNOWN, KNOWN + b"x"):
            connection.send(with_token(value))
            connection.answer()
        connection.send(with_token(KNOWN, b"GET /metrics HTTP/1.1\r\n" + HOST + b"\r\n"))
        metrics = connection.answer()[2].decode()
    assert metric_samples(metrics)[("tailgate_requests_total", (("outcome", "unauthorized"),))] > 0
    assert TOKEN not in caplog.text + "".join(capsys.readouterr()) + metrics


def test_a_token_is_looked_at_once_for_a_head_that_is_repeated(edges, monkeypatch):
    asked = []
    admit = Tokens.admit
    monkeypatch.setattr(Tokens, "admit", lambda self, value: asked.append(value) or admit(self, value))
    with Connection(edges.hot) as connection:
        for value, status in ((KNOWN, 200), (KNOWN, 200), (KNOWN + b"x", 401), (KNOWN, 200)):
            connection.send(with_token(value))
            assert connection.answer()[0] == status
    assert asked == [KNOWN, KNOWN + b"x", KNOWN + b"x", KNOWN]
