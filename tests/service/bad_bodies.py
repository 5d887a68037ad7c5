"""Bodies that are refused: each with its Content-Type, and the status and words of the answer.

For a model that takes 8 × 8 pixels with MAX_BODY_BYTES and MAX_IMAGE_PIXELS as limits. The fuzzers begin from them, too.
"""

import io
import struct
import zlib

import numpy as np
from edges import picture
from PIL import Image

JSON, OCTETS, FORM = b"application/json", b"application/octet-stream", b"multipart/form-data; boundary=x"
MAX_BODY_BYTES, MAX_IMAGE_PIXELS = 200_000, 10_000
ROW = b"[[1,2,3],[1,2,3],[1,2,3],[1,2,3],[1,2,3],[1,2,3],[1,2,3],[1,2,3]]"
PNG, JPEG = picture(), picture("JPEG", (64, 64))
CUT = PNG[: PNG.index(b"IDAT") + 8]
PART = (
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
)
UNTYPED = PART.replace(b"Content-Type: image/png\r\n", b"")
FIELD = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width, height, *chunks):
    """A PNG that claims a size, with further chunks and without pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND", b"")


def rows(last, count=8):
    """A tensor whose last row is another."""
    return b'{"inputs":[' + b",".join([ROW] * (count - 1) + [last]) + b"]}"


def scans(count):
    whole = encoded(Image.new("RGB", (64, 64)), "JPEG", progressive=True)
    return whole[:-2] + whole[whole.rindex(b"\xff\xda") : -2] * count + whole[-2:]


IMAGES = {
    "a truncated JPEG": (b"image/jpeg", JPEG[:300], 400, "damaged"),
    "a truncated PNG": (b"image/png", CUT, 400, "damaged"),
    "a corrupt PNG": (b"image/png", PNG[:45] + b"\0\0\0\0" + PNG[49:], 400, "damaged"),
    "a signature alone": (b"image/png", PNG[:8], 415, "not an image in any of JPEG, PNG, WEBP"),
    "more pixels than are taken": (
        b"image/png",
        png_of(101, 100),
        413,
        "101 x 100 pixels, and at most 10000",
    ),
    "more rows than are taken": (b"image/png", png_of(1, 70_000), 413, "1 x 70000 pixels, and at most"),
    "a huge PNG of 57 bytes": (b"image/png", png_of(2**31 - 1, 2**31 - 1), 413, "too large"),
    "a huge JPEG": (
        b"image/jpeg",
        JPEG.replace(b"\x08\0\x40\0\x40", b"\x08\xff\xdc\xff\xdc", 1),
        413,
        "too large",
    ),
    "compressed text": (
        b"image/png",
        png_of(8, 8, chunk(b"zTXt", b"k\0\0" + zlib.compress(b"\0" * 20_000_000))),
        400,
        "too large",
    ),
    "a compressed profile": (
        b"image/png",
        png_of(8, 8, chunk(b"iCCP", b"k\0\0" + zlib.compress(b"\0" * 20_000_000))),
        400,
        "too large",
    ),
    "endless scans": (b"image/jpeg", scans(1000), 400, "scans, and at most"),
    "endless parts": (b"image/jpeg", JPEG[:2] + b"\xff" * 60_000 + JPEG[2:], 400, "too many parts"),
    "endless EXIF": (
        b"image/png",
        PNG[:-12] + chunk(b"eXIf", b"II*\0\x08\0\0\0\0\0" + bytes(70_000)) + PNG[-12:],
        400,
        "bytes of EXIF",
    ),
    "a GIF": (b"image/png", encoded(Image.new("RGB", (8, 8)), "GIF"), 415, "not an image in any of"),
    "an animated GIF": (
        b"image/png",
        encoded(Image.new("L", (8, 8)), "GIF", save_all=True, append_images=[Image.new("L", (8, 8), 9)]),
        415,
        "not an image in any of",
    ),
    "a GIF that says so": (b"image/gif", b"GIF89a", 415, "expected image/jpeg, image/png, image/webp"),
    "a BMP": (b"image/png", encoded(Image.new("RGB", (8, 8)), "BMP"), 415, "not an image in any of"),
    "a TIFF": (b"image/jpeg", encoded(Image.new("RGB", (8, 8)), "TIFF"), 415, "not an image in any of"),
    "an SVG": (b"image/svg+xml", b"<svg/>", 415, "expected image/jpeg"),
    "text": (b"image/jpeg", b"hello", 415, "not an image in any of"),
    "an empty picture": (b"image/png", b"", 400, "the body is empty"),
    "another type": (b"text/plain", b"x", 415, "Content-Type: expected image/jpeg"),
    "no type": (b"", b"x", 415, "got 'none'"),
}
TENSORS = {
    "too few bytes": (OCTETS, bytes(191), 422, "expected exactly the 192 bytes of uint8[8, 8, 3], got 191"),
    "too many bytes": (OCTETS, bytes(193), 422, "expected exactly the 192 bytes of uint8[8, 8, 3], got 193"),
    "another shape": (
        JSON,
        b'{"inputs":[[1,2],[3,4]]}',
        422,
        "expected [8, 8, 3] or [1, 8, 8, 3], got [2, 2]",
    ),
    "another rank": (JSON, b'{"inputs":1}', 422, "expected [8, 8, 3] or [1, 8, 8, 3], got []"),
    "a batch of two": (
        JSON,
        b'{"inputs":[' + rows(ROW)[10:-1] + b"," + rows(ROW)[10:-1] + b"]}",
        422,
        "one item",
    ),
    "a ragged row": (JSON, rows(b"[[1,2,3]]"), 422, "unequal lengths: expected 8 elements"),
    "a ragged end": (JSON, rows(ROW.replace(b"3]]", b"3,4]]")), 422, "unequal lengths: expected 3 elements"),
    "a number for a row": (JSON, rows(b"7"), 422, "got a number for a list"),
    "a list too deep": (JSON, rows(ROW.replace(b"3]]", b"[3]]]")), 422, "got a list among them"),
    "a text among numbers": (JSON, rows(ROW.replace(b"3]]", b'"3"]]')), 422, "got text among them"),
    "a long text": (JSON, rows(ROW.replace(b"3]]", b'"%b"]]' % (b"x" * 50_000))), 422, "got text among them"),
    "true": (JSON, rows(ROW.replace(b"3]]", b"true]]")), 422, "got true or false among them"),
    "null": (JSON, rows(ROW.replace(b"3]]", b"null]]")), 422, "got null among them"),
    "a fraction": (JSON, rows(ROW.replace(b"3]]", b"0.5]]")), 422, "whole numbers from 0 to 255"),
    "a number too large": (JSON, rows(ROW.replace(b"3]]", b"256]]")), 422, "whole numbers from 0 to 255"),
    "NaN": (JSON, rows(ROW.replace(b"3]]", b"NaN]]")), 400, "not JSON"),
    "Infinity": (JSON, rows(ROW.replace(b"3]]", b"-Infinity]]")), 400, "not JSON"),
    "1e999999": (JSON, rows(ROW.replace(b"3]]", b"1e999999]]")), 400, "infinity"),
    "a number of 50,000 digits": (JSON, rows(ROW.replace(b"3]]", b"9" * 50_000 + b"]]")), 400, "infinity"),
    "deep lists": (JSON, b'{"inputs":' + b"[" * 20_000 + b"]" * 20_000 + b"}", 400, "depth"),
    "rather deep lists": (JSON, b'{"inputs":' + b"[" * 70 + b"]" * 70 + b"}", 422, "nested deeper than 64"),
    "deep objects": (JSON, b'{"inputs":' * 5_000 + b"1" + b"}" * 5_000, 400, "depth"),
    "many empty objects": (
        JSON,
        b'{"x":[' + b"{}," * 40_000 + b"1]}",
        413,
        "at most 65536 are taken for uint8",
    ),
    "no inputs": (JSON, b'{"input":[1]}', 400, 'expected a JSON object {"inputs": …}'),
    "a list": (JSON, b"[1]", 400, 'expected a JSON object {"inputs": …}'),
    "wrong UTF-8": (JSON, b'{"inputs":"\xff"}', 400, "not valid UTF-8"),
    "half a surrogate": (JSON, b'{"inputs":"\\ud800"}', 400, "surrogate"),
    "two byte order marks": (JSON, b"\xef\xbb\xbf" * 2 + rows(ROW), 400, "byte order mark"),
    "UTF-16": (JSON, rows(ROW).decode().encode("utf-16"), 400, "not valid UTF-8"),
    "something behind": (JSON, rows(ROW) + b"\0", 400, "not JSON"),
    "nothing": (JSON, b"", 400, "the body is empty"),
    "spaces": (JSON, b"   ", 400, "not JSON"),
}
FORMS = {
    "a file of another kind without a type": (
        FORM,
        UNTYPED + b"hello\r\n--x--\r\n",
        415,
        "the file 'file' of the multipart form: expected a JPEG, PNG or WebP, or exactly the 192 bytes",
    ),
    "a file of octets that are nothing": (
        FORM,
        PART.replace(b"image/png", b"application/octet-stream") + b"hello\r\n--x--\r\n",
        422,
        "the file 'file' of the multipart form: expected a JPEG, PNG or WebP, or exactly the 192 bytes",
    ),
    "a GIF in a form": (
        FORM,
        PART.replace(b"image/png", b"image/gif") + b"GIF89a\r\n--x--\r\n",
        415,
        "the file 'file' of the multipart form: expected the type image/jpeg",
    ),
    "a damaged file without a type": (FORM, UNTYPED + CUT + b"\r\n--x--\r\n", 400, "damaged"),
    "an empty file without a type": (FORM, UNTYPED + b"\r\n--x--\r\n", 400, "the body is empty"),
    "no part": (FORM, b"--x--\r\n", 400, "expected one whole file in the multipart form, got 0"),
    "no file": (FORM, FIELD + b"--x--\r\n", 400, "expected one whole file in the multipart form, got 0"),
    "two files": (FORM, PART + PNG + b"\r\n" + PART + PNG + b"\r\n--x--\r\n", 400, "Too many files"),
    "thousands of fields": (FORM, FIELD * 3000 + b"--x--\r\n", 400, "Too many fields"),
    "no end": (FORM, PART + PNG, 400, "expected one whole file in the multipart form, got 0"),
    "another boundary": (
        b"multipart/form-data; boundary=y",
        PART + PNG + b"\r\n--x--\r\n",
        400,
        "cannot be read",
    ),
    "fields in a coding that Python decodes in quadratic time": (
        FORM + b"; charset=punycode",
        FIELD.replace(b"1\r\n", b"b" * 45_000 + b"-" + b"a" * 45_000 + b"\r\n") + b"--x--\r\n",
        400,
        "expected one whole file in the multipart form, got 0",
    ),
    "nothing but beginnings of the boundary": (
        FORM,
        PART + b"\r\n--" * 30_000 + b"\r\n--x--\r\n",
        415,
        "not an image in any of",
    ),
    "two boundaries": (FORM + b"; boundary=x", PART + PNG + b"\r\n--x--\r\n", 400, "more than one boundary"),
    "a long boundary": (
        b"multipart/form-data; boundary=" + b"x" * 71,
        PART + PNG + b"\r\n--x--\r\n",
        400,
        "1 to 70 characters",
    ),
    "no boundary": (b"multipart/form-data", PART + PNG + b"\r\n--x--\r\n", 400, "Missing boundary"),
    "a part without a name": (FORM, b"--x\r\n\r\n1\r\n--x--\r\n", 400, "cannot be read"),
    "a long header": (FORM, b"--x\r\nA: " + b"b" * 50_000 + b"\r\n\r\n1\r\n--x--\r\n", 400, "cannot be read"),
    "thousands of headers": (
        FORM,
        b"--x\r\n" + b"a: b\r\n" * 9000 + b"\r\n1\r\n--x--\r\n",
        400,
        "cannot be read",
    ),
    "garbage": (FORM, bytes(range(256)) * 10, 400, "cannot be read"),
    "a damaged file": (FORM, PART + CUT + b"\r\n--x--\r\n", 400, "damaged"),
    "a large file": (FORM, PART + png_of(101, 100) + b"\r\n--x--\r\n", 413, "101 x 100 pixels"),
    "an empty file": (FORM, PART + b"\r\n--x--\r\n", 400, "the body is empty"),
}
BODIES = IMAGES | TENSORS | FORMS
# These are served: what looks odd and is not wrong.
SERVED = {
    "an animated PNG": (
        b"image/png",
        encoded(Image.new("L", (8, 8)), "PNG", save_all=True, append_images=[Image.new("L", (8, 8), 9)]),
    ),
    "an animated WebP": (
        b"image/webp",
        encoded(
            Image.new("RGB", (8, 8)), "WEBP", save_all=True, append_images=[Image.new("RGB", (8, 8), "red")]
        ),
    ),
    "CMYK": (b"image/jpeg", encoded(Image.new("CMYK", (8, 8)), "JPEG")),
    "16 bits": (b"image/png", encoded(Image.fromarray(np.full((8, 8), 0x80FF, np.uint16)), "PNG")),
    "a palette with transparency": (
        b"image/png",
        encoded(Image.new("P", (8, 8)), "PNG", transparency=bytes(range(256))),
    ),
    "alpha": (b"image/png", encoded(Image.new("RGBA", (8, 8)), "PNG")),
    "a JPEG that says PNG": (b"image/png", JPEG),
    "a JPEG by another of its names": (b"image/jpg", JPEG),
    "a form whose file has no type": (FORM, UNTYPED + JPEG + b"\r\n--x--\r\n"),
    "a form whose file is octets": (
        FORM,
        PART.replace(b"image/png", b"application/octet-stream") + JPEG + b"\r\n--x--\r\n",
    ),
    "numbers with exponents": (JSON, rows(ROW.replace(b"3]]", b"1.5e1]]"))),
    "the same name twice": (JSON, b'{"inputs":1,' + rows(ROW)[1:]),
    "spaces between": (JSON, rows(ROW).replace(b",", b" ,\r\n\t")),
}
