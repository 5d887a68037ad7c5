"""Which processor does what: one serves, another sends, so that neither slows the other."""

import os


def server_processor() -> int:
    """Return the first processor of this process."""
    return min(os.sched_getaffinity(0))


def client_processor() -> int:
    """Return the last processor of this process: the server's own on a machine with one."""
    return max(os.sched_getaffinity(0))


def both() -> str:
    """Return the server's and the client's processor, as taskset lists them."""
    return f"{server_processor()},{client_processor()}"
