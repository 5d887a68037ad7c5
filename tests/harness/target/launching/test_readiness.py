"""Readiness is looked for on a fake clock: no test here waits."""

import re
import socket
import ssl
import threading

import httpx
import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from tailgate.harness.errors import TargetError
from tailgate.harness.target.asking.client import path_of, refused_connection
from tailgate.harness.target.asking.trust import Trust
from tailgate.harness.target.launching.readiness import (
    LONGEST_LINE,
    LONGEST_PAUSE_S,
    Accepts,
    LogLine,
    wait_until_ready,
)
from tailgate.harness.target.launching.ready_path import BY_LOG, SETTLED_S, USUAL_PATHS, ReadyPath, probe
from tailgate.harness.testing import FakeClock

UNTRUSTED = httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED]")
UNTRUSTED.__cause__ = ssl.SSLCertVerificationError("unable to get local issuer certificate")
UNTRUSTED.__cause__.verify_message = "unable to get local issuer certificate"


def moved(status, location):
    return httpx.Response(status, headers={"location": location})


class World:
    """A server that answers from a list at its readiness path, the last answer for ever, and 2xx at some others."""

    def __init__(self, answers, there=(), **options):
        self.answers = list(answers)
        self.there = there
        self.asked = []
        self.told = []
        self.clock = FakeClock()
        self.check = ReadyPath("http://x", "/health/ready", self.ask, self.told.append, **options)

    def ask(self, url):
        path = url.removeprefix("http://x")
        self.asked.append(path)
        if path != "/health/ready":
            return httpx.Response(200 if path in self.there else 404)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            raise httpx.ConnectError("[Errno 111] refused")
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else httpx.Response(answer)

    def wait(self, timeout_s, check_alive=lambda: None, others=()):
        wait_until_ready(
            [self.check, *others], timeout_s, check_alive, clock=self.clock, sleep=self.clock.sleep
        )


def test_a_server_that_is_ready_is_not_waited_for():
    world = World([200])
    world.wait(10)
    assert world.clock.sleeps_s == []


def test_polling_goes_on_until_the_first_200_with_growing_bounded_pauses():
    world = World([None] * 5 + [503] * 20 + [200])
    world.wait(100)
    pauses_s = world.clock.sleeps_s
    assert len(pauses_s) == 25
    assert pauses_s == sorted(pauses_s)
    assert max(pauses_s) == LONGEST_PAUSE_S


@pytest.mark.parametrize("status", [200, 202, 204, 299])
def test_any_2xx_is_ready(status):
    world = World([503, status])
    world.wait(10)
    assert len(world.clock.sleeps_s) == 1


@pytest.mark.parametrize("status", [None, 101, 199, 300, 304, 404, 500, 600])
def test_nothing_else_is(status):
    world = World([status, 200])
    world.wait(10)
    assert len(world.clock.sleeps_s) == 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (503, "the last answer was 503; --perf-readiness-path=PATH names another path"),
        (404, "the last answer was 404; --perf-readiness-path=PATH names another path"),
        (401, "the last answer was 401; --perf-header='NAME: VALUE' is sent with this question too"),
        (moved(307, "/ready/"), "the last answer was 307 to /ready/: --perf-readiness-path=/ready/"),
        (moved(301, "https://x/ready"), "the last answer was 301 to https://x/ready$"),
        (None, r"there was no answer \(\[Errno 111\] refused\)"),
    ],
)
def test_a_server_that_is_never_ready_is_given_up_with_its_last_answer(answer, words):
    world = World([answer])
    with pytest.raises(TargetError, match=f"did not answer 2xx within 9 s: {words}"):
        world.wait(9)
    assert 9 <= world.clock.now_s <= 9 + LONGEST_PAUSE_S


@pytest.mark.parametrize("status", [404, 405, 410, 501])
def test_a_path_that_nobody_chose_and_that_is_not_there_ends_the_wait_with_those_that_are(status):
    world = World([None, 503, status], there=("/health", "/docs"), guessed=True)
    with pytest.raises(TargetError) as ended:
        world.wait(180)
    assert str(ended.value) == (
        f"http://x/health/ready answers {status}, and 2xx at /health, /docs: --perf-readiness-path=/health, or "
        "--perf-readiness-path= for any server that accepts connections"
    )
    assert SETTLED_S <= world.clock.now_s <= SETTLED_S + 3 * LONGEST_PAUSE_S
    assert [path for path in world.asked if path != "/health/ready"] == list(USUAL_PATHS[1:])


def test_where_no_usual_path_is_there_either_the_options_are_told():
    world = World([404], guessed=True, otherwise=BY_LOG)
    with pytest.raises(
        TargetError, match=r"2xx at none of the usual paths: --perf-readiness-path=PATH, or --perf-ready-log="
    ):
        world.wait(180)


def test_a_path_that_the_user_chose_and_that_is_not_there_is_told_once_and_waited_for():
    world = World([404] * 50 + [200], there=("/healthz",))
    world.wait(180)
    (told,) = world.told
    assert told.endswith(
        "answers 404, and 2xx at /healthz: --perf-readiness-path=/healthz, or --perf-readiness-path= for any server that "
        "accepts connections; waiting on"
    )


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (401, "answers 401; --perf-header='NAME: VALUE' is sent"),
        (403, "answers 403; --perf-header='NAME: VALUE' is sent"),
        (400, "answers 400; --perf-readiness-path=PATH names another path"),
        (moved(307, "/ready/"), "answers 307 to /ready/: --perf-readiness-path=/ready/"),
    ],
)
def test_another_answer_that_stays_is_told_once_whoever_chose_the_path(answer, words):
    for guessed in (True, False):
        world = World([answer] * 50 + [200], guessed=guessed)
        world.wait(180)
        (told,) = world.told
        assert words in told
        assert set(world.asked) == {"/health/ready"}


@pytest.mark.parametrize(
    "answers", [[503] * 100, [None] * 100, [404, 503] * 50, [404, None] * 50, [500, 502, 504] * 30]
)
def test_a_server_that_is_starting_is_waited_for_without_a_word(answers):
    world = World([*answers, 200], guessed=True)
    world.wait(180)
    assert world.told == []


def test_a_server_that_hangs_or_goes_while_it_is_asked_for_usual_paths_is_asked_no_further():
    world = World([404] * 30 + [200])
    ask = world.ask
    world.check._ask = lambda url: (
        ask(url) if url.endswith(("/ready", "/health")) else World([None]).ask("http://x/health/ready")
    )
    world.wait(180)
    assert "2xx at none of the usual paths" in world.told[0]


def test_a_certificate_that_is_not_trusted_ends_the_wait_at_once():
    world = World([UNTRUSTED])
    with pytest.raises(TargetError, match=r"its certificate is not trusted: .*--perf-ca-file=FILE"):
        world.wait(180)
    assert world.clock.sleeps_s == []


@pytest.mark.parametrize(
    ("location", "prefix", "path"),
    [
        ("/ready/", "", "/ready/"),
        ("http://x/up?full=1", "", "/up?full=1"),
        ("/api/ready/", "/api", "/ready/"),
        ("ready/", "", "/ready/"),
        ("/ready/", "/api", None),  # out of the address's path
        ("/apis/ready", "/api", None),
        ("https://x/ready", "", None),
        ("http://y/ready", "", None),
        ("http://[::1/", "", None),
        ("", "", None),
    ],
)
def test_a_redirect_is_told_as_the_path_that_the_option_names(location, prefix, path):
    assert path_of(f"http://x{prefix}/ready", location, prefix) == path


def test_a_dead_server_ends_the_wait_at_once():
    world = World([None])

    def dead():
        raise TargetError("it died")

    with pytest.raises(TargetError, match="it died"):
        world.wait(100, dead)
    assert world.clock.sleeps_s == []


class Scripted:
    """A check that holds from its n-th look on."""

    def __init__(self, holds_from, unmet="it did not come"):
        self.unmet = unmet
        self.looks = 0
        self._holds_from = holds_from

    def look(self, _now_s):
        self.looks += 1
        return "" if self.looks >= self._holds_from else f"look {self.looks}"


@given(st.integers(1, 30), st.integers(1, 30))
def test_of_several_conditions_each_must_have_held_and_none_is_looked_at_again(first, second):
    checks = [Scripted(first, "a"), Scripted(second, "b")]
    clock = FakeClock()
    wait_until_ready(checks, 100, lambda: None, clock=clock, sleep=clock.sleep)
    assert [check.looks for check in checks] == [first, second]


def test_a_wait_in_vain_names_only_what_did_not_come():
    world = World([200])
    with pytest.raises(TargetError, match=r"^it did not come within 3 s: look \d+$"):
        world.wait(3, others=[Scripted(1_000)])


def test_an_address_where_nobody_listens_is_no_answer():
    with socket.socket() as bound:  # bound and not listening: refused, and nobody else can take the port
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(httpx.ConnectError):
            probe(f"{url}/health/ready")
        assert "Connection refused" in refused_connection(url, 5.0)


def test_a_connection_is_accepted_by_any_server_that_listens_tcp_or_unix(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert Accepts(url, lambda: refused_connection(url, 5.0)).look(0.0) == ""
    path = tmp_path / "s"
    assert "No such file" in refused_connection("http://localhost", 5.0, socket_path=path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        assert refused_connection("http://localhost", 5.0, socket_path=path) == ""


@pytest.fixture
def tls_server():
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    def serve(server):
        while True:
            try:
                accepted, _ = server.accept()
            except OSError:
                return
            with (
                accepted,
                context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False) as encrypted,
            ):
                try:
                    encrypted.do_handshake()
                except OSError:
                    continue

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        yield f"https://127.0.0.1:{server.getsockname()[1]}", authority
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_an_https_server_accepts_a_connection_once_tls_stands(tls_server, tmp_path):
    url, authority = tls_server
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    assert refused_connection(url, 5.0, Trust(ca_file=tmp_path / "ca.pem")) == ""
    with pytest.raises(TargetError, match="its certificate is not trusted"):
        refused_connection(url, 5.0, Trust())


@pytest.mark.parametrize(
    ("pieces", "ready_after"),
    [
        (["Listening on 1\n"], 1),
        (["starting\n", "Listening on 1\n"], 2),
        (["Liste", "ning on 1", "\n"], 3),
        (["Listening on 1"], None),  # a line that has no end yet
        (["Listening\non 1\n"], None),
        (["x" * 3 * LONGEST_LINE + "Listening on 1\n"], None),  # beyond what is matched of a line
        (["x" * 3 * LONGEST_LINE, "\nListening on 1\n"], 2),
        (["\xff\xfe Listening on 1\r\n"], 1),
    ],
)
def test_a_line_of_the_log_matches_once_it_is_whole(tmp_path, pieces, ready_after):
    log = tmp_path / "log"
    check = LogLine(log, r"^.{0,5}Listening on \d$")
    assert check.look(0.0) == "there is no log yet"
    for count, piece in enumerate(pieces, 1):
        with log.open("ab") as file:
            file.write(piece.encode("latin-1"))
        assert (check.look(0.0) == "") is (count == ready_after)


@given(st.lists(st.text(alphabet="ab\n", max_size=6), max_size=8))
def test_lines_are_the_same_however_the_log_grows(tmp_path_factory, pieces):
    log = tmp_path_factory.mktemp("log") / "log"
    check, seen = LogLine(log, r"^ab$"), False
    log.touch()
    for piece in pieces:
        with log.open("a") as file:
            file.write(piece)
        seen = seen or check.look(0.0) == ""
    assert seen is bool(re.search(r"(?m)^ab\n", "".join(pieces)))


def test_what_another_start_wrote_is_no_line_of_this_one(tmp_path):
    log = tmp_path / "log"
    log.write_text("Listening\n")
    assert LogLine(log, "Listening", offset=log.stat().st_size).look(0.0) == "it has 0 lines so far"


def test_a_server_whose_program_has_ended_is_not_ready_whoever_answers():
    looks = []

    def check_alive():
        if looks:
            raise TargetError("it ended with exit status 0")

    class Holds:
        unmet = "nothing"

        def look(self, now_s):
            looks.append(now_s)
            return ""

    with pytest.raises(TargetError, match="it ended with exit status 0"):
        wait_until_ready([Holds()], 1.0, check_alive)
