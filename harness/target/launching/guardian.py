"""The guardian: a small program between the harness and a server, so that no server outlives its harness.

The harness runs this file by its path as ``python -I -S guardian.py --lifeline FD --grace S -- COMMAND``. It starts the
command in a process group of its own and waits until the lifeline ends (the harness is gone, however it went), a TERM or
INT comes (the harness wants the server stopped), or the command exits. After the first two, everything that the command
started gets TERM, at most ``--grace`` seconds, then KILL; after the third, what the command left behind gets KILL. The
guardian exits with the command's status, or with 128 + n where signal n ended it, as a shell does; 127 where the command
cannot be executed.

On Linux it is a child subreaper (prctl(2)): a server that forks twice or makes a session of its own is still found, and
the kernel kills the command when the guardian is killed. Elsewhere, what leaves the command's process group escapes.
It imports the standard library alone and starts no thread.
"""

import contextlib
import ctypes
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

# <linux/prctl.h>
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
CANNOT_EXECUTE = 127
KILL_TIMEOUT_S = 10.0
USAGE = "usage: guardian.py --lifeline FD --grace SECONDS -- COMMAND [ARGUMENT ...]"


def main(arguments: list[str]) -> int:
    """Guard one command to its end and return its status."""
    match arguments:
        case ["--lifeline", fd, "--grace", grace_s, "--", *command] if command:
            with socket.socket(fileno=int(fd)) as lifeline:
                return _guard(lifeline, float(grace_s), command)
        case _:
            sys.stderr.write(f"{USAGE}\n")
            return 2


def _guard(lifeline: socket.socket, grace_s: float, command: list[str]) -> int:
    lifeline.set_inheritable(False)
    wake = _wake_on_signals()
    prctl = _prctl()
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    pid = _start(command, prctl)
    _close_inherited(keep={lifeline.fileno()})
    with contextlib.suppress(OSError):  # the harness may be gone already; the lifeline says so next
        lifeline.sendall(b"%d\n" % pid)
    status = _wait(pid, lifeline, wake, timeout_s=None)
    if status is None:
        _signal_all(pid, signal.SIGTERM)
        status = _wait(pid, None, wake, timeout_s=grace_s)
    return _end(pid, status)


def _wake_on_signals() -> int:
    """Let signals wake a ``select`` instead of interrupting anything: return what becomes readable."""
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    os.set_blocking(write_end, False)
    for number in (*STOP_SIGNALS, signal.SIGCHLD):
        signal.signal(number, lambda _number, _frame: None)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    return read_end


def _prctl() -> Callable[[int, int], object]:
    if sys.platform != "linux":
        return lambda _option, _value: None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    return lambda option, value: prctl(option, ctypes.c_ulong(value), *(ctypes.c_ulong(0),) * 3)


def _start(command: list[str], prctl: Callable[[int, int], object]) -> int:
    """Fork and execute the command in its own process group, with nothing to read from."""
    guardian = os.getpid()
    pid = os.fork()
    if pid:
        with contextlib.suppress(OSError):  # the child does the same; whoever comes first
            os.setpgid(pid, pid)
        return pid
    try:
        os.setpgid(0, 0)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guardian:  # it died before the kernel was told to watch it
            os._exit(CANNOT_EXECUTE)
        signal.set_wakeup_fd(-1)
        # exec keeps ignored signals ignored, and Python ignores these two.
        for number in (*STOP_SIGNALS, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.execvp(command[0], command)  # noqa: S606 - a list of arguments from the harness, and no shell
    except OSError as error:
        os.write(2, f"cannot execute {command[0]!r}: {error.strerror}\n".encode())
    finally:
        os._exit(CANNOT_EXECUTE)


def _close_inherited(keep: set[int]) -> None:
    """Close what was passed down for the command: a guardian that held the listening socket would keep the port open."""
    for fd in [int(entry.name) for entry in Path("/dev/fd").iterdir()]:
        with contextlib.suppress(OSError):  # the descriptor of the listing itself is gone by now
            if fd > 2 and fd not in keep and os.get_inheritable(fd):
                os.close(fd)


def _wait(pid: int, lifeline: socket.socket | None, wake: int, timeout_s: float | None) -> int | None:
    """Return the command's status once it exits; None once it is to be stopped, or the time is up."""
    deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
    watched = [wake] if lifeline is None else [wake, lifeline.fileno()]
    while True:
        status = _reap(pid)
        if status is not None:
            return status
        left_s = None if deadline_s is None else max(0.0, deadline_s - time.monotonic())
        readable, _, _ = select.select(watched, [], [], left_s)
        if not readable:
            return None
        if lifeline is not None:
            stop = wake in readable and bool(set(os.read(wake, 512)) & set(STOP_SIGNALS))
            if stop or (lifeline.fileno() in readable and not lifeline.recv(64)):
                return _reap(pid)
        else:
            os.read(wake, 512)  # it is being stopped already: asking again changes nothing


def _reap(pid: int) -> int | None:
    """Reap every child that has ended, adopted ones too; return the command's status if it was among them."""
    status = None
    with contextlib.suppress(ChildProcessError):
        while True:
            ended, wait_status = os.waitpid(-1, os.WNOHANG)
            if ended == 0:
                break
            if ended == pid:
                code = os.waitstatus_to_exitcode(wait_status)
                status = code if code >= 0 else 128 - code
    return status


def _end(pid: int, status: int | None) -> int:
    """Kill all that is left, wait for it to be gone, and return the status to exit with."""
    deadline_s = time.monotonic() + KILL_TIMEOUT_S
    while time.monotonic() < deadline_s:
        left = _signal_all(pid, signal.SIGKILL)
        reaped = _reap(pid)
        status = reaped if status is None else status
        if not left:
            break
        select.select([], [], [], 0.005)
    return 128 + signal.SIGKILL if status is None else status


def _signal_all(group: int, number: signal.Signals) -> int:
    """Signal the command's group and every descendant outside it; return how many there were."""
    pids = set(_descendants(os.getpid()))
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
    if sys.platform != "linux":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)
            return 1
    return len(pids)


def _descendants(ancestor: int) -> Iterator[int]:
    """Yield the live processes beneath this one, by ``/proc/PID/stat``; nothing where there is no ``/proc``."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # proc(5): "pid (comm) state ppid ..."; comm may hold spaces and parentheses, so cut at the last one.
            state, parent = stat.read_text(errors="replace").rpartition(")")[2].split()[:2]
            if state not in "ZX":
                children.setdefault(int(parent), []).append(int(stat.parent.name))
    waiting = [ancestor]
    while waiting:
        found = children.get(waiting.pop(), [])
        yield from found
        waiting += found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
