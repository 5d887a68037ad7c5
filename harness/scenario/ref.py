"""Numbers that the budget file gives: where a scenario leaves one open, and how it is filled in."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from tailgate.harness.errors import BudgetError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ref:
    """A number that the budget file gives, times a factor: ``Ref("rate") * 0.5``."""

    key: str
    factor: float = 1.0

    def __mul__(self, factor: float) -> "Ref":
        """Scale the number."""
        return Ref(self.key, self.factor * factor)

    __rmul__ = __mul__


Number = float | Ref


def refs(value: Any) -> frozenset[str]:
    """Return the budget keys that a scenario, or any part of one, still needs."""
    if isinstance(value, Ref):
        return frozenset({value.key})
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = [getattr(value, field.name) for field in dataclasses.fields(value)]
    elif isinstance(value, (tuple, list)):
        parts = list(value)
    else:
        return frozenset()
    return frozenset().union(*(refs(part) for part in parts))


def resolve(value: T, numbers: Mapping[str, float]) -> T:
    """Return ``value`` with each :class:`Ref` replaced by its number; raise BudgetError where there is none."""
    resolved: Any = value
    if isinstance(value, Ref):
        if value.key not in numbers:
            raise BudgetError(f"no budget {value.key!r}; there are {sorted(numbers) or 'none'}")
        resolved = numbers[value.key] * value.factor
    elif isinstance(value, (tuple, list)):
        resolved = tuple(resolve(part, numbers) for part in value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        changes = {
            field.name: resolve(getattr(value, field.name), numbers)
            for field in dataclasses.fields(value)
            if field.init
        }
        resolved = dataclasses.replace(value, **changes)
    return resolved  # type: ignore[no-any-return]
