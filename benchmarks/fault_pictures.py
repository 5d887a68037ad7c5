"""What pictures of every kind and shape cost at the limit of pixels: memory, what is kept of it, and the interpreter lock.

    python -m benchmarks.fault_pictures [--json FILE]

Each picture is decoded in a fresh process by the service's own code, twice. A thread beside it wakes up every half
millisecond; how late it is shows for how long the decoder keeps the interpreter lock, and with it the event loop. The smaller
of both times counts, since a busy machine delays that thread too. Then a service gets several of the dearest pictures
at once, and its memory is read after the last answer.
"""

import asyncio
import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import orjson
import typer
from PIL import Image

from benchmarks import record
from benchmarks.environments import ROOT
from benchmarks.fault_clients import Reply, post, send, told
from benchmarks.fault_decoding import MAX_PIXELS, TRIES, Cost
from benchmarks.fault_inputs import chunk
from benchmarks.fault_service import FaultService

Shape = tuple[int, int]
AT_ONCE, DECODE_THREADS, PATIENCE_S = 12, 2, 300.0
# Of the same number of pixels: a square, and the longest strips that a format has and the service takes.
PNG_SHAPES = ((7000, 7000), (65_535, 762), (762, 65_535))
JPEG_SHAPES = ((7000, 7000), (65_500, 763), (763, 65_500))
WEBP_SHAPES = ((7000, 7000), (16_383, 3051), (3051, 16_383))
TOO_TALL = (1, 49_999_999)
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
COLOURS = chunk(b"PLTE", bytes(768))
TURNED = chunk(b"eXIf", b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0")


def png(colour: int, depth: int, *chunks: bytes) -> Callable[[Shape], bytes]:
    """Return what makes a black PNG of a size."""

    def make(shape: Shape) -> bytes:
        width, height = shape
        row = bytes(1 + (width * CHANNELS[colour] * depth + 7) // 8)
        packer = zlib.compressobj(1)
        pixels = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
        return b"".join((b"\x89PNG\r\n\x1a\n", header, *chunks, chunk(b"IDAT", pixels), chunk(b"IEND", b"")))

    return make


def other(kind: str, mode: str, **options: object) -> Callable[[Shape], bytes]:
    """Return what makes a black picture of another format."""

    def make(shape: Shape) -> bytes:
        file = io.BytesIO()
        Image.new(mode, shape).save(file, kind, **options)
        return file.getvalue()

    return make


KINDS: dict[str, tuple[tuple[Shape, ...], Callable[[Shape], bytes]]] = {
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
    "WebP with transparency, turned by EXIF": (
        WEBP_SHAPES,
        other("WEBP", "RGBA", lossless=True, exif=TURNED[8:-4]),
    ),
    "JPEG": (JPEG_SHAPES, other("JPEG", "RGB")),
    "JPEG, CMYK": (JPEG_SHAPES, other("JPEG", "CMYK")),
    "JPEG, progressive": (JPEG_SHAPES, other("JPEG", "RGB", progressive=True)),
    "JPEG, progressive, colours at full size": (
        JPEG_SHAPES,
        other("JPEG", "RGB", progressive=True, subsampling=0),
    ),
    "JPEG, progressive, CMYK": (JPEG_SHAPES, other("JPEG", "CMYK", progressive=True, subsampling=0)),
}


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture.

    Attributes:
        kind: of its file.
        shape: its width and height.
        file_bytes: of its file.
        cost: of decoding it.
    """

    kind: str
    shape: Shape
    file_bytes: int
    cost: Cost

    @property
    def peak_per_pixel(self) -> float:
        """Bytes per pixel at the peak."""
        return self.cost.peak_bytes / (self.shape[0] * self.shape[1])


def measured(kind: str, shape: Shape, body: bytes) -> Picture:
    """Have a picture decoded by a process of its own."""
    command = [sys.executable, "-m", "benchmarks.fault_decoding"]
    done = subprocess.run(command, input=body, stdout=subprocess.PIPE, cwd=ROOT, check=True)
    return Picture(kind, shape, len(body), Cost(**orjson.loads(done.stdout)))


async def patiently(service: FaultService, requests: list[bytes]) -> list[Reply]:
    """Send requests at once, and wait for a machine that is busy with other things."""
    sending = (send(service.address, request, patience_s=PATIENCE_S) for request in requests)
    return await asyncio.gather(*sending)


def at_once() -> dict[str, object]:
    """Send the dearest kind of picture several times at once; return what the service answered and keeps."""
    shapes, make = KINDS["WebP with transparency"]
    request = post(make(shapes[0]), b"image/webp")
    with FaultService(decode_threads=DECODE_THREADS) as service:
        asyncio.run(patiently(service, [post(other("PNG", "RGB")((64, 64)), b"image/png")]))
        service.settled()
        before_mb = service.rss_mb()
        service.forget_peak()
        replies = asyncio.run(patiently(service, [request] * AT_ONCE))
        service.settled()
        tall = asyncio.run(patiently(service, [post(png(GREY, 16)(TOO_TALL), b"image/png")]))
        return {
            "answered": told(replies),
            "before_mb": before_mb,
            "peak_mb": service.peak_mb(),
            "after_mb": service.rss_mb(),
            "too_tall": told(tall),
        }


def markdown(pictures: list[Picture]) -> str:
    """Return a table of the kinds; of the costs other than memory the largest of a kind's shapes."""
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


def main(
    json: Annotated[Path, typer.Option(help="where the results go")] = record.RESULTS / "fault_pictures.json",
) -> None:
    """Decode all, and print the table."""
    document = record.Record("fault_pictures", {"max_pixels": MAX_PIXELS, "tries": TRIES}, json)
    pictures: list[Picture] = []
    for kind, (shapes, make) in KINDS.items():
        pictures += [measured(kind, shape, make(shape)) for shape in shapes]
        document.write({"pictures": [asdict(picture) for picture in pictures]})
    service = at_once()
    document.write({"pictures": [asdict(picture) for picture in pictures], "service": service})
    print(markdown(pictures))
    print(f"\n{AT_ONCE} at once: {service}\nwritten: {json}")


if __name__ == "__main__":
    typer.run(main)
