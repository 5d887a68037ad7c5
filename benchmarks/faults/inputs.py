"""Bad input of each kind, as bytes on a connection."""

import io
import struct
import zlib

from PIL import Image

from benchmarks.faults.clients import post
from benchmarks.faults.marked import item

JSON, FORM = b"application/json", b"multipart/form-data; boundary=x"
PART = b'--x\r\nContent-Disposition: form-data; name="f"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
FIELD = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'


def picture(kind: str, size: int = 64, **options: object) -> bytes:
    """Return a black picture's file."""
    file = io.BytesIO()
    Image.new("RGB", (size, size)).save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    """Return a PNG that claims a size and has no pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND", b"")


def many_scans() -> bytes:
    """Return a progressive JPEG of 36 megapixels that repeats its last scan until it has 15 MB."""
    whole = picture("JPEG", 6000, progressive=True)
    last = whole[whole.rindex(b"\xff\xda") : -2]
    return whole[:-2] + last * ((15_000_000 - len(whole)) // len(last)) + whole[-2:]


def with_header(line: bytes) -> bytes:
    """Return a good request with one more header."""
    return post(item(1)).replace(b"Host: x\r\n", b"Host: x\r\n" + line + b"\r\n")


def in_chunks(size: int) -> bytes:
    """Return a request of unknown length in chunks of 64 KiB."""
    head = (
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    return head + (b"10000\r\n" + bytes(65536) + b"\r\n") * (size // 65536 + 1) + b"0\r\n\r\n"


def bad_inputs() -> dict[str, bytes]:
    """Return a request of each kind by what it is."""
    text_bomb = chunk(b"zTXt", b"k\0\0" + zlib.compress(b"\0" * 200_000_000))
    row = b"[" + b",".join([b"[1,2,3]"] * 8) + b"]"
    long_text = b'{"inputs":[' + b",".join([row] * 7) + b"," + row[:-2] + b',"' + b"x" * 1_000_000 + b'"]]]}'
    jpeg, real = picture("JPEG"), picture("PNG")
    return {
        "a truncated JPEG": post(jpeg[: len(jpeg) // 3], b"image/jpeg"),
        "a truncated PNG": post(picture("PNG")[:50], b"image/png"),
        "a PNG that claims 2³¹ × 2³¹ pixels in 57 bytes": post(png(2**31 - 1, 2**31 - 1), b"image/png"),
        "a PNG that claims 100 megapixels": post(png(10_000, 10_000), b"image/png"),
        "a PNG with 200 MB of text, compressed to 0.2": post(png(8, 8, text_bomb), b"image/png"),
        "a JPEG of 36 megapixels and 250,000 scans": post(many_scans(), b"image/jpeg"),
        "a PNG of a million chunks": post(png(8, 8, chunk(b"tEXt", b"k\0v") * 1_000_000), b"image/png"),
        "a GIF called PNG": post(picture("GIF"), b"image/png"),
        "a gzip body": with_header(b"Content-Encoding: gzip"),
        "a length of 10 TB": post(b"").replace(b"Length: 0", b"Length: 10000000000000"),
        "17 MB in chunks of 64 KiB": in_chunks(17 * 2**20),
        "one byte too few": post(item(1)[1:]),
        "another shape": post(b'{"inputs":[[1,2],[3,4]]}', JSON),
        "25,000 nested lists": post(b'{"inputs":' + b"[" * 25_000 + b"]" * 25_000 + b"}", JSON),
        "a text of 1 MB among numbers": post(long_text, JSON),
        "5 million empty objects": post(b'{"inputs":[' + b"{}," * 5_000_000 + b"1]}", JSON),
        "NaN": post(b'{"inputs":[NaN]}', JSON),
        "1e999999": post(b'{"inputs":[1e999999]}', JSON),
        "wrong UTF-8": post(b'{"inputs":"\xff"}', JSON),
        "300,000 form fields": post(FIELD * 300_000 + b"--x--\r\n", FORM),
        "1 MB of form fields in punycode": post(
            FIELD.replace(b"1\r", b"b" * 500_000 + b"-" + b"a" * 500_000 + b"\r") + b"--x--\r\n",
            FORM + b"; charset=punycode",
        ),
        "a PNG with 1 MB of EXIF": post(
            real[:33] + chunk(b"eXIf", bytes(1_000_000)) + real[33:], b"image/png"
        ),
        "a trailer of 1 MB": in_chunks(0)[:-2] + b"a: b\r\n" * 166_000 + b"\r\n",
        "a form without its end": post(PART + picture("PNG"), FORM),
        "two lengths": with_header(b"Content-Length: 5"),
        "a length and chunks": with_header(b"Transfer-Encoding: chunked"),
        "a header of 100 KB": with_header(b"A: " + b"a" * 100_000),
        "a URL of 100 KB": post(item(1)).replace(b"/predict", b"/predict?" + b"a" * 100_000),
        "no HTTP": b"\x16\x03\x01\x02\x00" + bytes(512),
        "text/plain": post(b"hello", b"text/plain"),
        "an unknown path": b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n",
        "a deadline that is no number": with_header(b"X-Request-Timeout-Ms: soon"),
    }
