"""From the options of a run to how its load generator reaches a target, and where it runs."""

import http.client
import os

from tailgate.harness.connections import MOST, answered_at_once, keeps_connections
from tailgate.harness.gate_settings import GateSettings
from tailgate.harness.load import LoadSettings
from tailgate.harness.options import Pin
from tailgate.harness.target import RunningTarget

# With fewer, the server needs what the generator would get.
PROCESSORS_TO_PIN = 4


def load_settings(running: RunningTarget, settings: GateSettings) -> LoadSettings:
    """Return the generator's settings for a target that takes load; it is asked how it treats connections."""
    path = running.prefix + running.settings.readiness_path
    kept = keeps_connections(lambda: _connection(running), path, running.headers)
    return LoadSettings(
        host=running.host,
        port=running.port,
        prefix=running.prefix,
        tls=running.tls,
        headers=running.headers,
        # Opened ahead, they would hold up a server that has done with a connection after one answer.
        connections_warm=MOST if kept else 0,
        at_once=answered_at_once(lambda: _connection(running), path, running.headers) if kept else None,
        timeout_s=settings.request_timeout,
        grace_s=settings.request_timeout,
        processor=generator_processor(settings.pin),
    )


def _connection(running: RunningTarget) -> http.client.HTTPConnection:
    kind = http.client.HTTPSConnection if running.tls else http.client.HTTPConnection
    return kind(running.host, running.port)


def generator_processor(pin: Pin) -> int | None:
    """Return the processor that the generator gets for itself; None where the server needs it."""
    processors = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    pinned = pin is Pin.AUTO and len(processors) >= PROCESSORS_TO_PIN
    return processors[-1] if pinned else None
