"""What is fuzzed: each target takes any bytes and raises where the service would do what it must not.

Hypothesis calls them in the suite (test_fuzz.py), atheris for as long as it is told (``make fuzz``).
"""

import asyncio
import contextlib
import warnings
from types import SimpleNamespace

import httptools
import numpy as np
import orjson

from tailgate.service.batching.forecast import Decoding
from tailgate.service.batching.service import Phase
from tailgate.service.codec import inputs
from tailgate.service.codec.forms import boundary_of, single_file
from tailgate.service.codec.images import decode_image
from tailgate.service.codec.intent import InferHead
from tailgate.service.codec.oip import codings, reply
from tailgate.service.codec.oip.body import KnownCalls, read_body
from tailgate.service.errors import RequestError
from tailgate.service.http.app import create_app
from tailgate.service.http.connection import Connection
from tailgate.service.http.site import Site
from tailgate.service.models import ImageInput, TensorSpec
from tailgate.service.models.items import Result
from tailgate.service.models.spec import NamedTensor, Served, record_spec
from tailgate.service.settings import load_settings

IMAGE = ImageInput(8, crop=1.0)
# Of the JSON of an inference request: all of its body.
NO_LENGTH = 2**16 - 1
SPECS = (IMAGE.spec, TensorSpec((3,), np.dtype(np.float32)), TensorSpec((2, 2), np.dtype(np.int64)))
MAX_PIXELS, MAX_BODY_BYTES = 100_000, 5_000
SETTINGS = load_settings({}, queue_capacity=8, max_body_bytes=MAX_BODY_BYTES)
STATUSES = {100, 200, 204, 400, 404, 405, 408, 413, 414, 415, 422, 431, 501, 503, 505}
# Turns of the event loop that a client waits for its answers.
TURNS = 20
PATIENCE_S = 30


def fuzz_json(data):
    """A JSON body is an input of exactly the model's shape and type, or refused."""
    for spec in SPECS:
        with contextlib.suppress(RequestError):
            item, _ = inputs.item_from_json(data, spec)
            assert (item.shape, item.dtype) == (spec.shape, spec.dtype)
            assert np.isfinite(item).all()
            numbers = leaves(orjson.loads(data)["inputs"])
            assert {type(number) for number in numbers} <= {int, float}
            if spec.dtype.kind in "iu":
                assert item.ravel().tolist() == numbers
            else:
                assert np.array_equal(item.ravel(), np.array(numbers, np.float64).astype(spec.dtype))
            whole = inputs.item_from_octets(item.tobytes(), spec)
            assert np.array_equal(whole, item)


def leaves(value):
    """Return what stands in nested lists, in order."""
    return [leaf for part in value for leaf in leaves(part)] if isinstance(value, list) else [value]


def fuzz_multipart(data):
    """A form is one file, or refused; its boundary is the first line of the data."""
    boundary, _, body = data.partition(b"\n")
    content_type = "multipart/form-data; boundary=" + boundary.decode("latin-1")
    with contextlib.suppress(RequestError):
        part = single_file(boundary_of(content_type), body)
        assert part.body in body
        assert isinstance(inputs.kind_of_part(part, Served("m", IMAGE.spec, None, IMAGE)), inputs.Kind)


def fuzz_image(data):
    """An image is the model's pixels, or refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(RequestError):
            pixels = decode_image(data, IMAGE, MAX_PIXELS)
            assert (pixels.shape, pixels.dtype) == (IMAGE.spec.shape, np.uint8)


FLOAT, LONG = np.dtype(np.float32), np.dtype(np.int64)
OUTPUTS = (NamedTensor("output", TensorSpec((2,), FLOAT)),)
PAIR = (NamedTensor("x", TensorSpec((2, 2), LONG)), NamedTensor("y", TensorSpec((), FLOAT)))
MODELS = (
    Served("m", IMAGE.spec, ("a", "b"), IMAGE, outputs=OUTPUTS),
    Served("m", TensorSpec((3,), FLOAT), None, None, outputs=OUTPUTS),
    Served("m", record_spec(tensor.spec for tensor in PAIR), None, None, PAIR, OUTPUTS),
)
# In the first byte of the data.
CODINGS = (None, None, codings.GZIP, codings.DEFLATE)


def fuzz_infer(data):
    """An inference request is items of exactly the model's kind, or refused, and its answer can be written.

    The first byte says how the body is packed and which protocol it is of, the next two how much of it is JSON.
    """
    flags, length, body = data[:1] or b"\0", int.from_bytes(data[1:3], "little"), data[3:]
    head = InferHead(bool(flags[0] & 4), None if length == NO_LENGTH else length, CODINGS[flags[0] & 3], None)
    for served in MODELS:
        with contextlib.suppress(RequestError):
            read = read_body(head, body, served, SETTINGS, KnownCalls())
            call = read.known.call
            assert 1 <= call.rows == len(read.items) + len(read.pictures) <= 8
            assert all(
                (item.shape, item.dtype) == (served.item.shape, served.item.dtype) for item in read.items
            )
            results = [Result(np.zeros(2, np.float32), [], [])] * call.rows
            assert reply.reply_body(call, results, served).body.startswith(b'{"model_name":"m"')


class Answers:
    """The statuses of a server's answers, read as a client reads them."""

    def __init__(self):
        self.statuses = []
        self.ended = 0
        self._parser = httptools.HttpResponseParser(self)

    def read(self, data):
        self._parser.feed_data(data)

    def on_headers_complete(self):
        self.statuses.append(self._parser.get_status_code())

    def on_message_complete(self):
        self.ended += 1


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self):
        super().__init__()
        self.written = bytearray()
        self.closing = self.ended = False

    def get_extra_info(self, name, default=None):
        return {"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)}.get(name, default)

    def write(self, data):
        assert not self.ended, "written after the end"
        if not self.closing:
            self.written += data

    def can_write_eof(self):
        return True

    def write_eof(self):
        self.ended = True

    def get_write_buffer_size(self):
        return 0

    def is_closing(self):
        return self.closing

    def close(self):
        self.closing = True

    abort = close

    def pause_reading(self):
        pass

    resume_reading = set_write_buffer_limits = pause_reading


class Edge:
    """The service's edge without a socket: a model that answers at once, and an event loop that turns when told."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        app = create_app(load_settings({}, max_body_bytes=MAX_BODY_BYTES, max_image_pixels=MAX_PIXELS))
        self.service = app.state.service
        served = Served("m", IMAGE.spec, ("a", "b"), IMAGE, outputs=OUTPUTS)
        self.service.phase = Phase.READY
        engine = SimpleNamespace(
            served=served, facts={}, gauges=tuple, times=SimpleNamespace(facts=dict), offer=None
        )
        self.service.pipeline = SimpleNamespace(
            engine=engine,
            served=served,
            hung=None,
            admission=SimpleNamespace(admit=lambda *_, **__: None),
            dispatcher=SimpleNamespace(submit=self._submit, submit_all=self._submit_all, waiting=0),
            known_calls=KnownCalls(),
            decoders=self,
            writers=self,
        )
        self.service.call_later = self.loop.call_later
        self.site = Site(app, self.loop)

    def _submit_all(self, rows):
        for row in rows:
            self._submit(row)

    def _submit(self, request):
        request.bound_s, request.computed_s, request.batch_size = request.queued_s, 0.0, 1
        request.outcome = Result(np.zeros(2, np.float32), [0.5, 0.5], [0, 1])
        self.loop.call_soon(request.computed)

    # What requests take for the threads.

    def submit(self, request, work):
        try:
            outcome = work()
        except Exception as error:  # noqa: BLE001 - what the service does with any error of a decoder
            outcome = error
        self.loop.call_soon(request.worked, outcome, 0.0)

    def decoding(self, now_s):
        return Decoding(threads=1)

    def drop(self, request):
        """Leave it: it is done already."""

    def converse(self, pieces):
        """Give the server's side the pieces, and then the end; return the answers."""
        wire = Wire()
        counted = sum(self.service.metrics.requests.values())
        edge = Connection(self.site)
        edge.connection_made(wire)
        for piece in pieces:
            if not wire.closing:
                edge.data_received(piece)
            self.turn()
        for _ in range(TURNS):
            self.turn()
        edge.eof_received()
        edge.connection_lost(None)
        self.turn()
        tasks = asyncio.all_tasks(self.loop)
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks, timeout=PATIENCE_S))
            self.turn()
        assert self.service.in_flight.requests == 0, "a request has not ended"
        assert not asyncio.all_tasks(self.loop), "a task has not ended"
        answers = Answers()
        # The answer to a HEAD has a length and no body, which only its client knows.
        if b"HEAD" not in b"".join(pieces):
            answers.read(bytes(wire.written))
        assert set(answers.statuses) <= STATUSES, answers.statuses
        assert sum(self.service.metrics.requests.values()) - counted <= 1 + b"".join(pieces).count(b"HTTP/1")
        return answers

    def turn(self):
        """Let the event loop run what is ready."""
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()


EDGE = []


def fuzz_http(data):
    """Bytes on a connection, in pieces: the first two say how they are cut. None is lost, and all answers are HTTP."""
    if not EDGE:
        EDGE.append(Edge())
    step, rest = 1 + int.from_bytes(data[:2], "little") % 4096, data[2:]
    EDGE[0].converse([rest[place : place + step] for place in range(0, len(rest), step)])


def pixels_json():
    """A JSON body that is served."""
    return orjson.dumps({"inputs": np.zeros(IMAGE.spec.shape, int).tolist()})


TARGETS = {
    "json": fuzz_json,
    "multipart": fuzz_multipart,
    "image": fuzz_image,
    "infer": fuzz_infer,
    "http": fuzz_http,
}
