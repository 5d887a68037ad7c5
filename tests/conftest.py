"""What all tests need."""

import asyncio
import gc
import signal
import socketserver

import pytest
from hypothesis import HealthCheck, settings

# A machine that is slow for a moment is no counterexample: no example has a time to keep, and none is slow to make.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


def pytest_collection_finish():
    """Keep what all tests share, PyTorch above all, out of each later garbage collection: it takes 0.2 s there."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _no_stray_event_loop():
    """Keep pytest-asyncio from asking for a current event loop before there is one.

    It would get a new one that nobody closes, which is a warning, which is an error here.
    """
    asyncio.set_event_loop(None)


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_is_heard():
    """Listen to SIGINT, here and in the processes that tests start: a shell has its background jobs ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _servers_end_soon():
    """Have the standard library's servers look often whether they are to end: by default they do twice a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socketserver.BaseServer.serve_forever, "__defaults__", (0.01,))
        yield


@pytest.fixture(autouse=True)
def _signals_are_heard_as_before():
    """Put signal handlers back: a server that ran in this process leaves those of its event loop, which has ended."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, handlers, strict=True):
        signal.signal(number, handler)
