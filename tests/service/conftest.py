"""What all tests of the service need."""

import sys
import types

import pytest
from tiny_models import FOUR_FLOATS, Gate

from tailgate.service.models import Model


@pytest.fixture
def gate(monkeypatch):
    """The gate of a model that doubles, by the name ``gated:factory``."""
    module = Gate()
    model = Model("gated", module, "none", input=FOUR_FLOATS)
    monkeypatch.setitem(sys.modules, "gated", types.SimpleNamespace(factory=lambda: model))
    yield module
    module.opened.set()


@pytest.fixture
def named(monkeypatch):
    """Return a function that gives a model a name for ``TAILGATE_MODEL``."""

    def name(model):
        monkeypatch.setitem(sys.modules, "made", types.SimpleNamespace(factory=lambda: model))
        return "made:factory"

    return name
