"""Scratch folders in which the commands of the pages run, with the files that they name, and short loads."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import skimage
from PIL import Image
from shown import ROOT
from ways import Run

from benchmarks.gate.shown_runs import shown_files

PATIENCE_S = 300
DOCS = ROOT / "docs"
PLANTS = ROOT / "tests" / "plants"
# Less load, and nothing is measured of the machine: that says nothing of a page.
QUICK = """
from dataclasses import replace

import unmeasured
from tailgate.harness import profiles

for name, profile in profiles.PROFILES.items():
    profiles.PROFILES[name] = replace(profile, requests=20, warm_up_requests=2, repeats=1)
"""
QUICKER = (
    (re.compile(r"requests=\d+"), "requests=20"),
    (re.compile(r"Poisson\(\d+\.0\)"), "Poisson(100.0)"),
)
# Any service of a reader: `python app.py --port N`.
APP = """
import json, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from prometheus_client import Histogram, generate_latest
SECONDS = Histogram("http_request_duration_seconds", "As an instrumented service has it.", ["handler"])
SCHEMA = {"type": "object", "required": ["values"], "properties": {"values": {"type": "array", "items": {"type": "number"}}}}
BODY = {"content": {"application/json": {"schema": SCHEMA}}}
OPENAPI = {"paths": {"/score": {"post": {"requestBody": BODY}}}}
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with SECONDS.labels("/score").time():
            said = generate_latest() if self.path == "/metrics" else json.dumps(OPENAPI).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)
    do_POST = do_GET
    def log_message(self, *_): pass
class Server(ThreadingHTTPServer):
    request_queue_size = 128
server = Server(("127.0.0.1", int(sys.argv[2])), Handler)
print(f"listening url=http://127.0.0.1:{server.server_port} ready", flush=True)
server.serve_forever()
"""
INI = """
[pytest]
perf_target = command:{python} app.py --port {port}
perf_metrics_path =
"""
BUDGETS = """
"*" = { rate = "100 /s", p95 = "2 s", p99 = "4 s", error_rate = 0.0 }
"""
# What pages name and do not show.
SMALL = {
    "body.json": '{"values": [1, 2]}',
    "bodies.jsonl": '{"values": [1]}\n{"values": [2]}\n',
    "prompts.jsonl": '{"prompt": "a cat"}\n',
    "requests.http": "GET /items/7\n",
    "shop/migrate.py": "",
    "shop/fill.py": "",
}
# Programs that a machine may lack.
OTHERS = {"curl", "git", "tox"}


def _quicker(text):
    for pattern, instead in QUICKER:
        text = pattern.sub(instead, text)
    return text


class Room:
    """A folder with files, left with all its programs ended."""

    def __init__(self, folder, files, **environment):
        self.folder = folder
        self.addresses = {}
        self._stack = contextlib.ExitStack()
        for name, text in {**SMALL, **files, ".quick/quick.py": QUICK}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "GIT_"))},
            "PATH": path,
            "HOME": str(folder),
            "TERM": "dumb",
            "COLUMNS": "160",
            "no_proxy": "*",
            "TOKEN": "t",
            "PYTHONPATH": f"{folder / '.quick'}{os.pathsep}{PLANTS}",
            "PERF_PLUGINS": "scenarios",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # a reader lacks the plugins of our tests
            "PYTEST_ADDOPTS": "-p tailgate -p quick -p no:cacheprovider -W ignore",
            **{f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
            **environment,
        }

    def __enter__(self):
        return self

    def __exit__(self, *failed):
        return self._stack.__exit__(*failed)

    def check(self, text, way):
        """Run a command, and hold it to what its way says."""
        program = text.split()[0]
        if program in OTHERS and shutil.which(program, path=self.environment["PATH"]) is None:
            pytest.skip(f"there is no {program} here")
        line = self._line(text, way)
        if way.until:
            self._serve(line, way)
            return
        done = subprocess.run(
            ["bash", "-ec", line],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        told = f"$ {line}\n{done.stdout}{done.stderr}"
        assert done.returncode in way.statuses, f"{told}\nstatus {done.returncode}"
        assert re.search(way.says, done.stdout + done.stderr), told

    def _line(self, text, way):
        for printed, instead in way.instead:
            text = text.replace(printed, instead) if printed else instead + text
        runs = sorted(self.folder.glob(".perf/*/results.json"))
        known = {**self.addresses, "run": str(runs[-1].parent.relative_to(self.folder)) if runs else ""}
        for name, value in known.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    def _serve(self, line, way):
        with contextlib.ExitStack() as stack:
            process = stack.enter_context(
                subprocess.Popen(
                    ["bash", "-ec", f"exec env {line}"],
                    cwd=self.folder,
                    env=self.environment,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            )
            stack.callback(process.terminate)
            watch = threading.Timer(PATIENCE_S, process.kill)
            watch.start()
            told = ""
            while not re.search(way.until, told) and (said := process.stdout.readline()):
                told += said
            watch.cancel()
            assert re.search(way.until, told), f"$ {line}\n{told}"
            # What it says from now on nobody reads, and a full pipe would stop it.
            reading = threading.Thread(target=process.stdout.read)
            reading.start()
            ending = contextlib.ExitStack()
            ending.enter_context(stack.pop_all())
            ending.callback(reading.join)
            ending.callback(process.terminate)
        if way.serves:
            self.addresses[way.serves] = re.search(r"http://([\d.]+:\d+)", told)[1]
            self._stack.callback(ending.close)
            return
        ending.close()
        assert process.returncode in {0, -signal.SIGTERM}, told


def reader(folder):
    """Return the folder of a reader who went through the first tutorial, and the pages on plugins."""
    pages = ("tutorials/first-gate.md", "how-to/write-a-reporter.md", "how-to/write-a-scenario.md")
    files = {name: _quicker(text) for page in pages for name, text in shown_files(DOCS / page).items()}
    return Room(folder, {name: text for name, text in files.items() if name != "perf/test_lunch.py"})


def other(folder):
    """Return the folder of a service of somebody else, which runs already as well."""
    shown = {
        name: _quicker(text) for name, text in shown_files(DOCS / "how-to" / "write-a-scenario.md").items()
    }
    room = Room(folder, {**shown, "app.py": APP, "pytest.ini": INI, "budgets.toml": BUDGETS})
    room.check("python app.py --port 0", Run("other", until="ready", serves="other"))
    return room


def project(folder):
    """Return a project that has no gate yet."""
    return Room(folder, {"server.py": APP})


def served(folder):
    """Return the folder of who serves a model."""
    flowers = shown_files(DOCS / "tutorials" / "serve-your-model.md")["flowers.py"]
    quick = {"TAILGATE_EXECUTOR": "eager", "TAILGATE_MAX_BATCH_SIZE": "2", "TAILGATE_THREADS": "1"}
    room = Room(folder, {"flowers.py": flowers, "budgets.toml": BUDGETS}, **quick)
    Image.fromarray(skimage.data.chelsea()).save(folder / "cat.jpg")
    return room


def repository(folder):
    """Return this repository, with nothing in it changed."""
    room = Room(folder, {})
    room.folder = ROOT
    return room


ROOMS = {one.__name__: one for one in (reader, other, project, served, repository)}
