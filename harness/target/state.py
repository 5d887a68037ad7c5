"""Commands around a target that keeps state: set-up before each start, reset before each load, tear-down after each end.

A command is given to no shell. It is told of which arm it is, and where the target listens once that is known. Its output
goes to a file beside the target's own log.
"""

import contextlib
import dataclasses
import enum
import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import psutil

from tailgate.harness.errors import TargetError
from tailgate.harness.options.settings import GateSettings
from tailgate.harness.target.asking.client import DEFAULT_PORTS
from tailgate.harness.target.launching.last_words import describe_exit, log_note
from tailgate.harness.target.settings import TargetSettings
from tailgate.harness.target.spec import CommandTarget, RunningUrl, UrlTarget
from tailgate.harness.target.target import RunningTarget, Target

TIMEOUT_S = 300.0
PLACEHOLDERS = ("{port}", "{metrics_port}", "{fd}", "{socket}")


class Step(enum.Enum):
    """When a command runs; the value is the name of its option."""

    SET_UP = "set-up"
    RESET = "reset"
    TEAR_DOWN = "tear-down"


@dataclass(frozen=True, slots=True)
class StateCommands:
    """The commands of one arm: those that the user gives."""

    arm: str = "head"
    lines: Mapping[Step, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)  # of the arm, added to that of this process
    directory: Path | None = None  # where they run; None for the current directory
    url: str | None = None  # of a server that runs elsewhere; any other gets its own with each start
    socket_path: Path | None = None  # likewise

    def only(self, *steps: Step) -> "StateCommands":
        """Return these steps alone."""
        return dataclasses.replace(
            self, lines={step: self.lines[step] for step in steps if step in self.lines}
        )

    def around(self, folder: Path) -> "Around":
        """Return a context from the set-up to the tear-down of one start; their output goes into the folder."""
        return Around(self, folder)


class Around:
    """One start of a target. Entering runs the set-up, leaving the tear-down, after a set-up that failed as well."""

    def __init__(self, commands: StateCommands, folder: Path) -> None:
        self._commands = commands
        self._folder = folder
        self._url = commands.url
        self._socket_path = commands.socket_path

    def __enter__(self) -> Self:
        """Run the set-up; raise TargetError where it fails."""
        try:
            self._run(Step.SET_UP)
        except BaseException as error:
            self._tear_down(error)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Run the tear-down; raise TargetError where it fails and nothing else has."""
        self._tear_down(error)

    def started(self, running: RunningTarget) -> None:
        """Take the address of the target, which the commands from now on are told."""
        self._url, self._socket_path = running.base_url, running.socket_path

    def reset(self) -> None:
        """Run the reset; raise TargetError where it fails."""
        self._run(Step.RESET)

    def _tear_down(self, error: BaseException | None) -> None:
        # What failed first is told: a tear-down often fails for want of what the set-up did not make.
        with contextlib.nullcontext() if error is None else contextlib.suppress(TargetError):
            self._run(Step.TEAR_DOWN)

    def _run(self, step: Step) -> None:
        line = self._commands.lines.get(step)
        if line is None:
            return
        log = self._folder / f"{step.value}-{self._commands.arm}.log"
        ended = _ended(step, shlex.split(line), dict(self._environment()), self._commands.directory, log)
        if ended:
            raise TargetError(
                f"--perf-{step.value} of {self._commands.arm}: {line!r} {ended}.{log_note(log)}"
            )

    def _environment(self) -> Iterator[tuple[str, str]]:
        yield from os.environ.items()
        # A server at a Unix socket has no port.
        parts = None if self._url is None or self._socket_path is not None else urlsplit(self._url)
        port = None if parts is None else parts.port or DEFAULT_PORTS.get(parts.scheme)
        known = {"{port}": port, "{socket}": self._socket_path}
        for name, value in self._commands.environment.items():
            filled = value
            for placeholder, said in known.items():
                filled = filled if said is None else filled.replace(placeholder, str(said))
            # What only the server can be told.
            if not any(placeholder in filled for placeholder in PLACEHOLDERS):
                yield name, filled
        yield "TAILGATE_ARM", self._commands.arm
        # The bytecode beside a revision's source has to be the server's: it proves whose code that ran.
        yield "PYTHONDONTWRITEBYTECODE", "1"
        if self._url is not None:
            yield "TAILGATE_URL", self._url
        if port is not None:
            yield "TAILGATE_PORT", str(port)
        if self._socket_path is not None:
            yield "TAILGATE_SOCKET", str(self._socket_path)


def _ended(
    step: Step, words: list[str], environment: Mapping[str, str], directory: Path | None, log: Path
) -> str:
    """Run a command to its end; return how it failed, empty where it did not."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        try:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=directory,
                env=environment,
                # A Ctrl-C at the terminal ends a set-up or a reset at once, and must not end the tear-down after it.
                start_new_session=step is Step.TEAR_DOWN,
            )
        except OSError as error:
            return f"cannot be started: {error.strerror}"
        try:
            code = process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            _kill(process)
            return f"did not end within {TIMEOUT_S:g} s"
        except BaseException:
            _kill(process)
            raise
    return f"ended with {describe_exit(code)}" if code else ""


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a command and what it has started."""
    children: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        children = psutil.Process(process.pid).children(recursive=True)
    # The parent first, which would go on to its next command.
    process.kill()
    for child in children:
        with contextlib.suppress(psutil.Error):
            child.kill()
    process.wait()


def asked_lines(settings: GateSettings) -> Mapping[Step, str]:
    """Return the command lines that the options give."""
    asked = {Step.SET_UP: settings.set_up, Step.RESET: settings.reset, Step.TEAR_DOWN: settings.tear_down}
    return {step: line for step, line in asked.items() if line is not None}


def commands_of(
    lines: Mapping[Step, str], arm: str, target: Target, settings: TargetSettings, directory: Path | None
) -> StateCommands:
    """Return the commands of an arm, with the environment that its target is started with."""
    environment = target.launch.environment if isinstance(target, CommandTarget) else settings.environment
    if not isinstance(target, UrlTarget):
        return StateCommands(arm, lines, environment, directory)
    url = RunningUrl(target.spec, settings, address=target.address).base_url
    return StateCommands(arm, lines, environment, directory, url, target.socket_path)
