"""The places of HAProxy's backend, and which replica has which: read and written by its runtime API.

The API is that of HAProxy's management guide, section 9.3. Nothing is kept here: what HAProxy says is what there is.
"""

import csv
import socket
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

BACKEND = "replicas"
FREE = "MAINT"
TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Place:
    """One server of the backend."""

    name: str
    address: str  # host:port
    status: str  # UP, DOWN, DRAIN, or MAINT for a place that is free
    sessions: int  # requests that it has now


def ask(path: str, command: str) -> str:
    """Give HAProxy one command through its socket; return what it says."""
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(TIMEOUT_S)
        one.connect(path)
        one.sendall(f"{command}\n".encode())
        return b"".join(iter(lambda: one.recv(65536), b"")).decode().strip()


def read(statistics: str) -> tuple[Place, ...]:
    """Return the places by the answer to ``show stat``."""
    rows = csv.DictReader(statistics.removeprefix("# ").splitlines())
    return tuple(
        Place(row["svname"], row["addr"], row["status"].partition(" ")[0], int(row["scur"]))
        for row in rows
        if row["pxname"] == BACKEND and row["svname"] != "BACKEND"
    )


def changes(places: Sequence[Place], wanted: Collection[str]) -> Iterator[str]:
    """Yield the commands after which the replicas at the wanted addresses get all new requests.

    A replica that is not wanted any more gets no new request, and gives its place up when its last one is answered. A replica
    that finds no place waits for one.
    """
    used = [place for place in places if place.status != FREE]
    free = [place for place in places if place.status == FREE]
    for place in used:
        if place.address not in wanted:
            state = "drain" if place.sessions else "maint"
            yield f"set server {BACKEND}/{place.name} state {state}"
    missing = sorted(set(wanted) - {place.address for place in used})
    for place, address in zip(free, missing, strict=False):
        host, _, port = address.rpartition(":")
        yield f"set server {BACKEND}/{place.name} addr {host} port {port}"
        yield f"set server {BACKEND}/{place.name} state ready"
