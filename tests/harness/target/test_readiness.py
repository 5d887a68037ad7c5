"""Readiness is polled on a fake clock: no test here waits."""

import socket

import httpx
import pytest

from tailgate.harness.errors import TargetError
from tailgate.harness.target.asking import path_of
from tailgate.harness.target.readiness import LONGEST_PAUSE_S, probe, wait_until_ready


def moved(status, location):
    return httpx.Response(status, headers={"location": location})


class World:
    """A clock that only ``sleep`` moves, and a server that answers from a list; the last answer repeats."""

    def __init__(self, answers):
        self.answers = list(answers)
        self.now_s = 0.0
        self.pauses_s = []

    def probe(self, _url):
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            raise httpx.ConnectError("[Errno 111] refused")
        return answer if isinstance(answer, httpx.Response) else httpx.Response(answer)

    def sleep(self, seconds):
        self.pauses_s.append(seconds)
        self.now_s += seconds

    def wait(self, timeout_s, check_alive=lambda: None):
        wait_until_ready(
            "http://x/ready",
            timeout_s,
            check_alive,
            probe=self.probe,
            clock=lambda: self.now_s,
            sleep=self.sleep,
        )


def test_a_server_that_is_ready_is_not_waited_for():
    world = World([200])
    world.wait(10)
    assert world.pauses_s == []


def test_polling_goes_on_until_the_first_200_with_growing_bounded_pauses():
    world = World([None] * 5 + [503] * 20 + [200])
    world.wait(100)
    assert len(world.pauses_s) == 25
    assert world.pauses_s == sorted(world.pauses_s)
    assert max(world.pauses_s) == LONGEST_PAUSE_S


@pytest.mark.parametrize("status", [200, 202, 204, 299])
def test_any_2xx_is_ready(status):
    world = World([503, status])
    world.wait(10)
    assert len(world.pauses_s) == 1


@pytest.mark.parametrize("status", [None, 101, 199, 300, 304, 404, 500, 600])
def test_nothing_else_is(status):
    world = World([status, 200])
    world.wait(10)
    assert len(world.pauses_s) == 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (503, "the last answer was 503; --perf-readiness-path=PATH names another path"),
        (404, "the last answer was 404; --perf-readiness-path=PATH names another path"),
        (moved(307, "/ready/"), "the last answer was 307 to /ready/: --perf-readiness-path=/ready/"),
        (moved(301, "https://x/ready"), "the last answer was 301 to https://x/ready$"),
        (None, r"there was no answer \(\[Errno 111\] refused\)"),
    ],
)
def test_a_server_that_is_never_ready_is_given_up_with_its_last_answer(answer, words):
    world = World([answer])
    with pytest.raises(TargetError, match=f"did not answer 2xx within 3 s: {words}"):
        world.wait(3)
    assert 3 <= world.now_s <= 3 + LONGEST_PAUSE_S


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
    assert world.pauses_s == []


def test_an_address_where_nobody_listens_is_no_answer():
    with socket.socket() as bound:  # bound and not listening: refused, and nobody else can take the port
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(httpx.ConnectError):
            probe(f"http://127.0.0.1:{bound.getsockname()[1]}/health/ready")
