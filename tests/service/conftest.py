"""What all tests of the service need."""

import asyncio
import sys
import types

import pytest
from tiny_models import FOUR_FLOATS, Gate

from service.models import Model


@pytest.fixture(scope="session", autouse=True)
def _no_stray_event_loop():
    """Keep pytest-asyncio from asking for a current event loop before there is one.

    It would get a new one that nobody closes, which is a warning, which is an error here.
    """
    asyncio.set_event_loop(None)


@pytest.fixture
def gate(monkeypatch):
    """The gate of a model that doubles, by the name ``gated:factory``."""
    module = Gate()
    model = Model("gated", module, "none", input=FOUR_FLOATS)
    monkeypatch.setitem(sys.modules, "gated", types.SimpleNamespace(factory=lambda: model))
    yield module
    module.opened.set()
