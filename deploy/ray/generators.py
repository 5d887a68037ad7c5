"""Generators on a Ray cluster: ``ray:N`` is N tasks, spread over its nodes; ``RAY_ADDRESS`` says which cluster.

    tailgate run http://10.0.0.7:8000 --perf-plugin=generators.py --generators=ray:8

Each task is one worker, for which it asks one processor. The nodes need the same tailgate as the harness, and reach it at the
address that Ray knows it by. The stream to a worker is not encrypted: it has the headers of the requests.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tailgate import GeneratorEngine, GeneratorWorker, UsageError, hookimpl, open_door

KIND = "ray:"
# For a cluster that has to start nodes first.
TASKS_READY_S = 300.0
# For a worker whose link is closed; it ends by itself.
LEAVE_S = 10.0


@dataclass(frozen=True, slots=True)
class RayEngine:
    """Generators that are tasks of Ray."""

    spec: str
    count: int

    @contextlib.contextmanager
    def start(self, directory: Path) -> Iterator[Sequence[GeneratorWorker]]:  # noqa: ARG002 - Ray keeps the logs
        """Submit the tasks and wait for their workers; leaving ends the workers, and with them the tasks."""
        import ray  # noqa: PLC0415 - loaded by a run that asks for it

        # Within this function: Ray sends a module's function by its name, and no node has this module.
        def work(address: str, environment: Mapping[str, str]) -> int:
            command = [sys.executable, "-P", "-m", "tailgate.harness.load.worker", address]
            return subprocess.run(command, env={**os.environ, **environment}, check=False).returncode

        if not ray.is_initialized():
            ray.init(address="auto", log_to_driver=False, configure_logging=False)
        host = ray.util.get_node_ip_address()
        with open_door(host) as door:
            task = ray.remote(num_cpus=1, max_retries=0, scheduling_strategy="SPREAD")(work)
            tasks = [task.remote(door.address, dict(door.environment)) for _ in range(self.count)]
            workers: list[GeneratorWorker] = []
            try:
                workers += door.accept(self.count, TASKS_READY_S)
                yield workers
            finally:
                for worker in workers:
                    worker.link.close()
                _, late = ray.wait(tasks, num_returns=len(tasks), timeout=LEAVE_S if workers else 0.0)
                for one in late:
                    ray.cancel(one, force=True)


@hookimpl
def tailgate_generators(spec: str) -> GeneratorEngine | None:
    """Know ``ray:N``."""
    if not spec.startswith(KIND):
        return None
    count = spec.removeprefix(KIND)
    if not (count.isascii() and count.isdecimal() and int(count)):
        raise UsageError(f"generators {spec!r}: expected ray:N with a whole number from 1 on")
    return RayEngine(spec, int(count))
