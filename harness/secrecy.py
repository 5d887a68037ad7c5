"""Hide secrets: passwords in addresses, and values whose names say that they are secret.

All that a run prints or keeps goes through :meth:`Secrets.hide`. Pure text.
"""

import base64
import dataclasses
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar
from urllib.parse import unquote

T = TypeVar("T")

HIDDEN = "***"
# A shorter value may as well be a number in a report; it is hidden only where its name stands before it.
SHORTEST_ANYWHERE = 6
_SECRET_PARTS = frozenset(
    """
    AUTH AUTHORIZATION BEARER COOKIE CREDENTIAL CREDENTIALS CREDS JWT KEY KEYS PASS PASSWORDS PAT PW PWD SECRETS SIG
    SIGNATURE
    """.split()  # noqa: SIM905 - words read best as words
)
# These may end a longer part as well: PGPASSWORD, authtoken.
_SECRET_ENDS = (
    *("ACCESSKEY", "APIKEY", "PASSCODE", "PASSPHRASE", "PASSWD", "PASSWORD", "PRIVATEKEY"),
    *("SECRET", "SECRETKEY", "TOKEN"),
)
# The parts of apiKey, API_KEY, X-Api-Key and APIKEY2.
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
# As urlsplit reads it: to the last @ before the path.
_USER_INFO = re.compile(r"//([^/\s?#]*)@")
# NAME=VALUE and --name=value, and what stands in a query.
_ASSIGNED = re.compile(r"(?P<name>[A-Za-z][\w.-]*)=(?P<value>[^\s&,;#'\"]+)")
# --name value, in a command line.
_OPTION = re.compile(r"(?<!\S)--?(?P<name>[A-Za-z][\w-]*)\s+(?P<value>[^\s'\"-][^\s'\"]*)")
# "name": "value", in JSON.
_MEMBER = re.compile(r'"(?P<name>[A-Za-z][\w.-]*)"\s*:\s*"(?P<value>[^"]*)"')
# One whole argument of a command line: NAME=VALUE, --name=value, or a header's Name: value.
_ARGUMENT = re.compile(r"-{0,2}(?P<name>[A-Za-z][\w.-]*)(=|:\s+)(?P<value>.+)", re.DOTALL)
_VARIABLE = re.compile(r"\$(\w+|\{\w+\})")
# What stands before the secret itself in a header.
_SCHEME = re.compile(r"(basic|bearer|token|apikey)\s+", re.IGNORECASE)


def is_secret(name: str) -> bool:
    """Tell whether a name says that its value is secret, as ``API_KEY``, ``apiKey`` and ``--auth-token`` do."""
    parts = [part.upper() for part in _PARTS.findall(name)]
    return any(part in _SECRET_PARTS or part.endswith(_SECRET_ENDS) for part in parts)


@dataclass(frozen=True, slots=True)
class Secrets:
    """Secret texts, longest first, each with its replacement."""

    texts: tuple[tuple[str, str], ...]

    @classmethod
    def of(
        cls,
        words: Iterable[str],
        assignments: Iterable[tuple[str, str]] = (),
        certain: Iterable[tuple[str, str]] = (),
    ) -> "Secrets":
        """Return the secrets in words of a command line, and among names with values.

        Of ``assignments`` the names decide; a value of ``certain`` is secret whatever its name.
        """
        found = {one for word in words for one in _in_word(word)}
        found |= {one for name, value in assignments if is_secret(name) for one in _named(name, value)}
        found |= {one for name, value in certain for one in _named(name, value)}
        return cls(tuple(sorted(found, key=lambda one: len(one[0]), reverse=True)))

    def hide(self, text: str) -> str:
        """Return a text without its secrets."""
        for secret, instead in self.texts:
            text = text.replace(secret, instead)
        text = _USER_INFO.sub(f"//{HIDDEN}@", text)
        for pattern in (_ASSIGNED, _OPTION):
            text = pattern.sub(_hidden, text)
        return text

    def hide_all(self, value: T) -> T:
        """Return plain data, such as a result, without the secrets in its texts."""
        hidden: Any = value
        if isinstance(value, str):
            hidden = self.hide(value)
        elif isinstance(value, tuple):
            hidden = tuple(map(self.hide_all, value))
        elif isinstance(value, Mapping):
            hidden = {key: self.hide_all(item) for key, item in value.items()}
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = [field.name for field in dataclasses.fields(value) if field.init]
            hidden = dataclasses.replace(
                value, **{name: self.hide_all(getattr(value, name)) for name in fields}
            )
        return hidden  # type: ignore[no-any-return]


def basic_authorization(user: str, password: str) -> str:
    """Return the value of the header Authorization for a user (RFC 7617); both as an address writes them."""
    pair = f"{unquote(user)}:{unquote(password)}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _hidden(match: re.Match[str]) -> str:
    name, value = match["name"], match["value"]
    before = match[0].removesuffix(value)
    if not is_secret(name):
        # --perf-env=NAME=VALUE
        return before + _ASSIGNED.sub(_hidden, value)
    return match[0] if _stands_for(value) else before + HIDDEN


def _stands_for(value: str) -> bool:
    """Tell whether a value is a placeholder: a shell variable, the word of a message, or what has been hidden."""
    return value in {"VALUE", HIDDEN} or _VARIABLE.fullmatch(value) is not None


def _in_word(word: str) -> Iterator[tuple[str, str]]:
    for info in _USER_INFO.findall(word):
        user, _, password = info.partition(":")
        yield basic_authorization(user, password), f"Basic {HIDDEN}"
        # Who gives no password gives a token for a user.
        secret = password or user
        for text in {secret, unquote(secret)}:
            if len(text) >= SHORTEST_ANYWHERE:
                yield text, HIDDEN
    for pattern in (_ASSIGNED, _OPTION, _MEMBER):
        for match in pattern.finditer(word):
            if is_secret(match["name"]):
                yield from _named(match["name"], match["value"])
            yield from _in_word(match["value"])
    for option, argument in pairwise(["", *_arguments(word)]):
        yield from _in_argument(argument)
        takes = option.startswith("-") and "=" not in option and not argument.startswith("-")
        if takes and is_secret(option):
            yield from _named(option.lstrip("-"), argument)


def _arguments(word: str) -> list[str]:
    try:
        return shlex.split(word)
    except ValueError:
        return [word]


def _in_argument(argument: str) -> Iterator[tuple[str, str]]:
    match = _ARGUMENT.fullmatch(argument)
    if match is not None:
        if is_secret(match["name"]):
            yield from _named(match["name"], match["value"])
        yield from _in_argument(match["value"])


def _named(name: str, value: str) -> Iterator[tuple[str, str]]:
    if not value or _stands_for(value):
        return
    for written in (f"{name}=%s", f"{name}='%s'", f'{name}="%s"', f"{name}: %s", f'"{name}": "%s"'):
        yield written % value, written % HIDDEN
    for text in {value, _SCHEME.sub("", value, count=1)}:
        if len(text) >= SHORTEST_ANYWHERE:
            yield text, HIDDEN
            # As a message quotes it, where it has several lines.
            yield repr(text)[1:-1], HIDDEN
