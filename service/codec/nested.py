"""Nested lists of numbers, as JSON has them, to an array of a known shape and type.

NumPy alone takes more than is wanted: one long text makes it reserve as much for every other element, gigabytes for a body of
1 MB; true is taken for 1, and a whole number that is too large turns negative. So each level is checked first.
"""

from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tailgate.service.errors import WrongShape
from tailgate.service.models.spec import TensorSpec

# Far beyond any tensor's rank; orjson itself stops at 1,024.
MAX_DEPTH = 64
NUMBERS = frozenset({int, float})
TRUE_AND_FALSE = "true and false, or 1 and 0,"
# JSON's words for what Python makes of it.
NAMES = {bool: "true or false", type(None): "null", str: "text", dict: "an object", list: "a list"}


def shape_of(value: Any, name: str = "inputs") -> tuple[int, ...]:
    """Return the lengths along the first elements, () for no list; WrongShape beyond ``MAX_DEPTH``.

    :func:`array_of` refuses ragged lists. Refusals begin with ``name``.
    """
    shape: list[int] = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        if len(shape) > MAX_DEPTH:
            raise WrongShape(f"{name}: nested deeper than {MAX_DEPTH}")
        value = value[0]
    return tuple(shape)


def array_of(inputs: Any, shape: tuple[int, ...], spec: TensorSpec, name: str = "inputs") -> NDArray[Any]:
    """Return lists that are nested as ``shape``, which has as many elements as ``spec``, as an array of ``spec``.

    Refusals begin with ``name``.

    Raises:
        WrongShape: lists of other lengths, something that is no number, or a number that the type does not hold.
    """
    level: list[Any] = [inputs]
    for length in shape:
        level = _inside(level, length, shape, name)
    wanted, taken, convert = _TAKEN.get(spec.dtype.kind, ("numbers", NUMBERS, _integers))
    kinds = set(map(type, level)) - taken
    if kinds:
        raise WrongShape(f"{name}: expected {wanted} for {spec}, got {_names(kinds)} among them")
    return convert(level, spec, name).reshape(spec.shape)


def _inside(level: list[Any], length: int, shape: tuple[int, ...], name: str) -> list[Any]:
    kinds = set(map(type, level)) - {list}
    if kinds:
        raise WrongShape(f"{name}: expected lists nested as {list(shape)}, got {_names(kinds)} for a list")
    others = set(map(len, level)) - {length}
    if others:
        raise WrongShape(
            f"{name}: the lists are of unequal lengths: expected {length} elements of {list(shape)}, got {min(others)}"
        )
    return list(chain.from_iterable(level))


def _floats(numbers: list[int | float], spec: TensorSpec, name: str) -> NDArray[Any]:
    with np.errstate(over="ignore"):
        array = np.array(numbers, np.float64).astype(spec.dtype)
    if not np.isfinite(array).all():
        raise WrongShape(f"{name}: a number among them is too large for {spec.dtype}")
    return array


def _integers(numbers: list[int | float], spec: TensorSpec, name: str) -> NDArray[Any]:
    limits = np.iinfo(spec.dtype.name)
    given = np.array(numbers)
    fits = True
    if given.dtype.kind == "f":  # floats do not hold every whole number; Python's own do
        fits = all(number.is_integer() for number in numbers if isinstance(number, float))
        given = np.array([int(number) for number in numbers], object)
    if not fits or given.min() < limits.min or given.max() > limits.max:
        raise WrongShape(f"{name}: expected whole numbers from {limits.min} to {limits.max} for {spec}")
    return given.astype(spec.dtype)


def _booleans(values: list[int | float], spec: TensorSpec, name: str) -> NDArray[Any]:
    given = np.array(values)
    if given.dtype.kind != "b" and not np.isin(given, (0, 1)).all():
        raise WrongShape(f"{name}: expected {TRUE_AND_FALSE} for {spec}, got other numbers among them")
    return given.astype(spec.dtype)


# By NumPy's kind of type: what JSON may bring for it, in words and as Python has it, and what makes an array of that.
_TAKEN = {
    "f": ("numbers", NUMBERS, _floats),
    "b": (TRUE_AND_FALSE, NUMBERS | {bool}, _booleans),
}


def _names(kinds: set[type]) -> str:
    return " and ".join(sorted(NAMES.get(kind, "a number") for kind in kinds))
