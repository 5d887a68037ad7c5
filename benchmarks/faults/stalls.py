"""How long each kind of request keeps all others waiting: the slowest answers of the health probe beside it.

    python -m benchmarks.faults.stalls [--rounds 3] [--seconds 3] [--case TEXT] [--json FILE]

The service serves the demonstration model, whose input is 224 × 224 × 3. A probe asks ``/health/live`` on its own
connection, a millisecond after each answer. Two clients, in a process of their own, meanwhile send one kind of request
as fast as it is answered. A probe that comes in the middle of a stall waits for its end, so its slowest answer is the
longest stall plus the delays of the machine. The rows "no load" and "raw pixels" show these delays.
"""

import http.client
import io
import multiprocessing
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Annotated, Any

import numpy as np
import orjson
import typer
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks import record
from benchmarks.faults.service import FaultService
from benchmarks.models import LARGE_SIDE, SIDE
from benchmarks.serving.client import Rounds, Seconds
from benchmarks.spread import spread
from benchmarks.workloads import JPEG, OCTETS
from tailgate.service.codec.inputs import JSON_BYTES_A_NUMBER, MORE_MARKS

JSON = "application/json"
NUMBERS = LARGE_SIDE * LARGE_SIDE * 3
BYTES = JSON_BYTES_A_NUMBER * NUMBERS  # of JSON that the service takes
CLIENTS = 2
PAUSE_S = 0.001
DEMO, WIDE = "demo", "benchmarks.models:wide"
Body = Callable[[], bytes]


def _image() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (LARGE_SIDE, LARGE_SIDE, 3), np.uint8)


def _pixels() -> bytes:
    return _image().tobytes()


def _jpeg(width: int, height: int) -> Body:
    def make() -> bytes:
        rng, file = np.random.default_rng(1), io.BytesIO()
        coarse = rng.integers(0, 256, (height // 16, width // 16, 3), np.uint8)
        Image.fromarray(coarse).resize((width, height)).save(file, "JPEG", quality=90)
        return file.getvalue()

    return make


def _json() -> bytes:
    return orjson.dumps({"inputs": _image().tolist()})


def _indented() -> bytes:
    return orjson.dumps({"inputs": _image().tolist()}, option=orjson.OPT_INDENT_2)


def _long_numbers() -> bytes:
    """Return the input with 58 digits per number."""
    ones = orjson.dumps({"inputs": np.ones((LARGE_SIDE, LARGE_SIDE, 3), np.uint8).tolist()})
    return ones.replace(b"1", b"1." + b"0" * 57)


def _as_much_as_allowed() -> bytes:
    """Return the most expensive JSON: all lists and numbers of the input, and all values that are allowed beside it."""
    inputs = orjson.dumps(np.zeros((LARGE_SIDE, LARGE_SIDE, 3), np.uint8).tolist())
    others = b",".join(b'"%d":{}' % number for number in range(MORE_MARKS // 2))
    return b'{"inputs":%b,"others":{%b}}' % (inputs, others)


def _filled(unit: bytes, before: bytes = b'{"inputs":[', after: bytes = b"]}") -> Body:
    """Return a maker of JSON that repeats one unit up to the allowed number of bytes."""
    return lambda: before + unit * ((BYTES - len(before) - len(after)) // len(unit)) + after


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of request: a GET of ``path`` where ``kind``, the Content-Type, is None."""

    name: str
    kind: str | None
    body: Body = bytes
    path: str = "/predict"
    model: str = DEMO


CASES = (
    Case("no load", None, path=""),
    Case("raw pixels", OCTETS, _pixels),
    Case("JPEG, 0.2 megapixels", JPEG, _jpeg(500, 375)),
    Case("JPEG, 13 megapixels", JPEG, _jpeg(4160, 3120)),
    Case("JSON of the pixels", JSON, _json),
    Case("the same, indented", JSON, _indented),
    Case("the same, 58 digits a number", JSON, _long_numbers),
    Case("the same, and all else that is taken", JSON, _as_much_as_allowed),
    Case("empty lists", JSON, _filled(b"[],", after=b"[]]}")),
    Case("lists in lists", JSON, _filled(b"[[[[[[]]]]]],", after=b"[]]}")),
    Case("lists without an end", JSON, _filled(b"[", before=b"", after=b"")),
    Case("empty objects", JSON, _filled(b"{},", after=b"{}]}")),
    Case("objects in objects", JSON, _filled(b'{"a":', before=b"", after=b"")),
    Case("one object of many keys", JSON, _filled(b'"key":0,', before=b"{", after=b'"a":0}')),
    Case("many texts", JSON, _filled(b'"",', after=b'""]}')),
    Case("one long text", JSON, _filled(b"a", before=b'{"inputs":"', after=b'"}')),
    Case("one long text of escapes", JSON, _filled(b"\\u00e9", before=b'{"inputs":"', after=b'"}')),
    Case("spaces", JSON, _filled(b" ", before=b'{"inputs":', after=b"1}")),
    Case("/metrics", None, path="/metrics"),
    Case("answers of a million numbers", OCTETS, lambda: bytes(SIDE * SIDE * 3), model=WIDE),
)


@dataclass(frozen=True, slots=True)
class Seen:
    """One round: the probe's answers and their latencies, and the clients' answers by status."""

    probes: int
    p50_ms: float
    p99_ms: float
    worst_ms: float
    answers: dict[str, int]


def load(name: str, address: tuple[str, int], parent: "Connection[Any, Any]") -> None:
    """Send requests of one kind until the parent ends it, and report the answers; a process of its own."""
    case = next(each for each in CASES if each.name == name)
    body, counts, over = case.body(), Counter[str](), threading.Event()

    def client() -> None:
        connection = http.client.HTTPConnection(*address, timeout=60)
        while not over.is_set():
            try:
                if case.kind:
                    connection.request("POST", case.path, body, {"Content-Type": case.kind})
                else:
                    connection.request("GET", case.path)
                answer = connection.getresponse()
                answer.read()
                counts[str(answer.status)] += 1
            except (OSError, http.client.HTTPException) as error:
                counts[type(error).__name__] += 1
                connection.close()

    clients = [threading.Thread(target=client) for _ in range(CLIENTS if case.path else 0)]
    parent.send("ready")
    parent.recv()
    for each in clients:
        each.start()
    parent.recv()
    over.set()
    for each in clients:
        each.join()
    parent.send(dict(counts))


def probe(address: tuple[str, int], seconds: float) -> list[float]:
    """Return the latency of each answer of the health probe."""
    took_s: list[float] = []
    with socket.create_connection(address) as connection:
        end_s = time.perf_counter() + seconds
        while time.perf_counter() < end_s:
            start_s = time.perf_counter()
            connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = b""
            while b"}" not in answer:
                answer += connection.recv(65536)
            took_s.append(time.perf_counter() - start_s)
            time.sleep(PAUSE_S)
    return took_s


def measure(case: Case, address: tuple[str, int], seconds: float) -> Seen:
    """Probe the service beside one kind of request."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=load, args=(case.name, address, theirs), daemon=True)
    process.start()
    ours.recv()
    ours.send("go")
    took_s = sorted(probe(address, seconds))
    ours.send("stop")
    answers = ours.recv()
    process.join()
    return Seen(
        len(took_s),
        statistics.median(took_s) * 1e3,
        took_s[int(0.99 * len(took_s))] * 1e3,
        took_s[-1] * 1e3,
        answers,
    )


def table(rows: dict[str, list[Seen]]) -> Table:
    """Return medians and extremes of the rounds, in milliseconds."""
    shown = Table("beside", "answers", "probe p50", "p99", "worst")
    for name, rounds in rows.items():
        answers = sum((Counter(each.answers) for each in rounds), Counter[str]())
        told = ", ".join(f"{count} × {status}" for status, count in sorted(answers.items()))
        figures = ([getattr(each, which) for each in rounds] for which in ("p50_ms", "p99_ms", "worst_ms"))
        shown.add_row(name, told, *(str(spread(values)) for values in figures))
    return shown


def main(
    rounds: Rounds = 3,
    seconds: Seconds = 3.0,
    case: Annotated[str, typer.Option(help="only the kinds whose name holds this")] = "",
    json: record.Json = record.RESULTS / "loop_stalls.json",
) -> None:
    """Measure how long each kind of request keeps the event loop from the health probe."""
    chosen = [each for each in CASES if case in each.name]
    if not chosen:
        raise typer.BadParameter(f"no kind of request has {case!r} in its name")
    document = record.Record("loop_stalls", {"rounds": rounds, "seconds": seconds, "clients": CLIENTS}, json)
    rows: dict[str, list[Seen]] = {each.name: [] for each in chosen}
    for model in dict.fromkeys(each.model for each in chosen):
        of_model = [each for each in chosen if each.model == model]
        with FaultService(model=model, executor="auto") as service:
            for each in of_model * rounds:
                rows[each.name].append(measure(each, service.address, seconds))
                document.write({"cases": rows})
    Console(width=140).print(table(rows))
    print(f"written: {json}")


if __name__ == "__main__":
    typer.run(main)
