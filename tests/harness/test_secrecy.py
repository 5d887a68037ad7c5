"""What is secret is told nowhere, and what is not is left alone."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgate.harness.options.reading import parse_options
from tailgate.harness.results import file as results_file
from tailgate.harness.secrecy import HIDDEN, Secrets, basic_authorization, is_secret
from tailgate.harness.session.reproduce import command
from tailgate.harness.target.launching.launch import Launch
from tailgate.harness.target.launching.process import ServerProcess

SECRET_NAMES = (
    *(
        "API_KEY",
        "apiKey",
        "X-Api-Key",
        "MY_TOKEN",
        "token",
        "authToken",
        "SECRET",
        "CLIENT_SECRET",
        "DB_PASSWORD",
    ),
    *(
        "PASS",
        "passwd",
        "AWS_ACCESS_KEY",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "AUTH",
        "Authorization",
        "SESSION_COOKIE",
    ),
    *("PGPASSWORD", "authtoken", "APITOKEN", "secretkey", "DB_PW", "AccountKey"),
)
OTHER_NAMES = (
    "MODEL",
    "TOKENIZERS_PARALLELISM",
    "MAX_TOKENS",
    "MONKEY",
    "AUTHOR",
    "COMPASS",
    "PASSENGERS",
    "p95",
)


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_name_says_that_its_value_is_secret(name):
    assert is_secret(name)


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_a_name_that_only_looks_like_it_does_not(name):
    assert not is_secret(name)
    assert Secrets.of([]).hide(f"{name}=value --{name} value") == f"{name}=value --{name} value"


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("http://user:pw@host:1/a", "http://***@host:1/a"),
        ("http://user@host", "http://***@host"),
        ("http://user:p@ss:w@[::1]:80", "http://***@[::1]:80"),
        ("http://host/a@b?c=d@e", "http://host/a@b?c=d@e"),
        ("/metrics?a=b&token=abc&c=d", "/metrics?a=b&token=***&c=d"),
        ("--perf-env=API_KEY=abc", "--perf-env=API_KEY=***"),
        ("--perf-env=DATABASE_URL=postgres://u:pw@h/d", "--perf-env=DATABASE_URL=postgres://***@h/d"),
        ("service:TOKEN=abc,MODEL=demo", "service:TOKEN=***,MODEL=demo"),
        ("command:app --auth-token abc --port {port}", "command:app --auth-token *** --port {port}"),
        ("command:app --auth-token=abc {port}", "command:app --auth-token=*** {port}"),
        ("command:env KEY=abc app {fd}", "command:env KEY=*** app {fd}"),
        ("command:env KEY='a b' app {fd}", "command:env KEY='***' app {fd}"),
        ('command:app --token="abc" {fd}', 'command:app --token="***" {fd}'),
        ("command:app --password 'my long one' {fd}", "command:app --password '***' {fd}"),
        ("command:app -H 'Authorization: Bearer abc123' {fd}", "command:app -H 'Authorization: ***' {fd}"),
        ("command:app --header='X-Api-Key: abc' {fd}", "command:app --header='X-Api-Key: ***' {fd}"),
        ("""command:app '{"api_key": "abc"}' {fd}""", """command:app '{"api_key": "***"}' {fd}"""),
        ("--perf-env=STORE=Account=a;AccountKey=abc", "--perf-env=STORE=Account=a;AccountKey=***"),
        ("--perf-env=API_KEY=$API_KEY", "--perf-env=API_KEY=$API_KEY"),
        ("expected KEY=VALUE", "expected KEY=VALUE"),
        ('up{key="k2"} 1', 'up{key="k2"} 1'),
    ],
)
def test_what_is_secret_in_a_text_is_hidden_and_the_rest_stays(word, told):
    assert Secrets.of([word]).hide(word) == told
    assert Secrets.of([]).hide(told) == told


LONG = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=8, max_size=20)


@given(LONG, st.sampled_from(SECRET_NAMES), LONG)
def test_a_long_secret_is_hidden_wherever_it_stands(secret, name, around):
    words = [f"service:{name}={secret}", f"http://someone:{secret}@host"]
    for secrets in (Secrets.of(words[:1]), Secrets.of(words[1:]), Secrets.of([], [(name, secret)])):
        assert secret not in secrets.hide(f"{around}{secret} {secret}")
        assert secret not in secrets.hide(repr(words))
    assert basic_authorization("someone", secret) not in Secrets.of(words).hide(
        f"Authorization: {basic_authorization('someone', secret)}"
    )


def test_a_value_with_spaces_and_commas_is_hidden_as_a_whole():
    secrets = Secrets.of([], [("MY_TOKEN", "one two,three")])
    assert secrets.hide("got one two,three; MY_TOKEN=one two,three") == f"got {HIDDEN}; MY_TOKEN={HIDDEN}"


def test_a_value_of_several_lines_is_hidden_where_a_message_quotes_it():
    key = "-----BEGIN KEY-----\nabc\\def\n"
    assert Secrets.of([], [("PRIVATE_KEY", key)]).hide(f"got {key!r}") == f"got '{HIDDEN}'"


@pytest.mark.parametrize(
    ("word", "secret"),
    [
        ("command:app --password=abc;def&ghi#,jkl {fd}", "abc;def&ghi#,jkl"),
        ("command:app -H 'Authorization: Bearer abcdefgh' {fd}", "abcdefgh"),
        ("http://abcdefgh@host", "abcdefgh"),
        ("http://abcdefgh:@host", "abcdefgh"),
    ],
)
def test_what_a_server_says_of_a_secret_is_hidden_as_a_whole(word, secret):
    assert Secrets.of([word]).hide(f"'{secret}' is no longer valid") == f"'{HIDDEN}' is no longer valid"


@dataclass(frozen=True)
class Told:
    text: str
    more: tuple = ()
    number: float | None = None


def test_nothing_secret_stays_in_plain_data():
    secrets = Secrets.of(["http://user:hunter22@host"])
    made = Told("hunter22", (Told("a"), {"target": "http://user:hunter22@host", "n": 5}), 1.5)
    assert secrets.hide_all(made) == Told("***", (Told("a"), {"target": "http://***@host", "n": 5}), 1.5)


@given(LONG, st.sampled_from(SECRET_NAMES))
def test_the_command_that_reproduces_a_run_has_no_secret_and_gives_its_variable(secret, name):
    raw = {
        "env": [f"{name}={secret}", "MODEL=a b"],
        "target": f"http://u:{secret}@host",
        "payloads": "photos",
    }
    settings = parse_options(lambda option: raw.get(option.field), Path())
    line = command(["test_x.py"], 1, settings, {"TAILGATE_TOKEN": secret})
    assert secret not in line
    assert f'"--perf-env={name}=${name}"' in line
    if name.isidentifier():
        shell = subprocess.run(
            ["sh", "-c", f"printf '%s\\n' {line.partition(' pytest ')[2]}"],
            env={name: secret},
            capture_output=True,
            text=True,
            check=True,
        )
        assert f"--perf-env={name}={secret}" in shell.stdout.splitlines()


# The whole way: a server that lets nobody in who does not say who asks.

GUARDED = """
from tailgate.harness.testing import fake_server

class Guarded(fake_server.FakeServer):
    async def serve_connection(self, reader, writer):
        inner = reader.readuntil

        async def readuntil(separator):
            head = await inner(separator)
            self.allowed = {authorization!r} in head
            return head

        reader.readuntil = readuntil
        await super().serve_connection(reader, writer)

    async def answer(self, method, path):
        if not self.allowed:
            return fake_server.answer_of(fake_server.HTTPStatus.UNAUTHORIZED, b"who is asking?")
        return await super().answer(method, path)

fake_server.FakeServer = Guarded
fake_server.main()
"""
PASSWORD, KEY = "correct-horse", "battery-staple"


def test_a_user_in_the_address_is_sent_with_every_request_and_nothing_secret_is_told(
    project, monkeypatch, tmp_path
):
    monkeypatch.setenv("TAILGATE_TOKEN", "from-the-shell")
    authorization = basic_authorization("someone", PASSWORD)
    code = tmp_path / "guarded.py"
    code.write_text(GUARDED.format(authorization=authorization.encode()))
    server = ServerProcess(Launch((sys.executable, "-P", str(code), "--fd", "{fd}")), tmp_path / "log")
    server.start()
    try:
        result = project.gate(
            "-v",
            "--junitxml=junit.xml",
            f"--perf-env=API_KEY={KEY}",
            target=f"http://someone:{PASSWORD}@127.0.0.1:{server.port}",
        )
    finally:
        server.stop()
    result.assert_outcomes(passed=1)
    run = results_file.read(project.results() / results_file.RESULTS)
    assert run.arms[0].target == f"http://***@127.0.0.1:{server.port}"
    secrets = [PASSWORD, KEY, "from-the-shell", authorization.partition(" ")[2]]
    said = result.stdout.str() + result.stderr.str()
    assert [secret for secret in secrets if secret in said] == []
    files = [path for path in project.pytester.path.rglob("*") if path.is_file()]
    assert len(files) > 10
    leaks = [(path, secret) for path in files for secret in secrets if secret.encode() in path.read_bytes()]
    assert leaks == []


def test_a_header_from_the_environment_goes_wherever_the_target_is_asked_and_is_told_nowhere(
    project, monkeypatch, tmp_path
):
    monkeypatch.setenv("WORDS", PASSWORD)
    code = tmp_path / "guarded.py"
    code.write_text(GUARDED.format(authorization=f"Bearer {PASSWORD}".encode()))
    target = f"command:{sys.executable} -P {code} --fd {{fd}}"
    result = project.gate(
        "-v",
        "--junitxml=junit.xml",
        "--perf-header=Authorization: Bearer $WORDS",
        f"--perf-header=X-Api-Key: {KEY}",
        target=target,
    )
    result.assert_outcomes(passed=1)
    assert "'--perf-header=Authorization: Bearer $WORDS'" in result.stdout.str()
    said = result.stdout.str() + result.stderr.str()
    assert [secret for secret in (PASSWORD, KEY) if secret in said] == []
    files = [path for path in project.pytester.path.rglob("*") if path.is_file()]
    assert len(files) > 10
    leaks = [
        (path, secret) for path in files for secret in (PASSWORD, KEY) if secret.encode() in path.read_bytes()
    ]
    assert leaks == []


def test_a_header_whose_variable_is_not_set_is_refused_before_anything_starts(project, monkeypatch):
    monkeypatch.delenv("WORDS", raising=False)
    result = project.gate(
        "--perf-header=Authorization: Bearer $WORDS", target="command:no-such-program {port}"
    )
    assert "--perf-header: Authorization takes $WORDS from the environment" in result.stderr.str()
    assert result.ret == 4
