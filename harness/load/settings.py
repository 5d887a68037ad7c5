"""Where and how the generator sends; what it sends stands in the plan."""

import dataclasses
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import orjson

from tailgate.harness.target.asking.trust import Trust

# Files that generator and parent share, beside the plan's and the samples.
SETTINGS = "load.json"
LOG = "generator.log"
HEADERS_VARIABLE = "TAILGATE_LOAD_HEADERS"
# Open files beside those of connections_max: the connections of disturbers, and what every program has open.
DESCRIPTORS_BESIDE = 512


class TimerMode(enum.Enum):
    """How the generator waits for the next intended time."""

    SPIN = "spin"  # sleeps, then polls through the last stretch: for a processor of its own
    SLEEP = "sleep"  # sleeps until the moment, and leaves the processor to others


class Scheduling(enum.Enum):
    """How the kernel treats the generator among others that want its processor."""

    FIFO = "fifo"  # real-time, first in, first out (sched(7)): runs at once when it has something to do
    NORMAL = "normal"  # takes its turn


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """How to reach the server, and the generator's own limits."""

    host: str
    port: int
    # Path of the base address, without a slash at its end; it stands before each payload's path.
    prefix: str = ""
    tls: bool = False
    trust: Trust = field(default_factory=Trust)  # for TLS
    socket_path: Path | None = None  # the Unix socket to connect to, in place of host and port
    # Most connections open at once; requests beyond wait, and the wait is their latency.
    connections_max: int = 1024
    connections_warm: int = 8  # opened before the first phase
    # On how many connections the server answers at a time; None for no bound. No more are opened then, none ahead, and
    # none stays open between phases, where it would hold up whoever asks for the metrics.
    at_once: int | None = None
    # A request without a complete answer so long after its intended time is a TIMEOUT; so each phase ends.
    timeout_s: float = 10.0
    processor: int | None = None  # the one to run on; None for any
    # What to ask the kernel for; where it refuses FIFO, the generator takes its turn and says so.
    scheduling: Scheduling = Scheduling.FIFO
    headers: tuple[tuple[str, str], ...] = ()  # sent with every request, beside the payload's own
    id_prefix: str = ""  # of the requests' ids; empty: they have none

    @property
    def where(self) -> str:
        """What a message calls the server."""
        return f"{self.host}:{self.port}" if self.socket_path is None else str(self.socket_path)

    @property
    def connections_limit(self) -> int:
        """The most connections that are open at once."""
        return self.connections_max if self.at_once is None else min(self.connections_max, self.at_once)

    @property
    def timer(self) -> TimerMode:
        """How the generator waits."""
        return TimerMode.SLEEP if self.processor is None else TimerMode.SPIN


def write_settings(settings: LoadSettings, path: Path) -> Mapping[str, str]:
    """Write settings as JSON; return the environment that holds the headers, which may be secret, and the file does not."""
    written = dataclasses.replace(settings, headers=())
    path.write_bytes(orjson.dumps(dataclasses.asdict(written), option=orjson.OPT_INDENT_2, default=str))
    return {HEADERS_VARIABLE: orjson.dumps(settings.headers).decode()}


def read_id_prefix(directory: Path) -> str:
    """Return what the ids of a folder's requests begin with; empty where they had none, or the folder does not say."""
    path = directory / SETTINGS
    return read_settings(path, {}).id_prefix if path.is_file() else ""


def read_settings(path: Path, environment: Mapping[str, str]) -> LoadSettings:
    """Read what :func:`write_settings` wrote and returned."""
    headers = msgspec.json.decode(environment.get(HEADERS_VARIABLE, "[]"), type=tuple[tuple[str, str], ...])
    settings = msgspec.json.decode(
        path.read_bytes(), type=LoadSettings, dec_hook=lambda kind, text: kind(text)
    )
    return dataclasses.replace(settings, headers=headers)
