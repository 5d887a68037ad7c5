"""torchvision's classifiers, without PyTorch's compiler, which none of them needs.

``import torchvision`` imports ``torch._dynamo`` with SymPy and Triton for one function, which RoI align calls on a CUDA device.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

# What ``torchvision.ops.roi_align`` imports, and the function that it takes.
COMPILER, TAKEN = "torch._dynamo.utils", "is_compile_supported"


def classifiers() -> ModuleType:
    """Import and return ``torchvision.models``."""
    with _compiler_put_off():
        return importlib.import_module("torchvision.models")


@contextmanager
def _compiler_put_off() -> Iterator[None]:
    """Let a stand-in take the place of :data:`COMPILER`, unless it is imported already."""
    if COMPILER in sys.modules:
        yield
        return
    stand_in = _StandIn(COMPILER)
    sys.modules[COMPILER] = stand_in
    try:
        yield
    finally:
        stand_in.leave()


class _StandIn(ModuleType):
    """A module that gives :data:`TAKEN` without being imported, and is imported for any other name."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # whoever lists the modules that there are asks each for its file
            raise AttributeError(name)
        if name == TAKEN:
            return self._taken
        return getattr(self.whole(), name)

    def _taken(self, device: Any) -> Any:
        return getattr(self.whole(), TAKEN)(device)

    def whole(self) -> ModuleType:
        """Import and return the module that this one stands for."""
        self.leave()
        return importlib.import_module(self.__name__)

    def leave(self) -> None:
        """Let the next import find the module itself."""
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
