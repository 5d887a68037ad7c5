"""Start the servers of a comparison once, and let exactly one of them run at a time.

SIGSTOP holds all others, with all their processes: several of them use a processor while idle, and a restart for each
cell would measure starts. A server that does not survive SIGSTOP is left running; it rests when idle.
"""

import contextlib
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import httpx
import psutil

from benchmarks.environments import ROOT, AbsentError, cache
from benchmarks.serving.client import Client, Figures, drive
from benchmarks.serving.roster import Entry
from benchmarks.workloads import Workload
from tailgate.harness.errors import TargetError
from tailgate.harness.target.launching.process import ServerProcess

WARM_S = 0.3


@dataclass(frozen=True, slots=True)
class Slot:
    """One server of a comparison, by a name of its own.

    ``processors`` are those that it may run on, as taskset lists them; ``environment`` holds further settings.
    """

    name: str
    entry: Entry
    workload: Workload
    processors: str
    environment: Mapping[str, str] = field(default_factory=dict)


class Fleet:
    """Running servers; a context manager that leaves none behind.

    Attributes:
        running: those that started, by name.
        absent: the reason for each that did not.
    """

    def __init__(self, slots: Sequence[Slot]) -> None:
        self.running: dict[str, ServerProcess] = {}
        self.absent: dict[str, str] = {}
        self._slots = {slot.name: slot for slot in slots}

    def __enter__(self) -> Self:
        """Start them one after the other; only the one that starts runs."""
        try:
            for slot in self._slots.values():
                self._start(slot)
        except BaseException:
            self._stop_all()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop them all."""
        self._stop_all()

    @contextlib.contextmanager
    def only(self, name: str) -> Iterator[ServerProcess]:
        """Let one server run while all others stand still."""
        server = self.running[name]
        _signal(server, signal.SIGCONT)
        try:
            yield server
        finally:
            self._pause(name)

    def load(self, name: str, connections: int, seconds: float, client: Client, processor: int) -> Figures:
        """Wake one server, warm it, and load it.

        Raises:
            ClientError: the client failed.
        """
        slot = self._slots[name]
        request = slot.entry.encode(slot.workload)
        with self.only(name) as server:
            drive(server.port, slot.entry.path, request, connections, WARM_S, Client.OWN, processor)
            return drive(server.port, slot.entry.path, request, connections, seconds, client, processor)

    def check_answers(self) -> None:
        """Drop every server whose answer differs from that of the first one."""
        expected = None
        for name in list(self.running):
            try:
                found = self._answer(name)
            except (httpx.HTTPError, ValueError, LookupError) as error:
                self._drop(name, f"cannot be asked: {error!r}")
                continue
            expected = found if expected is None else expected
            if found != expected:
                self._drop(name, f"answers {found:g} where {expected:g} is right")

    def _answer(self, name: str) -> float:
        entry = self._slots[name].entry
        request = entry.encode(self._slots[name].workload)
        headers = {**request.headers, "Accept-Encoding": "identity"}
        with self.only(name) as server:
            url = server.base_url + entry.path
            answer = httpx.post(url, content=request.body, headers=headers, timeout=20, trust_env=False)
        return entry.read(answer.raise_for_status().content)

    def _drop(self, name: str, reason: str) -> None:
        print(f"absent: {name}: {reason}", flush=True)
        self.absent[name] = reason
        server = self.running.pop(name)
        _signal(server, signal.SIGCONT)
        server.stop()

    def _start(self, slot: Slot) -> None:
        log = cache() / "logs" / f"{slot.workload.name}-{slot.name}.log"
        log.unlink(missing_ok=True)
        try:
            launch = slot.entry.launch(slot.workload, slot.processors, slot.environment)
            server = ServerProcess(launch, log)
            server.bring_up()
        except (AbsentError, TargetError) as error:
            self.absent[slot.name] = f"{_reason(error)} (log: {log.relative_to(ROOT)})"
            print(f"absent: {slot.name}: {self.absent[slot.name]}", flush=True)
            return
        self.running[slot.name] = server
        self._pause(slot.name)

    def _pause(self, name: str) -> None:
        if self._slots[name].entry.pausable:
            _signal(self.running[name], signal.SIGSTOP)

    def _stop_all(self) -> None:
        for server in self.running.values():
            _signal(server, signal.SIGCONT)
        for server in self.running.values():
            server.stop()


def _reason(error: Exception) -> str:
    """Return what happened and the last line of the server's log."""
    first, *quoted = str(error).splitlines()
    happened = first.partition(". The end of its log")[0].rpartition("' ")[2]
    return f"{happened}: {quoted[-1].strip()}"[:300] if quoted else happened[:300]


def _signal(server: ServerProcess, number: signal.Signals) -> None:
    """Signal a server's process and all its descendants."""
    assert server.pid is not None
    with contextlib.suppress(psutil.NoSuchProcess):
        # Descendants whose parents have ended belong to the guardian, which is the parent of the server.
        guardian = psutil.Process(server.pid).parent()
        for process in guardian.children(recursive=True) if guardian is not None else []:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
