"""The addresses of the protocol: which model, which version, and what is asked about it."""

import re
from typing import NamedTuple
from urllib.parse import unquote

from tailgate.service.codec.oip.reply import VERSION
from tailgate.service.errors import UnknownModel

# Names of models may hold anything, a slash as well; clients quote them.
_SECOND = re.compile(
    r"/v2/models/(?P<model>.+?)(?:/versions/(?P<version>[^/]*))?"
    r"(?P<about>|/infer|/ready|/config|/stats|/generate|/generate_stream|/trace/setting)/?",
    re.DOTALL,
)
_FIRST = re.compile(r"/v1/models/(?P<model>.+?)(?P<infer>:predict)?/?", re.DOTALL)


class Address(NamedTuple):
    """What a path names."""

    model: str
    version: str | None  # None: whichever there is
    about: str  # "" for the metadata, "infer", "ready", …
    first: bool = False  # of KServe's first version


def address_of(path: str) -> Address | None:
    """Return what a path of either version names, None where it names no model."""
    if found := _SECOND.fullmatch(path):
        return Address(found["model"], found["version"], found["about"].strip("/"))
    if found := _FIRST.fullmatch(path):
        return Address(found["model"], None, "infer" if found["infer"] else "", first=True)
    return None


def require_model(address: Address, served: str) -> None:
    """Raise UnknownModel where another model than the one that is served is named, or another version."""
    if address.model != served:
        raise UnknownModel(f"unknown model {address.model[:100]!r}; this service has one, {served!r}")
    if address.version not in (None, "", VERSION):
        raise UnknownModel(
            f"unknown version {address.version[:100]!r} of {served!r}; there is one, {VERSION!r}"
        )


def unquoted(target: bytes) -> str:
    """Return the path of a request's target as text."""
    return unquote(target.partition(b"?")[0].decode("latin-1"), errors="replace")
