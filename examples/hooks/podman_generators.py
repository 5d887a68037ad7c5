"""Generators: ``podman:N,IMAGE`` is N containers of this machine, each with the worker of an image that has tailgate.

An engine is the command line of each generator: the worker, or what leads to one. It speaks over standard input and output.
"""

from tailgate import CommandEngine, GeneratorEngine, UsageError, hookimpl

KIND = "podman:"
WORKER = ("python", "-m", "tailgate.harness.load.worker")


@hookimpl
def tailgate_generators(spec: str) -> GeneratorEngine | None:
    """Know ``podman:N,IMAGE``, and leave any other specification to other plugins."""
    if not spec.startswith(KIND):
        return None
    count, _, image = spec.removeprefix(KIND).partition(",")
    if not (count.isascii() and count.isdecimal() and int(count) and image):
        raise UsageError(f"generators {spec!r}: expected podman:N,IMAGE with a whole number from 1 on")
    # The target may listen on the loopback of this machine.
    command = ("podman", "run", "--rm", "--interactive", "--network=host", image, *WORKER)
    return CommandEngine(spec, {f"container-{number + 1}": command for number in range(int(count))})
