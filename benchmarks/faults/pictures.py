"""The cost of pictures of every kind and shape at the limit of pixels: memory, and the interpreter lock.

    python -m benchmarks.faults.pictures [--json FILE]

The service's own code decodes each picture in a fresh process, twice. A thread beside it wakes up every half
millisecond. Its delay shows how long the decoder keeps the interpreter lock, and with it the event loop. The smaller of
both times counts, since a busy machine delays that thread too. Then a service gets several of the most expensive pictures
at once, and its memory is read after the last answer.
"""

import asyncio
import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import orjson
import typer
from PIL import Image

from benchmarks import record
from benchmarks.environments import ROOT
from benchmarks.faults.clients import Reply, all_at_once, post, told
from benchmarks.faults.decoding import MAX_PIXELS, TRIES, Cost
from benchmarks.faults.inputs import chunk
from benchmarks.faults.service import FaultService

Shape = tuple[int, int]
Make = Callable[[Shape], bytes]
AT_ONCE, DECODE_THREADS, PATIENCE_S = 12, 2, 300.0
# All of the same number of pixels: a square, and the longest strips of a format that the service takes.
PNG_SHAPES = ((7000, 7000), (65_535, 762), (762, 65_535))
JPEG_SHAPES = ((7000, 7000), (65_500, 763), (763, 65_500))
WEBP_SHAPES = ((7000, 7000), (16_383, 3051), (3051, 16_383))
TOO_TALL = (1, 49_999_999)
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
COLOURS = chunk(b"PLTE", bytes(768))
TURNED = chunk(b"eXIf", b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0")
EXIF = TURNED[8:-4]
FULL_SIZE = {"progressive": True, "subsampling": 0}


def png(colour: int, depth: int, *chunks: bytes) -> Make:
    """Return a maker of black PNGs."""

    def make(shape: Shape) -> bytes:
        width, height = shape
        row = bytes(1 + (width * CHANNELS[colour] * depth + 7) // 8)
        packer = zlib.compressobj(1)
        pixels = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
        return b"".join((b"\x89PNG\r\n\x1a\n", header, *chunks, chunk(b"IDAT", pixels), chunk(b"IEND", b"")))

    return make


def other(kind: str, mode: str, **options: object) -> Make:
    """Return a maker of black pictures of another format."""

    def make(shape: Shape) -> bytes:
        file = io.BytesIO()
        Image.new(mode, shape).save(file, kind, **options)
        return file.getvalue()

    return make


KINDS: dict[str, tuple[tuple[Shape, ...], Make]] = {
    "PNG, 1 bit": (PNG_SHAPES, png(GREY, 1)),
    "PNG, grey": (PNG_SHAPES, png(GREY, 8)),
    "PNG, grey, 16 bits": (PNG_SHAPES, png(GREY, 16)),
    "PNG, grey with transparency": (PNG_SHAPES, png(GREY_ALPHA, 8)),
    "PNG, palette": (PNG_SHAPES, png(PALETTE, 8, COLOURS)),
    "PNG, palette with transparency": (PNG_SHAPES, png(PALETTE, 8, COLOURS, chunk(b"tRNS", bytes(256)))),
    "PNG, RGB": (PNG_SHAPES, png(RGB, 8)),
    "PNG, RGB, turned by EXIF": (PNG_SHAPES, png(RGB, 8, TURNED)),
    "PNG, RGB, 16 bits": (PNG_SHAPES, png(RGB, 16)),
    "PNG, RGBA": (PNG_SHAPES, png(RGBA, 8)),
    "PNG, RGBA, turned by EXIF": (PNG_SHAPES, png(RGBA, 8, TURNED)),
    "PNG, RGBA, 16 bits": (PNG_SHAPES, png(RGBA, 16)),
    "WebP": (WEBP_SHAPES, other("WEBP", "RGB")),
    "WebP with transparency": (WEBP_SHAPES, other("WEBP", "RGBA", lossless=True)),
    "WebP with transparency, turned by EXIF": (WEBP_SHAPES, other("WEBP", "RGBA", lossless=True, exif=EXIF)),
    "JPEG": (JPEG_SHAPES, other("JPEG", "RGB")),
    "JPEG, CMYK": (JPEG_SHAPES, other("JPEG", "CMYK")),
    "JPEG, progressive": (JPEG_SHAPES, other("JPEG", "RGB", progressive=True)),
    "JPEG, progressive, colours at full size": (JPEG_SHAPES, other("JPEG", "RGB", **FULL_SIZE)),
    "JPEG, progressive, CMYK": (JPEG_SHAPES, other("JPEG", "CMYK", **FULL_SIZE)),
}


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a width and a height, and the cost of decoding it."""

    kind: str
    shape: Shape
    file_bytes: int
    cost: Cost

    @property
    def peak_per_pixel(self) -> float:
        """Bytes per pixel at the peak."""
        return self.cost.peak_bytes / (self.shape[0] * self.shape[1])


def measured(kind: str, shape: Shape, body: bytes) -> Picture:
    """Decode a picture in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.faults.decoding"]
    done = subprocess.run(command, input=body, stdout=subprocess.PIPE, cwd=ROOT, check=True)
    return Picture(kind, shape, len(body), Cost(**orjson.loads(done.stdout)))


def at_once() -> dict[str, object]:
    """Send the most expensive kind of picture several times at once; return the answers and the memory."""
    shapes, make = KINDS["WebP with transparency"]
    expensive = post(make(shapes[0]), b"image/webp")
    small = post(png(RGB, 8)((64, 64)), b"image/png")
    tall = post(png(GREY, 16)(TOO_TALL), b"image/png")
    with FaultService(decode_threads=DECODE_THREADS) as service:

        def answers(*requests: bytes) -> list[Reply]:
            replies = asyncio.run(all_at_once(service.address, requests, PATIENCE_S))
            service.settled()
            return replies

        answers(small)
        before_mb = service.rss_mb()
        service.forget_peak()
        replies = answers(*[expensive] * AT_ONCE)
        too_tall = answers(tall)
        return {
            "answered": told(replies),
            "before_mb": before_mb,
            "peak_mb": service.peak_mb(),
            "after_mb": service.rss_mb(),
            "too_tall": told(too_tall),
        }


def markdown(pictures: list[Picture]) -> str:
    """Return a table of the kinds; costs other than the peak are the largest of a kind's shapes."""
    lines = [
        "| picture of 50 megapixels | bytes per pixel: square, wide, tall | kept, MB | processor, s | lock held, ms |",
        "| --- | --- | --- | --- | --- |",
    ]
    for kind in KINDS:
        mine = [picture for picture in pictures if picture.kind == kind]
        peaks = ", ".join(f"{picture.peak_per_pixel:.1f}" for picture in mine)
        kept = max(picture.cost.kept_bytes for picture in mine) / 1e6
        cpu_s = max(picture.cost.cpu_s for picture in mine)
        late_ms = max(picture.cost.late_s for picture in mine) * 1e3
        lines.append(f"| {kind} | {peaks} | {max(kept, 0):.0f} | {cpu_s:.2f} | {late_ms:.0f} |")
    return "\n".join(lines)


def main(json: record.Json = record.RESULTS / "fault_pictures.json") -> None:
    """Decode all, and print the table."""
    document = record.Record("fault_pictures", {"max_pixels": MAX_PIXELS, "tries": TRIES}, json)
    pictures: list[Picture] = []
    for kind, (shapes, make) in KINDS.items():
        pictures += [measured(kind, shape, make(shape)) for shape in shapes]
        document.write({"pictures": pictures})
    service = at_once()
    document.write({"pictures": pictures, "service": service})
    print(markdown(pictures))
    print(f"\n{AT_ONCE} at once: {service}\nwritten: {json}")


if __name__ == "__main__":
    typer.run(main)
