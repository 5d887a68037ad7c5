"""A target: ``folder:PATH`` is the files of a folder, served by Python's own server.

A target is a description that starts nothing until the run does; ``start`` returns what runs.
"""

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tailgate import RunningTarget, Target, TargetSettings, UsageError, hookimpl

KIND = "folder:"
TAIL_BYTES = 2000


class RunningFolder(RunningTarget):
    """The server, as a process of its own."""

    def __init__(self, target: "FolderTarget", log: Path) -> None:
        super().__init__(target.spec, target.settings)
        self._folder = target.folder
        self._log = log
        self._process: subprocess.Popen[str] | None = None
        self._port = 0

    @property
    def base_url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def pids(self) -> tuple[int, ...]:
        """Its one process."""
        return () if self._process is None else (self._process.pid,)

    def restart(self) -> None:
        """Start a fresh server; it says which port the system gave it once it listens there."""
        self.stop()
        command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
        command += ["--protocol", "HTTP/1.1", "--directory", str(self._folder)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        listens = re.search(r"port (\d+)", line)
        if listens is None:
            raise UsageError(f"{self.spec} does not listen: {line or self.log_tail()}")
        self._port = int(listens[1])

    def stop(self) -> None:
        """End the server; nothing where none runs."""
        if self._process is not None:
            self._process.terminate()
            self._process.communicate()
            self._process = None

    def alive(self) -> bool:
        """Tell whether it runs."""
        return self._process is not None and self._process.poll() is None

    def log_tail(self) -> str:
        """Return the end of what it said."""
        return self._log.read_bytes()[-TAIL_BYTES:].decode(errors="replace") if self._log.exists() else ""


@dataclass(frozen=True, slots=True)
class FolderTarget:
    """A folder to be served."""

    spec: str
    settings: TargetSettings
    folder: Path

    def start(self, directory: Path) -> RunningTarget:
        """Serve it; the log goes into ``directory``, that of the run."""
        running = RunningFolder(self, directory / "folder.log")
        running.restart()
        return running


@hookimpl
def tailgate_target(spec: str, settings: TargetSettings) -> Target | None:
    """Know ``folder:PATH``, and leave any other specification to other plugins."""
    if not spec.startswith(KIND):
        return None
    folder = Path(spec.removeprefix(KIND))
    if not folder.is_dir():
        raise UsageError(f"the target {spec!r} names no folder")
    return FolderTarget(spec, settings, folder)
