"""What all tests need."""

import asyncio
import signal

import pytest


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
