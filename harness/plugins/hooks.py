"""What a hook of a plugin may do: each is called through pluggy, held to what it should give, and named where it fails.

A plugin's functions are wrapped one by one before they are registered, so that pluggy's wrappers work.
"""

import functools
import inspect
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tailgate.harness.errors import HarnessError, PluginError
from tailgate.harness.results.verdict import Better
from tailgate.harness.scenario.payloads.payload import Payload
from tailgate.harness.scenario.scenario import Scenario
from tailgate.harness.units import Unit


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a plugin comes from; a file has no distribution and no version."""

    name: str  # unique among plugins: of its entry point, or the file's path
    distribution: str | None
    version: str | None
    hooks: tuple[str, ...]  # in the order of the alphabet

    def __str__(self) -> str:
        """Name it as messages do."""
        return f"{self.name!r} of {self.distribution}" if self.distribution else repr(self.name)


@dataclass(frozen=True, slots=True)
class Expected:
    """What a hook gives, for messages and to be held to."""

    what: str
    kind: type | None = None  # None for any object of the shape
    attributes: tuple[
        tuple[str, type | None], ...
    ] = ()  # each with the class of its value; None for a method
    many: bool = True  # the hook gives any iterable of them, rather than one

    def lacks(self, thing: object) -> str:
        """Return what keeps a thing from being one; empty where nothing does."""
        if self.kind is not None:
            return "" if isinstance(thing, self.kind) else f"it is a {type(thing).__name__}"
        for name, kind in self.attributes:
            value = getattr(thing, name, None)
            if kind is None and not callable(value):
                return f"it has no method {name}()"
            if kind is not None and not isinstance(value, kind):
                return f"its {name} is {value!r}, expected a {kind.__name__}"
        return ""


NAMED = ("name", str)
# None: whatever the hook gives is ignored.
EXPECTED: dict[str, Expected | None] = {
    "tailgate_scenarios": Expected("Scenario", Scenario),
    "tailgate_measures": Expected(
        "measure", attributes=(NAMED, ("unit", Unit), ("better", Better), ("estimate", None))
    ),
    "tailgate_reporters": Expected("reporter", attributes=(NAMED, ("write", None))),
    "tailgate_payloads": Expected("Payload", Payload),
    "tailgate_generators": Expected(
        "engine of generators", attributes=(("spec", str), ("start", None)), many=False
    ),
    "tailgate_target": Expected("target", attributes=(("spec", str), ("start", None)), many=False),
    "tailgate_finished": None,
}

Brought = Callable[[object, Origin], None]


def guarded(function: Callable[..., Any], hook: str, origin: Origin, brought: Brought) -> Callable[..., Any]:
    """Return a function for pluggy in the place of a plugin's own; a generator function is a wrapper.

    ``brought`` takes each thing that it gives, and whose it is.
    """
    who = f"plugin {origin}: {hook}"

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        with _named(who, origin):
            given = taken(hook, function(*arguments, **named), who)
        if given is not None:
            for thing in given if isinstance(given, list) else [given]:
                brought(thing, origin)
        return given

    @functools.wraps(function)
    def wrap(*arguments: Any, **named: Any) -> Generator[Any, Any, Any]:
        with _named(who, origin):
            return (yield from _wrapping_once(function(*arguments, **named), who))

    return wrap if inspect.isgeneratorfunction(function) else call


def _wrapping_once(wrapper: Generator[Any, Any, Any], who: str) -> Generator[Any, Any, Any]:
    try:
        next(wrapper)
    except StopIteration:
        raise PluginError(f"{who} is a wrapper, and has ended without a yield; expected one") from None
    try:
        try:
            outcome = yield
        except BaseException as error:  # noqa: BLE001 - the wrapper's to catch, whatever it is
            wrapper.throw(error)
        else:
            wrapper.send(outcome)
    except StopIteration as end:
        return end.value
    raise PluginError(f"{who} is a wrapper, and has yielded twice; expected one yield")


@contextmanager
def _named(who: str, origin: Origin) -> Iterator[None]:
    """Name the plugin in all errors that leave it; a PluginError passes through the wrappers around it."""
    try:
        yield
    except PluginError:
        raise
    except (Exception, SystemExit) as error:
        if origin.name == "builtin" and isinstance(error, HarnessError):
            raise PluginError(str(error)) from None
        raise PluginError(f"{who} raised {type(error).__name__}: {error}") from error


def taken(hook: str, given: Any, who: str) -> Any:
    """Return what one function of a hook gave: a list for an iterable, else the thing itself; None for nothing."""
    expected = EXPECTED[hook]
    if given is None or expected is None:
        return None
    if not expected.many:
        _hold(expected, given, who)
        return given
    if isinstance(given, (str, bytes, dict)) or not isinstance(given, Iterable):
        raise PluginError(f"{who} gave {given!r}, expected a list, each item a {expected.what}")
    things = list(given)
    for thing in things:
        _hold(expected, thing, who)
    return things


def _hold(expected: Expected, thing: object, who: str) -> None:
    lacking = expected.lacks(thing)
    if lacking:
        raise PluginError(f"{who} gave {thing!r}, expected a {expected.what}: {lacking}")
