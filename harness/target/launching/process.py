"""A launched server: a socket, a guardian, readiness, an end.

The listening socket is bound here, to a port that the kernel picks, and passed down, since finding a free port and
binding it later is a race. :mod:`tailgate.harness.target.launching.guardian` holds the server's life to that of this
process; a child that this process forks without executing another program keeps the server alive as long as itself.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Self

import psutil

from tailgate.harness.errors import TargetError
from tailgate.harness.target.asking.client import asking_client, refused_connection
from tailgate.harness.target.launching import guardian
from tailgate.harness.target.launching.last_words import describe_exit, log_note, tail
from tailgate.harness.target.launching.launch import Launch
from tailgate.harness.target.launching.readiness import (
    PROBE_TIMEOUT_S,
    Accepts,
    Check,
    LogLine,
    wait_until_ready,
)
from tailgate.harness.target.launching.ready_path import BY_CONNECTION, BY_LOG, ReadyPath, probe

HOST = "127.0.0.1"
SOCKET_URL = "http://localhost"
# The name of a socket has 107 bytes at most (unix(7)): the folder for temporary files may have a longer one.
SOCKETS = "/tmp"  # noqa: S108 - mkdtemp makes a folder of its own there
LONGEST_SOCKET = 107
BACKLOG = 2048  # as uvicorn's: a burst must be met by the server's queue, not by the kernel's
KILL_MARGIN_S = 15.0  # beyond the grace: the guardian's own KILL_TIMEOUT_S and its exit


class ServerProcess:
    """A running command line with its port and its log; a context manager that leaves nothing behind."""

    def __init__(self, launch: Launch, log: Path, port: int = 0) -> None:
        self.launch = launch
        self.log = log  # file of its standard output and error
        self.port = port  # where it listens on 127.0.0.1; 0 for one that :meth:`start` finds
        self.socket_path: Path | None = None  # the Unix socket in place of the port, where one is asked for
        self.metrics_port: int | None = None  # of its metrics, where the command is told of such a port
        self.pid: int | None = None  # of the command itself, not of its guardian; None before :meth:`start`
        self._guardian: subprocess.Popen[bytes] | None = None
        self._lifeline: socket.socket | None = None
        self._log_offset = 0  # where what it writes begins

    def __enter__(self) -> Self:
        """Bring the server up."""
        self.bring_up()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the server."""
        self.stop()

    @property
    def base_url(self) -> str:
        """Scheme, host and port; of a Unix socket the host that requests name."""
        return f"http://{HOST}:{self.port}" if self.socket_path is None else SOCKET_URL

    def bring_up(self) -> None:
        """Start the server and wait until it is ready; stop it when that fails."""
        self.start()
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise

    def start(self) -> None:
        """Start the command under a guardian; raise TargetError where that fails, or this object was started before."""
        if self._lifeline is not None:
            raise TargetError(
                f"{self.launch.command[0]!r} was started already; a new start is a new ServerProcess"
            )
        self._lifeline, theirs = socket.socketpair()
        try:
            with theirs:
                self._spawn(theirs)
            self.pid = self._told_pid(self._lifeline)
        except BaseException as error:
            self.stop()
            if isinstance(error, OSError):
                raise TargetError(f"cannot start {self.launch.command[0]!r}: {error}") from error
            raise

    def _spawn(self, lifeline: socket.socket) -> None:
        """Bind a port and start the guardian with it; close this process's copies of all that it passed."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        inherits = self.launch.names("{fd}")
        if self.launch.names("{socket}"):
            self.socket_path = Path(tempfile.mkdtemp(prefix="perf-", dir=SOCKETS)) / "s"
        with self.log.open("ab") as log, socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
            self._log_offset = log.tell()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((HOST, self.port))
            self.port = int(listener.getsockname()[1])
            numbers = {"{port}": str(self.port), "{socket}": str(self.socket_path)}
            if self.launch.names("{metrics_port}"):
                self.metrics_port = _free_port()
                numbers["{metrics_port}"] = str(self.metrics_port)
            passed = [lifeline.fileno()]
            if inherits:
                listener.listen(BACKLOG)
                numbers["{fd}"] = str(listener.fileno())
                passed.append(listener.fileno())
            else:
                listener.close()
            environment = {name: _fill(value, numbers) for name, value in self.launch.environment.items()}
            watch = ["--lifeline", str(lifeline.fileno()), "--grace", str(self.launch.stop_timeout_s), "--"]
            command = [_fill(argument, numbers) for argument in self.launch.command]
            self._guardian = subprocess.Popen(
                # -I -S: no site-packages and no settings of the user, so that it starts within milliseconds.
                [sys.executable, "-I", "-S", guardian.__file__, *watch, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.launch.directory,
                # Unbuffered, or the last words of a Python server that dies would die with it.
                env={"PYTHONUNBUFFERED": "1", **os.environ, **environment},
                pass_fds=passed,
                start_new_session=True,  # a Ctrl-C at the terminal is for the harness alone
            )

    def _told_pid(self, lifeline: socket.socket) -> int:
        """Read the command's process id, the only thing that the guardian ever says."""
        lifeline.settimeout(self.launch.ready_timeout_s)
        told = b""
        while not told.endswith(b"\n"):
            received = lifeline.recv(32)
            if not received:
                raise TargetError(
                    f"the guardian of {self.launch.command[0]!r} did not start.{log_note(self.log)}"
                )
            told += received
        return int(told)

    def wait_ready(self) -> None:
        """Wait until the server takes load; raise TargetError, with the log's tail, where it does not in time."""
        try:
            wait_until_ready(list(self._checks()), self.launch.ready_timeout_s, self.check_alive)
        except TargetError as error:
            raise TargetError(f"{error}.{log_note(self.log)}") from None

    def _checks(self) -> Iterator[Check]:
        launch, at = self.launch, self.socket_path
        client = partial(asking_client, headers=launch.headers, socket_path=at)
        if launch.ready_log is not None:
            yield LogLine(self.log, launch.ready_log, self._log_offset)
        if launch.readiness_path is not None:
            yield ReadyPath(
                self.base_url,
                launch.readiness_path,
                partial(probe, client=client),
                launch.tell,
                guessed=launch.readiness_guessed,
                otherwise=BY_LOG if launch.names("{fd}") else BY_CONNECTION,
            )
        elif not launch.names("{fd}"):
            connect = partial(refused_connection, self.base_url, PROBE_TIMEOUT_S, socket_path=at)
            yield Accepts(self.base_url, connect)

    def check_alive(self) -> None:
        """Raise TargetError when the server's process has ended."""
        code = self.exit_code()
        if code is not None:
            hint = "; if it went into the background, run it in the foreground" if code == 0 else ""
            raise TargetError(f"{' '.join(self.launch.command)!r} ended with {describe_exit(code)}{hint}")

    def alive(self) -> bool:
        """Tell whether the server's process exists."""
        return self._guardian is not None and self._guardian.poll() is None

    def exit_code(self) -> int | None:
        """Return the command's exit status, 128 + n where signal n ended it, None while it runs."""
        return None if self._guardian is None else self._guardian.poll()

    def pids(self) -> tuple[int, ...]:
        """Return the processes of the server: the command and what it has started."""
        if self.pid is None or not self.alive():
            return ()
        try:
            children = psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return ()
        return (self.pid, *(child.pid for child in children))

    def log_tail(self) -> str:
        """Return the last lines of the log; empty where there is none."""
        return tail(self.log)

    def stop(self) -> int | None:
        """Ask the server to end, give it time to drain, then kill it; return its exit status, None where it never started."""
        process = self._guardian
        try:
            if process is not None:
                process.terminate()
                process.wait(self.launch.stop_timeout_s + KILL_MARGIN_S)
        except subprocess.TimeoutExpired:
            pass  # the guardian hangs: what follows does its work
        finally:
            if self._lifeline is not None:
                self._lifeline.close()
            # Below 0: the guardian itself was killed, and its wards with it, but for theirs.
            if process is not None and (process.poll() is None or process.returncode < 0):
                self._kill(process)
            if self.socket_path is not None:
                shutil.rmtree(self.socket_path.parent, ignore_errors=True)
        return self.exit_code()

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        """End it the hard way: the guardian hangs, or a second Ctrl-C cut the wait short."""
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        try:
            process.wait(KILL_MARGIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind((HOST, 0))
        return int(reserved.getsockname()[1])


def _fill(text: str, numbers: Mapping[str, str]) -> str:
    for placeholder, number in numbers.items():
        text = text.replace(placeholder, number)
    return text
