"""Inputs that are served, for a fuzzer to begin from."""

import gzip
import io

from fuzz_targets import pixels_json
from PIL import Image

FILE = (
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
)
FIELD = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'


def picture(kind, mode="RGB", size=(8, 8), **options):
    """Return a picture's file."""
    file = io.BytesIO()
    Image.new(mode, size).save(file, kind, **options)
    return file.getvalue()


def turned():
    """Return EXIF metadata that say that the picture is to be turned."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def post(body, kind, *headers):
    lines = [
        b"POST /predict HTTP/1.1",
        b"Host: x",
        b"Content-Type: " + kind,
        b"Content-Length: %d" % len(body),
    ]
    return b"\r\n".join([*lines, *headers, b"", body])


def tensor(name, datatype, shape, data=None):
    """Return an input as JSON has it; its elements follow where none are given."""
    where = f'"data":{data}' if isinstance(data, list) else f'"parameters":{{"binary_data_size":{data}}}'
    return f'{{"name":"{name}","datatype":"{datatype}","shape":{shape},{where}}}'


def inference(*tensors, more="", tail=b"", pack=lambda body: body, flags=0):
    """Return an inference request as the target takes it."""
    header = f'{{"inputs":[{",".join(tensors)}]{more}}}'.encode()
    length = len(header) if tail else 0xFFFF
    return bytes([flags]) + length.to_bytes(2, "little") + pack(header + tail)


def infer(body, *headers):
    """Return an inference request of HTTP, of a body as the target takes it."""
    length, body = int.from_bytes(body[1:3], "little"), body[3:]
    own = [] if length == 0xFFFF else [b"Inference-Header-Content-Length: %d" % length]
    lines = [b"POST /v2/models/m/infer HTTP/1.1", b"Host: x", b"Content-Length: %d" % len(body)]
    return b"\r\n".join([*lines, *own, *headers, b"", body])


def in_chunks(body, kind):
    lines = [b"POST /predict HTTP/1.1", b"Host: x", b"Content-Type: " + kind, b"Transfer-Encoding: chunked"]
    return b"\r\n".join([*lines, b"", b"%x" % len(body), body, b"0", b"", b""])


def get(path, method=b"GET", *headers):
    return b"\r\n".join([method + b" " + path + b" HTTP/1.1", b"Host: x", *headers, b"", b""])


ANIMATED = {"save_all": True, "append_images": [Image.new("RGB", (8, 8), "red")]}
PIXELS, OCTETS, JSON = bytes(192), b"application/octet-stream", b"application/json"
FORM = FILE + picture("PNG") + b"\r\n--x--\r\n"
RAW = b"\0\0\0" + PIXELS
INFERENCES = [
    inference(tensor("input", "FP32", [1, 3], [1, 2, 3])),
    inference(tensor("input", "FP32", [2, 3], 24), tail=bytes(24), more=',"parameters":{"timeout":1000000}'),
    inference(tensor("input", "BF16", [1, 3], 6), tail=bytes(6), more=',"id":"1"'),
    inference(tensor("input", "UINT8", [1, 8, 8, 3], 192), tail=PIXELS),
    inference(tensor("input", "BYTES", [1], 5), tail=b"\1\0\0\0\xff"),
    inference(tensor("input", "FP32", [1, 3], 12), tail=bytes(12), pack=gzip.compress, flags=2),
    inference(tensor("y", "FP32", [1], [0.5]), tensor("x", "INT64", [1, 2, 2], [1, 2, 3, 4])),
    inference(
        tensor("input", "FP32", [1, 3], [1, 2, 3]),
        more=',"outputs":[{"name":"output","parameters":{"classification":1}}]',
    ),
    b'\4\xff\xff{"instances": [[1, 2, 3], [4, 5, 6]]}',
    RAW,
]
REQUESTS = [
    infer(INFERENCES[3]) * 2,
    infer(RAW, b"Accept-Encoding: gzip"),
    post(PIXELS, OCTETS) * 3,
    post(PIXELS, OCTETS, b"X-Request-Timeout-Ms: 1000") + get(b"/health/live"),
    in_chunks(PIXELS, OCTETS),
    post(picture("PNG"), b"image/png"),
    post(pixels_json(), JSON),
    post(FORM, b"multipart/form-data; boundary=x"),
    post(PIXELS, OCTETS, b"Expect: 100-continue"),
    post(PIXELS, OCTETS, b"Connection: Upgrade, close", b"Upgrade: websocket"),
    get(b"/health/ready") + get(b"/nowhere") + get(b"/predict"),
    post(PIXELS, OCTETS).replace(b"HTTP/1.1", b"HTTP/1.0"),
]
CHUNKS = in_chunks(PIXELS, OCTETS)
# What once was answered out of turn, never, twice, or by a fault of ours; or kept without a bound.
REQUESTS += [
    CHUNKS[:-2] + b"X-Request-Timeout-Ms: soon\r\nAuthorization: Bearer x\r\n" + b"aa:bb\r\n" * 20 + b"\r\n",
    CHUNKS.replace(b"c0\r\n", b"c0;a=b;" + b"c" * 50 + b"\r\n"),
    get(b"/") * 70,
    post(PIXELS, OCTETS) + get(b"/") + CHUNKS * 2,
    post(PIXELS, OCTETS) + b"nonsense\r\n\r\n" + post(PIXELS, OCTETS),
    post(PIXELS, OCTETS) + post(PIXELS, OCTETS, b"Host: y"),
    post(PIXELS, OCTETS) + get(b"x:443", b"CONNECT"),
    post(PIXELS, OCTETS) + CHUNKS.replace(b"c0\r\n", b"zz\r\n"),
    get(b"/health/live") + CHUNKS[:-5] + b"nonsense",
    post(bytes(5001), OCTETS, b"Expect: 100-continue"),
    post(b"x", b"text/plain", b"Expect: 100-continue ").replace(b"HTTP/1.1", b"HTTP/1.0"),
    get(b"/", b"GET", b"Connection: Upgrade", b"Upgrade: h2c") * 30,
    get(b"http://x") + get(b"http://x?a=b"),
    post(PIXELS, OCTETS, b"Connection: close") + post(PIXELS, OCTETS) + b"nonsense",
    get(b"/") + get(b"/?" + b"a" * 9000),
    post(PIXELS, OCTETS).replace(b"192", b"192 \t") + CHUNKS.replace(b"chunked", b"chunked "),
]
SEEDS = {
    "json": [
        pixels_json(),
        b'{"inputs": [1, 2.5, -3e-2]}',
        b'{"inputs": [[[1, 2, 3]]]}',
        b'{"inputs": [[1, -2], [9223372036854775807, 0]]}',
        b'{"a": {"b": null, "c": "\\u00e9"}, "inputs": [true, false, []]}',
    ],
    "multipart": [
        b"x\n" + FORM,
        b"x\n" + FIELD + FORM,
        b'"x"; charset=utf-8\n' + FIELD * 3 + FORM,
        b"x; charset=punycode\n" + FIELD.replace(b"1\r\n", b"b" * 50 + b"-" + b"a" * 50 + b"\r\n") + FORM,
        b"x\n\r\npreamble\r\n" + FORM + b"epilogue",
    ],
    "image": [
        picture("PNG"),
        picture("PNG", "P", transparency=bytes(4)),
        picture("PNG", "RGBA", exif=turned()),
        picture("PNG", **ANIMATED),
        picture("JPEG", exif=turned()),
        picture("JPEG", "CMYK"),
        picture("JPEG", "L", (64, 64), progressive=True),
        picture("WEBP", "RGBA", lossless=True, exif=turned()),
        picture("WEBP", **ANIMATED),
        picture("MPO", **ANIMATED),
    ],
    "infer": INFERENCES,
    "http": [step.to_bytes(2, "little") + request for step in (4095, 6) for request in REQUESTS],
}
