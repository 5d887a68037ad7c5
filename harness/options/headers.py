"""Headers as a user writes them, ``NAME: VALUE``, with variables of the environment in the value.

``$NAME`` and ``${NAME}`` stand for a variable, ``$$`` for a dollar. Every pytest session on the machine loads this
module, so it imports nothing heavy.
"""

import re
from collections.abc import Iterable, Mapping
from string import Template

from tailgate.harness.errors import UsageError

# RFC 9110: a token (section 5.6.2), and a field value without control characters (section 5.5).
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")
# They frame a request, or say what becomes of its connection.
RESERVED = frozenset({"content-length", "transfer-encoding", "connection", "expect"})
# A second one contradicts the first.
_ONCE = frozenset({"host", "content-type", "authorization"})

Header = tuple[str, str]


def split(text: str) -> Header:
    """Return name and value of ``NAME: VALUE``."""
    name, _, value = text.partition(":")
    return name.strip(), value.strip()


def fault(name: str, value: str) -> str | None:
    """Return why a header cannot be sent; None where it can."""
    if not _TOKEN.fullmatch(name):
        return f"{name!r} is not the name of a header"
    if name.lower() in RESERVED:
        return f"{name} is set by the generator; leave it out"
    if not _VALUE.fullmatch(value):
        return f"the value of {name} holds what no header can: expected printable ASCII"
    return None


def expanded(texts: Iterable[str], environment: Mapping[str, str], option: str) -> tuple[Header, ...]:
    """Return the headers with the variables' values.

    Raise UsageError, which names the option, for a variable that is not set, and for what cannot be sent. A value is never
    told.
    """
    found: list[Header] = []
    for text in texts:
        name, template = split(text)
        try:
            # One that is empty is what a CI system gives for a secret that is missing.
            said = {one: value for one, value in environment.items() if value}
            value = Template(template).substitute(said).strip()
        except KeyError as error:
            raise UsageError(
                f"{option}: {name} takes ${error.args[0]} from the environment, where it is not set or empty; $$ stands for "
                "a dollar"
            ) from None
        except ValueError:
            raise UsageError(
                f"{option}: {name} holds a dollar that begins no $VARIABLE or ${{VARIABLE}}; write $$ for a dollar"
            ) from None
        if why := fault(name, value):
            raise UsageError(f"{option}: {why}")
        if name.lower() in _ONCE and name.lower() in {one.lower() for one, _ in found}:
            raise UsageError(f"{option}: {name} is given twice; give it once")
        found.append((name, value))
    return tuple(found)


def taken(texts: Iterable[str], environment: Mapping[str, str]) -> tuple[Header, ...]:
    """Return the header's name and the value of each variable in headers; one that is not set is left out."""
    found: list[Header] = []
    for text in texts:
        name, template = split(text)
        identifiers = Template(template).get_identifiers()
        found += [(name, environment[one]) for one in identifiers if environment.get(one)]
    return tuple(found)


def literal(texts: Iterable[str]) -> tuple[Header, ...]:
    """Return the headers without variables, as they are written and as they are sent."""
    written = [split(text) for text in texts if not Template(text).get_identifiers()]
    return (*written, *((name, Template(value).safe_substitute()) for name, value in written))
