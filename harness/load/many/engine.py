"""Engines: who starts generators, wherever they run, and ends them. Each is a :mod:`tailgate.harness.load.worker`."""

import contextlib
import os
import secrets
import socket
import struct
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from pathlib import Path
from typing import Protocol

from tailgate.harness.errors import LoadError, UsageError
from tailgate.harness.load.generator import ONE_THREAD, end, started
from tailgate.harness.load.link import TOKEN_VARIABLE, Link, over_socket

WORKER = ("-m", "tailgate.harness.load.worker")
# For who connects and then says nothing.
_CHALLENGE_S = 5


@dataclass(frozen=True, slots=True)
class GeneratorWorker:
    """A generator that has been started."""

    link: Link
    name: str = ""  # empty for what it calls itself
    pid: int | None = None  # its process on this machine; None where it runs elsewhere
    log: Path | None = None


class GeneratorEngine(Protocol):
    """What ``tailgate_generators`` returns; making it starts nothing."""

    @property
    def spec(self) -> str:
        """The specification that it came from."""

    def start(self, directory: Path) -> AbstractContextManager[Sequence[GeneratorWorker]]:
        """Return what starts the generators when it is entered, and leaves none behind; logs go into ``directory``."""


@dataclass(frozen=True, slots=True)
class CommandEngine:
    """Generators that are programs here, each with its standard input and output: the worker, or what leads to one elsewhere."""

    spec: str
    commands: Mapping[str, Sequence[str]]  # by name
    here: bool = False  # each command is the worker itself, on this machine

    @contextlib.contextmanager
    def start(self, directory: Path) -> Iterator[Sequence[GeneratorWorker]]:
        """Run the commands; leaving ends each by the end of its input, and kills those that stay."""
        with contextlib.ExitStack() as stack:
            workers = [
                stack.enter_context(self._run(name, command, directory / f"generator-{name}.log"))
                for name, command in self.commands.items()
            ]
            try:
                yield workers
            finally:
                # All leave at once, before each is waited for.
                for worker in workers:
                    worker.link.stop()

    @contextlib.contextmanager
    def _run(self, name: str, command: Sequence[str], log: Path) -> Iterator[GeneratorWorker]:
        try:
            process, link = started(command, log, {})
        except OSError as error:
            raise LoadError(f"cannot start generator {name!r}, {command[0]!r}: {error.strerror}") from error
        try:
            yield GeneratorWorker(link, name, process.pid if self.here else None, log)
        finally:
            link.close()
            end(process)


def built_in_engine(spec: str) -> CommandEngine | None:
    """Return the engine of ``processes:N`` or ``ssh:HOST,HOST=PYTHON``; None for any other specification."""
    kind, _, said = spec.partition(":")
    if kind == "processes":
        if not (said.isascii() and said.isdecimal() and 1 <= int(said) <= 1000):
            raise UsageError(f"generators {spec!r}: expected processes:N with a number from 1 to 1000")
        # -P: a folder called tailgate in the working directory must not take our place.
        command = (sys.executable, "-P", *WORKER)
        return CommandEngine(
            spec, {f"process-{number + 1}": command for number in range(int(said))}, here=True
        )
    if kind == "ssh":
        commands = {}
        for number, item in enumerate(said.split(","), start=1):
            host, _, python = item.strip().partition("=")
            # ssh would take it for an option.
            if not host or host.startswith("-") or any(letter.isspace() for letter in item.strip()):
                raise UsageError(
                    f"generators {spec!r}: expected ssh:HOST,HOST=PYTHON,…, such as ssh:a,user@b=/opt/venv/bin/python, "
                    f"got {item!r}"
                )
            commands[f"{number}-{host}"] = (*SSH, host, python or "python3", *WORKER)
        return CommandEngine(spec, commands)
    return None


# No question that nobody could answer; a machine that vanishes is noticed within 15 s.
SSH = ("ssh", "-o", "BatchMode=yes", "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3")


@dataclass(frozen=True, slots=True)
class Door:
    """Where generators connect to that were started elsewhere; they need the address and the token."""

    address: str  # HOST:PORT, for the command line of the worker
    token: str
    server: socket.socket

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables of each worker."""
        return {TOKEN_VARIABLE: self.token, **ONE_THREAD}

    def accept(self, count: int, within_s: float) -> list[GeneratorWorker]:
        """Return so many workers; raise LoadError where fewer come in time. Whoever does not know the token is sent away."""
        deadline_s = time.monotonic() + within_s
        with contextlib.ExitStack() as links:
            found: list[GeneratorWorker] = []
            while len(found) < count:
                self.server.settimeout(max(0.001, deadline_s - time.monotonic()))
                try:
                    link = _accepted(self.server.accept()[0], self.token.encode())
                except TimeoutError:
                    raise LoadError(
                        f"{len(found)} of {count} generators connected to {self.address} within {within_s:g} s"
                    ) from None
                if link is not None:
                    links.callback(link.close)
                    found.append(GeneratorWorker(link))
            links.pop_all()
            return found


def _accepted(connected: socket.socket, token: bytes) -> Link | None:
    patience = struct.pack("@ll", _CHALLENGE_S, 0)
    connected.settimeout(None)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, patience)
    try:
        with Connection(os.dup(connected.fileno())) as both:
            deliver_challenge(both, token)
            answer_challenge(both, token)
    except Exception:  # noqa: BLE001 - bytes of a stranger, which the challenge may take for anything
        connected.close()
        return None
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", 0, 0))
    return over_socket(connected)


@contextlib.contextmanager
def open_door(host: str, port: int = 0, advertised: str = "") -> Iterator[Door]:
    """Listen for generators within a ``with`` block, on a port that the system chooses where it is 0.

    ``advertised`` is the name by which they reach this machine; empty for ``host``.
    """
    with socket.create_server((host, port), backlog=1024) as server:
        address = f"{advertised or host}:{server.getsockname()[1]}"
        yield Door(address, secrets.token_hex(32), server)
