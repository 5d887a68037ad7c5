"""How long a request of any kind keeps everybody else waiting: the health probe's slowest answers beside it.

    python -m benchmarks.loop_stalls [--rounds 3] [--seconds 3] [--case TEXT] [--json FILE]

The real service with the demonstration model, whose input is 224 × 224 × 3. A probe asks ``/health/live`` on a connection of
its own, again and again, a millisecond after each answer. Two clients, in a process of their own, meanwhile send one kind of
request as fast as it is answered. A probe that comes in the middle of a stall waits for its end, so its slowest answer is the
longest stall, and what the machine adds. How much that is, say the rows of no load and of raw pixels.
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
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated

import numpy as np
import orjson
import typer
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks import record
from benchmarks.fault_service import FaultService
from benchmarks.spread import Spread, spread
from tailgate.service.codec.inputs import JSON as JSON_TYPE
from tailgate.service.codec.inputs import JSON_BYTES_A_NUMBER, MORE_MARKS, OCTETS

SHAPE = (224, 224, 3)
NUMBERS = 224 * 224 * 3
BYTES = JSON_BYTES_A_NUMBER * NUMBERS
LISTS = 1 + 224 + 224 * 224
CLIENTS = 2
PAUSE_S = 0.001
DEMO, WIDE = "demo", "benchmarks.models:wide"
Body = Callable[[], bytes]


def _pixels() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, SHAPE, np.uint8)


def _json(of: str) -> bytes:
    return b'{"inputs":%b}' % of.encode()


def _filled(unit: bytes, before: bytes = b'{"inputs":[', after: bytes = b"]}") -> bytes:
    """Return JSON of as many bytes as are taken, made of one unit again and again."""
    return before + unit * ((BYTES - len(before) - len(after)) // len(unit)) + after


def _jpeg(width: int, height: int) -> bytes:
    rng, file = np.random.default_rng(1), io.BytesIO()
    coarse = rng.integers(0, 256, (height // 16, width // 16, 3), np.uint8)
    Image.fromarray(coarse).resize((width, height)).save(file, "JPEG", quality=90)
    return file.getvalue()


def _as_many_as_may_be() -> bytes:
    """Return the longest work that JSON can be: what the input needs of lists and numbers, and all that is taken beside it."""
    inputs = orjson.dumps([[[0] * 3] * 224] * 224)
    others = b",".join(b'"%d":{}' % number for number in range(MORE_MARKS // 2))
    return b'{"inputs":%b,"others":{%b}}' % (inputs, others)


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of request.

    Attributes:
        name: for people.
        kind: Content-Type; None for a GET of ``path``.
        body: makes the body.
        path: where it goes.
        model: that is served.
    """

    name: str
    kind: str | None
    body: Body = bytes
    path: str = "/predict"
    model: str = DEMO


CASES = (
    Case("no load", None, path=""),
    Case("raw pixels", OCTETS, lambda: _pixels().tobytes()),
    Case("JPEG, 0.2 megapixels", "image/jpeg", lambda: _jpeg(500, 375)),
    Case("JPEG, 13 megapixels", "image/jpeg", lambda: _jpeg(4160, 3120)),
    Case("JSON of the pixels", JSON_TYPE, lambda: _json(str(_pixels().tolist()).replace(" ", ""))),
    Case(
        "the same, indented",
        JSON_TYPE,
        lambda: orjson.dumps({"inputs": _pixels().tolist()}, option=orjson.OPT_INDENT_2),
    ),
    Case(
        "the same, 58 digits a number",
        JSON_TYPE,
        lambda: _json(
            "["
            + ",".join(["[" + ",".join(["[" + ",".join(["1." + "0" * 57] * 3) + "]"] * 224) + "]"] * 224)
            + "]"
        ),
    ),
    Case("the same, and all else that is taken", JSON_TYPE, _as_many_as_may_be),
    Case("empty lists", JSON_TYPE, lambda: _filled(b"[],", after=b"[]]}")),
    Case("lists in lists", JSON_TYPE, lambda: _filled(b"[[[[[[]]]]]],", after=b"[]]}")),
    Case("lists without an end", JSON_TYPE, lambda: b"[" * BYTES),
    Case("empty objects", JSON_TYPE, lambda: _filled(b"{},", after=b"{}]}")),
    Case("objects in objects", JSON_TYPE, lambda: _filled(b'{"a":', before=b"", after=b"")),
    Case("one object of many keys", JSON_TYPE, lambda: _filled(b'"key":0,', before=b"{", after=b'"a":0}')),
    Case("many texts", JSON_TYPE, lambda: _filled(b'"",', after=b'""]}')),
    Case("one long text", JSON_TYPE, lambda: _filled(b"a", before=b'{"inputs":"', after=b'"}')),
    Case(
        "one long text of escapes", JSON_TYPE, lambda: _filled(b"\\u00e9", before=b'{"inputs":"', after=b'"}')
    ),
    Case("spaces", JSON_TYPE, lambda: _filled(b" ", before=b'{"inputs":', after=b"1}")),
    Case("/metrics", None, path="/metrics"),
    Case("answers of a million numbers", OCTETS, lambda: bytes(64 * 64 * 3), model=WIDE),
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the probe and the clients saw in one round.

    Attributes:
        probes: answers to the probe.
        p50_ms, p99_ms, worst_ms: how long they took.
        answers: to the clients, by status.
    """

    probes: int
    p50_ms: float
    p99_ms: float
    worst_ms: float
    answers: dict[str, int]


def load(name: str, address: tuple[str, int], parent: "Connection[object, object]") -> None:
    """Send requests of one kind until the parent says so, and tell it how they were answered; a process of its own."""
    case = next(each for each in CASES if each.name == name)
    body, counts, over = case.body(), Counter[str](), threading.Event()

    def client() -> None:
        connection = http.client.HTTPConnection(*address, timeout=60)
        while not over.is_set():
            try:
                if case.kind is None:
                    connection.request("GET", case.path)
                else:
                    connection.request("POST", case.path, body, {"Content-Type": case.kind})
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
    """Return how long each answer of the health probe took."""
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
    """Return what came out: medians and extremes of the rounds, milliseconds."""
    found = Table("beside", "answers", "probe p50", "p99", "worst")
    for name, rounds in rows.items():
        answers = sum((Counter(each.answers) for each in rounds), Counter[str]())
        figures = (spread_of(rounds, which) for which in ("p50_ms", "p99_ms", "worst_ms"))
        told = ", ".join(f"{count} × {status}" for status, count in sorted(answers.items()))
        found.add_row(name, told, *map(str, figures))
    return found


def spread_of(rounds: list[Seen], figure: str) -> Spread:
    """Summarise one figure of all rounds."""
    return spread([getattr(each, figure) for each in rounds])


def main(
    rounds: Annotated[int, typer.Option(min=1, help="of each kind of request, interleaved")] = 3,
    seconds: Annotated[float, typer.Option(help="length of a round")] = 3.0,
    case: Annotated[str, typer.Option(help="only the kinds whose name holds this")] = "",
    json: Annotated[Path, typer.Option(help="where the results go")] = record.RESULTS / "loop_stalls.json",
) -> None:
    """Measure how long each kind of request keeps the event loop from the health probe."""
    chosen = [each for each in CASES if case in each.name]
    if not chosen:
        raise typer.BadParameter(f"no kind of request has {case!r} in its name")
    document = record.Record("loop_stalls", {"rounds": rounds, "seconds": seconds, "clients": CLIENTS}, json)
    rows: dict[str, list[Seen]] = {each.name: [] for each in chosen}
    for model in dict.fromkeys(each.model for each in chosen):
        with FaultService(model=model, executor="auto") as service:
            for _ in range(rounds):
                for each in chosen:
                    if each.model == model:
                        rows[each.name].append(measure(each, service.address, seconds))
                        document.write(
                            {"cases": {name: list(map(asdict, seen)) for name, seen in rows.items()}}
                        )
    Console(width=140).print(table(rows))
    print(f"written: {json}")


if __name__ == "__main__":
    typer.run(main)
