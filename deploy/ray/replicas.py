"""Replicas of the service on the nodes of a Ray cluster, behind HAProxy.

    TAILGATE_BIND=:8000 TAILGATE_SOCKET=/run/tailgate/haproxy.sock haproxy -f deploy/ray/haproxy.cfg
    python deploy/ray/replicas.py --replicas 4 --socket /run/tailgate/haproxy.sock -- tailgate serve

Ray starts one actor per replica, spread over the nodes, and starts it again where it or its node is lost. The actor starts the
command and looks after it. Requests go from HAProxy straight to the process, so that Ray is in the way of none. The command must
be there on every node, and take --host and --port. It gets the variables of this process that begin with TAILGATE_.
"""

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import threading
import urllib.request
from collections.abc import Mapping, Sequence

import places
import ray

PERIOD_S = 1.0
PROBE_S = 1.0
# The service's own drain, and its delay before that, end within it.
STOP_S = 60.0


class Replica:
    """One process of the service, and its supervisor."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        host = ray.util.get_node_ip_address()
        with socket.create_server((host, 0)) as free:
            port = free.getsockname()[1]
        self._address = f"{host}:{port}"
        self._process = subprocess.Popen(
            # Where this actor ends, however it does, the process gets SIGTERM, and drains.
            ["setpriv", "--pdeathsig", "TERM", *command, "--host", host, "--port", str(port)],
            env={**os.environ, **environment},
            # Ray ends the process group of a worker that is lost: a second SIGTERM would end the drain.
            start_new_session=True,
        )

    def address(self) -> str | None:
        """Return where it listens; None before it is ready. Where the process has ended, the actor does, and Ray starts another."""
        if self._process.poll() is not None:
            os._exit(1)
        with contextlib.suppress(OSError):
            url = f"http://{self._address}/health/ready"
            with urllib.request.urlopen(url, timeout=PROBE_S):
                return self._address
        return None

    def stop(self) -> None:
        """Have the process end."""
        self._process.terminate()
        self._process.wait(STOP_S)


class Fleet:
    """All replicas, as far as is known."""

    def __init__(
        self, count: int, cpus: float, command: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        actor = ray.remote(Replica).options(max_restarts=-1, scheduling_strategy="SPREAD", num_cpus=cpus)
        self._actors = [actor.remote(command, environment) for _ in range(count)]
        self._known: dict[int, str] = {}

    def addresses(self) -> frozenset[str]:
        """Return where replicas serve. One that does not answer now is where it was; one whose actor is lost is nowhere."""
        asked = {actor.address.remote(): index for index, actor in enumerate(self._actors)}
        answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=PERIOD_S)
        for answer in answered:
            index = asked[answer]
            self._known.pop(index, None)
            with contextlib.suppress(ray.exceptions.RayActorError):
                address = ray.get(answer)
                if address is not None:
                    self._known[index] = address
        return frozenset(self._known.values())

    def stop(self) -> None:
        """Have all processes end, and wait for them."""
        ray.wait(
            [actor.stop.remote() for actor in self._actors], num_returns=len(self._actors), timeout=STOP_S
        )


def register(path: str, wanted: frozenset[str]) -> None:
    """Write the replicas into HAProxy's places; raise RuntimeError where it refuses."""
    for command in places.changes(places.read(places.ask(path, "show stat")), wanted):
        said = places.ask(path, command)
        # It says what it has done, or nothing; a refusal is one of these.
        if said.startswith(("No such", "Invalid", "Unknown", "Require", "Permission")):
            raise RuntimeError(f"HAProxy was told {command!r}, and said: {said}")
        print(f"replicas: {command}", flush=True)


def main() -> None:
    """Start the replicas, and keep HAProxy told until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(description="Run replicas of the service on Ray, behind HAProxy.")
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--cpus", type=float, default=1.0, help="of a node, for each replica; default: 1")
    parser.add_argument("--socket", required=True, help="of HAProxy's runtime API")
    parser.add_argument("--address", default="auto", help="of the Ray cluster; default: the one of this node")
    parser.add_argument("command", nargs="+", help="behind --, such as tailgate serve")
    asked = parser.parse_args()
    ended = threading.Event()
    ray.init(address=asked.address, log_to_driver=False)
    # Behind ray.init, which sets its own.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    own = {name: value for name, value in os.environ.items() if name.startswith("TAILGATE_")}
    fleet = Fleet(asked.replicas, asked.cpus, asked.command, own)
    while not ended.is_set():
        register(asked.socket, fleet.addresses())
        ended.wait(PERIOD_S)
    register(asked.socket, frozenset())
    fleet.stop()


if __name__ == "__main__":
    main()
