"""Judge the facts: each check is one function of what was found out, and says what to do."""

from collections.abc import Callable

from tailgate.harness.compare.blocks.disturbance import STEAL_MAX
from tailgate.harness.doctor import service_checks
from tailgate.harness.doctor.check import Check, Judged, State
from tailgate.harness.doctor.facts import Facts
from tailgate.harness.report.advice import STEAL_WORTH_SAYING
from tailgate.harness.units import Unit, percent, quantity

# The generator, the server and its event loop each have one; with four the generator is bound to its own.
PROCESSORS_WORTH_HAVING = 4
# Others' work, as a share of the processors.
LOAD_WORTH_SAYING = 0.3
MEMORY_WORTH_HAVING = 2**30
FREE_WORTH_HAVING, FREE_NEEDED = 2**30, 50 * 2**20
# A solid-state disk takes some milliseconds. Records are written beside the load, and not synced, so a slow disk fails nothing.
SYNC_WORTH_SAYING_S = 0.1


def checked(facts: Facts) -> tuple[Check, ...]:
    """Return all checks, in the order in which they are read."""
    return tuple(Check(name, *judge(facts)) for name, judge in CHECKS.items())


def _processors(facts: Facts) -> Judged:
    count = facts.processors if facts.quota is None else min(facts.quota, facts.processors)
    found = f"{facts.processors}" + ("" if facts.quota is None else f", by a quota {facts.quota:g} of them")
    if count >= PROCESSORS_WORTH_HAVING:
        return State.OK, found, ""
    return (
        State.REMARK,
        f"{found}: the load generator and the server share them, which widens every interval",
        f"measure on a machine with {PROCESSORS_WORTH_HAVING} or more, or compare (tailgate compare) instead of holding to budgets",
    )


def _busy(facts: Facts) -> Judged:
    share = facts.load_1min / facts.processors
    found = f"load {facts.load_1min:.2g} on {facts.processors} processors in the last minute"
    if share <= LOAD_WORTH_SAYING:
        return State.OK, found, ""
    return State.REMARK, f"{found}: other programs are at work", "end them, or wait until they are done"


def _steal(facts: Facts) -> Judged:
    if facts.steal_share is None:
        return State.OK, "unknown on this system", ""
    found = f"the hypervisor took {percent(facts.steal_share)} of the processors in a second"
    if facts.steal_share <= STEAL_WORTH_SAYING:
        return State.OK, found, ""
    voids = f", and a comparison throws blocks away from {percent(STEAL_MAX)} on"
    return (
        State.REMARK,
        found + voids,
        "measure at a quieter hour, or on a machine with processors of its own",
    )


def _memory(facts: Facts) -> Judged:
    found = f"{quantity(facts.memory_available_bytes, Unit.BYTES)} available"
    if facts.memory_available_bytes >= MEMORY_WORTH_HAVING:
        return State.OK, found, ""
    return State.REMARK, f"{found}: a server and its model may not fit", "end other programs"


def _disk(facts: Facts) -> Judged:
    disk = facts.disk
    if disk.error:
        return (
            State.FAIL,
            f"results cannot be written into {disk.folder}: {disk.error}",
            "give a folder that can be written to: --output=FOLDER",
        )
    free, sync_s = disk.free_bytes, disk.sync_s
    found = f"{quantity(free, Unit.BYTES)} free, {quantity(sync_s, Unit.SECONDS)} to sync"
    if free is not None and free < FREE_WORTH_HAVING:
        state = State.FAIL if free < FREE_NEEDED else State.REMARK
        return state, f"{found}: a run writes up to about 100 MiB", f"make room on the disk of {disk.folder}"
    if sync_s is not None and sync_s > SYNC_WORTH_SAYING_S:
        return (
            State.REMARK,
            f"{found}: slow, which will slow down a server that writes",
            "give --output=FOLDER on a local disk; a network disk is none",
        )
    return State.OK, found, ""


def _files(facts: Facts) -> Judged:
    soft, hard = facts.files
    found = f"{_limit(soft)} open files, at most {_limit(hard)}"
    if 0 <= hard < facts.files_needed:
        return (
            State.FAIL,
            f"{found}: the load generator may need {facts.files_needed}",
            f"raise the hard limit: ulimit -Hn {facts.files_needed}, or LimitNOFILE= of the unit, or nofile of the container",
        )
    return State.OK, found, ""


def _limit(count: int) -> str:
    return "any number of" if count < 0 else f"{count:,}"


def _ports(facts: Facts) -> Judged:
    if facts.loopback_error:
        return (
            State.FAIL,
            f"no port of 127.0.0.1 can be had: {facts.loopback_error}",
            "allow this process to listen there",
        )
    if facts.served is not None:
        return State.OK, f"tailgate's service answers on {facts.port}", ""
    if facts.port_taken:
        return (
            State.REMARK,
            f"another program listens on {facts.port}: tailgate serve will fail there",
            "tailgate serve --port=PORT",
        )
    return State.OK, f"{facts.port} is free", ""


def _runs(facts: Facts) -> Judged:
    if facts.run_here:
        return (
            State.FAIL,
            f"a run of {facts.disk.folder} is going on: another would be refused",
            "wait for its end",
        )
    if facts.runs:
        return (
            State.REMARK,
            f"another run is going on ({', '.join(facts.runs)}): two at once disturb each other",
            "wait for its end",
        )
    return State.OK, "no other run is going on", ""


CHECKS: dict[str, Callable[[Facts], Judged]] = {
    "processors": _processors,
    "load": _busy,
    "steal": _steal,
    "memory": _memory,
    "disk": _disk,
    "files": _files,
    "runs": _runs,
    "ports": _ports,
    "service": service_checks.service,
    "torch": service_checks.pair,
    "compiler": service_checks.compiler,
    "cuda": service_checks.cuda,
    "offers": service_checks.offers,
}
