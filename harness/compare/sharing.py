"""What both sides of a comparison seem to share: a database, a cache, a port. What one writes there the other reads.

The facts come from the processes of both servers while they run; what cannot be seen is passed over. A connection over a
Unix socket has no name at the client's end, so that only a variable can tell of it.
"""

import contextlib
import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

import psutil

from tailgate.harness.errors import TargetError
from tailgate.harness.named import listed

WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - seen, and not bound
# IANA's registry, and the products' own pages.
SERVICES = {
    1433: "SQL Server",
    1521: "Oracle",
    2379: "etcd",
    3306: "MySQL",
    4222: "NATS",
    5432: "PostgreSQL",
    5672: "RabbitMQ",
    6333: "Qdrant",
    6379: "Redis",
    6432: "PgBouncer",
    8123: "ClickHouse",
    9000: "ClickHouse",
    9042: "Cassandra",
    9092: "Kafka",
    9200: "Elasticsearch",
    11211: "memcached",
    19530: "Milvus",
    27017: "MongoDB",
}
# SQLite's companions of a database file.
_COMPANION = re.compile(r"-(wal|shm|journal)$")
_DATABASE = frozenset({".db", ".db3", ".duckdb", ".lmdb", ".mdb", ".sqlite", ".sqlite3"})
_LOG = re.compile(r"\.(log|out|err)(\.\d+)?$")
_OUTSIDE_OF_DISK = ("/dev/", "/proc/", "/sys/")
_STORE_NAME = re.compile(
    r"(.*_)?(DSN|(DATABASE|DB|REDIS|CACHE|BROKER|MONGO|MONGODB|POSTGRES|MYSQL|SQLITE|QUEUE|STORAGE)_?"
    r"(URL|URI|PATH|FILE|HOST|NAME|DIR)|(DATA|STATE|UPLOAD|UPLOADS)_DIR|PROMETHEUS_MULTIPROC_DIR)"
)
_STORE_ADDRESS = re.compile(
    r"(amqps?|cassandra|clickhouse|couchbase|duckdb|kafka|mariadb|memcached?|mongodb|mssql|mysql|nats|oracle|"
    r"postgres(ql)?|rediss?|sqlite|valkey)(\+\w+)*://.+"
)
# Their folders hold packages or compiled code, of which a server reads what it would have made itself.
_TOOLS = re.compile(
    r"(BAZEL|CCACHE|MYPY|NPM|NUMBA|PIP|POETRY|PRE_COMMIT|RUFF|TORCHINDUCTOR|TRITON|UV|YARN)_CACHE_DIR"
)
MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Held:
    """What the processes of one side hold."""

    port: int  # where the server takes load
    written: AbstractSet[str] = frozenset()  # regular files that are open for writing
    # Remote address and port of connections that it has made.
    connected: AbstractSet[tuple[str, int]] = frozenset()
    listening: AbstractSet[tuple[str, str, int]] = frozenset()  # network namespace, address and port
    variables: AbstractSet[tuple[str, str]] = frozenset()  # name and value of each variable


def refuse_one_port(base: Held, head: Held) -> None:
    """Raise TargetError where both sides listen on one port: either may get the other's connections (SO_REUSEPORT)."""
    for space, address, port in sorted(base.listening):
        addresses = {there for there_space, there, at in head.listening if (there_space, at) == (space, port)}
        if address in addresses or (addresses and (address in WILDCARDS or addresses & WILDCARDS)):
            raise TargetError(
                f"both sides listen on port {port}, so that a connection to it reaches either of them; give each a port of "
                "its own, with {port} in the command or its environment, or with --perf-base-env and --perf-head-env"
            )


def shared(base: Held, head: Held) -> tuple[str, ...]:
    """Return a note for each kind of thing that both sides seem to share."""
    own = {base.port, head.port}
    files = sorted({name for path in base.written & head.written if (name := _named_file(path))})
    servers = [_named_server(*at) for at in sorted(base.connected & head.connected) if at[1] not in own]
    variables = sorted({name for name, value in base.variables & head.variables if _names_store(name, value)})
    apart = "give each its own with --perf-base-env and --perf-head-env"
    notes = (
        ("use", files, f"what one writes the other reads; {apart}"),
        ("are connected to", servers, f"what one does there the other may feel; {apart}"),
        ("are given the same", variables, f"they seem to share what it names; {apart}"),
    )
    return tuple(
        f"both sides {verb} {listed(things, MOST_NAMED)}: {why}" for verb, things, why in notes if things
    )


def held_by(pids: Sequence[int], port: int) -> Held:
    """Read what these processes hold, as far as it can be seen."""
    written: set[str] = set()
    connected: set[tuple[str, int]] = set()
    listening: set[tuple[str, str, int]] = set()
    variables: set[tuple[str, str]] = set()
    for pid in pids:
        with contextlib.suppress(psutil.Error, OSError):
            # What is not allowed to be seen is None.
            seen = psutil.Process(pid).as_dict(["environ", "net_connections", "open_files"])
            opened, connections = seen["open_files"] or (), seen["net_connections"] or ()
            # Only Linux tells the mode.
            written |= {one.path for one in opened if set(getattr(one, "mode", "r")) & set("wa+")}
            variables |= set((seen["environ"] or {}).items())
            here = {one.laddr for one in connections if one.status == psutil.CONN_LISTEN}
            listening |= {(_network(pid), at.ip, at.port) for at in here}
            # Whoever came to a port of its own is a client.
            own = {at.port for at in here}
            connected |= {
                (one.raddr.ip, one.raddr.port)
                for one in connections
                if one.status == psutil.CONN_ESTABLISHED and one.laddr.port not in own
            }
    inbound = {at for _, _, at in listening}
    outbound = {one for one in connected if one[1] not in inbound}
    return Held(port, written, outbound, listening, variables)


def _network(pid: int) -> str:
    """Return a name of the process's network: two containers may listen on one port."""
    try:
        return str(Path(f"/proc/{pid}/ns/net").readlink())
    except OSError:
        return ""


def _named_file(path: str) -> str:
    """Return how a note names a file; empty for one that is no state."""
    if path.startswith(_OUTSIDE_OF_DISK) or _LOG.search(path) or path.endswith(" (deleted)"):
        return ""
    main = _COMPANION.sub("", path)
    return f"the database {main}" if main != path or Path(main).suffix in _DATABASE else main


def _named_server(address: str, port: int) -> str:
    host = f"[{address}]" if ":" in address else address
    return f"{host}:{port}" + (f" ({SERVICES[port]})" if port in SERVICES else "")


def _names_store(name: str, value: str) -> bool:
    """Tell whether a variable says where state is; an address of the web is where a service is told of errors."""
    if not value or value.startswith(("http://", "https://")) or _TOOLS.fullmatch(name.upper()):
        return False
    return _STORE_ADDRESS.match(value) is not None or _STORE_NAME.fullmatch(name.upper()) is not None
