"""Programs that are forked from one process in which PyTorch is loaded already: loading it takes most of a start.

Run as a script, this file is that process. A program is what ``python -m`` would run, with its own arguments, environment
and descriptors.
"""

import atexit
import contextlib
import fcntl
import functools
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOADED = ("tailgate.service.http.server", "tailgate.service.execution.build")
REQUEST_BYTES, DESCRIPTORS = 2**17, 16


class Program:
    """A forked program; of ``subprocess.Popen`` it has what the tests use."""

    def __init__(self, nursery, pid, stderr):
        self.nursery, self.pid, self.stderr = nursery, pid, stderr

    @property
    def returncode(self):
        return self.nursery.statuses.get(self.pid)

    def wait(self, timeout):
        if not self.nursery.hear(lambda: self.returncode is not None, timeout):
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
        return self.returncode

    def poll(self):
        self.nursery.hear(lambda: self.returncode is not None, 0)
        return self.returncode

    def send_signal(self, number):
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)


class Nursery:
    """The process that programs are forked from, seen from the tests."""

    def __init__(self):
        self.statuses = {}
        self._born = []
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            subprocess.run(
                [sys.executable, __file__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                cwd=ROOT,
                # Standard error is buffered, as it is by default. A fork has one thread, and OpenBLAS would have several.
                env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
                | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
                check=True,
            )

    def start(self, module, arguments, environment, pass_fds):
        """Start a module as a program, with these descriptors under the same numbers and its standard error in a pipe."""
        said, say = os.pipe()
        asked = {
            "words": [module, *arguments],
            "environment": dict(environment),
            "numbers": [2, *pass_fds],
        }
        socket.send_fds(self._socket, [json.dumps(asked).encode()], [say, *pass_fds])
        os.close(say)
        assert self.hear(lambda: self._born, None)
        return Program(self, self._born.pop(), os.fdopen(said, encoding="utf-8"))

    def hear(self, condition, timeout):
        """Take what the process says until something holds; return whether it does."""
        while not condition():
            heard, _, _ = select.select([self._socket], [], [], timeout)
            if not heard:
                return False
            pid, status = json.loads(self._socket.recv(REQUEST_BYTES))
            if status is None:
                self.statuses.pop(pid, None)  # of an earlier process with this number
                self._born.append(pid)
            else:
                self.statuses[pid] = status
        return True

    def close(self):
        self._socket.close()


@functools.cache
def nursery():
    """Return the process of this session; it ends with it."""
    made = Nursery()
    atexit.register(made.close)
    return made


def bear(control):
    """Fork for each request; return it, with its descriptors, in the child, and None where no more will come."""
    heard, woken = os.pipe()
    for descriptor in (heard, woken):
        os.set_blocking(descriptor, False)
    signal.set_wakeup_fd(woken)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        ready, _, _ = select.select([control, heard], [], [])
        if heard in ready:
            os.read(heard, REQUEST_BYTES)
            while (ended := _ended()) is not None:
                control.send(json.dumps(ended).encode())
        if control in ready:
            asked, descriptors, _, _ = socket.recv_fds(control, REQUEST_BYTES, DESCRIPTORS)
            if not asked:
                return None
            pid = os.fork()
            if not pid:
                return json.loads(asked), descriptors
            for descriptor in descriptors:
                os.close(descriptor)
            control.send(json.dumps([pid, None]).encode())


def _ended():
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return [pid, os.waitstatus_to_exitcode(status)] if pid else None


def become(asked, descriptors):
    """Give this process what a new one would have."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    numbers = asked["numbers"]
    above = max(numbers) + 1
    moved = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, above) for descriptor in descriptors]
    os.closerange(3, above)
    for descriptor, number in zip(moved, numbers, strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.path[:0] = asked["environment"].get("PYTHONPATH", "").split(os.pathsep)
    sys.argv = asked["words"]


if __name__ == "__main__":
    # No child of the tests', some of which look whether they have any.
    if os.fork():
        os._exit(0)
    for name in LOADED:
        __import__(name)
    with socket.socket(fileno=int(sys.argv[1])) as mine:
        request = bear(mine)
        if request is not None:
            mine.detach()
            become(*request)
    if request is not None:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
