"""What all tests need."""

import asyncio

import pytest


@pytest.fixture(scope="session", autouse=True)
def _no_stray_event_loop():
    """Keep pytest-asyncio from asking for a current event loop before there is one.

    It would get a new one that nobody closes, which is a warning, which is an error here.
    """
    asyncio.set_event_loop(None)
