"""Where payloads come from: photographs, random pixels, a text, files, a server's own word, and a file of requests.

A plugin's ``tailgate_payloads`` brings others.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from tailgate.harness.errors import UsageError
from tailgate.harness.options.values import whole
from tailgate.harness.scenario.payloads import inference
from tailgate.harness.scenario.payloads.bodies import OCTETS, file_type, read_plain, text_type
from tailgate.harness.scenario.payloads.lines import ROWS, line_payloads
from tailgate.harness.scenario.payloads.payload import Payload
from tailgate.harness.scenario.payloads.requests_file import file_requests

# Photographs of real things, of different sizes; those of scikit-image that are micrographs or patterns are left out.
PHOTOS = (
    "chelsea.png",
    "coffee.png",
    "rocket.jpg",
    "astronaut.png",
    "motorcycle_left.png",
    "hubble_deep_field.jpg",
)
JPEG_QUALITY = 90
DEFAULT_SIDE = 224
# 48 MiB a payload, of which there are eight.
MOST_PIXELS = 4_096
PIXEL_PAYLOADS = 8


def built_in_payloads(source: str) -> Sequence[Payload] | None:
    """Return the payloads of a source that --perf-payloads or --perf-requests names; None for one that is not known here.

    Raise UsageError where a source names what is not there.
    """
    kind, _, argument = source.partition(":")
    if kind in {"file", "dir", "lines"} and not argument.strip():
        raise UsageError(f"payloads {kind}:PATH: expected a path, got none")
    read = _READERS.get(kind)
    return None if read is None else read(argument)


def _photographs(_: str) -> Sequence[Payload]:
    try:
        import skimage  # noqa: PLC0415 - an extra
        from PIL import Image  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise UsageError(
            "say what your service is sent, such as --perf-request='POST /score' --perf-payloads=file:body.json; the default "
            f"is photographs, which come with an extra: pip install 'tailgate[demo]' ({error.name})"
        ) from None
    folder = Path(skimage.__file__).parent / "data"
    payloads = []
    for name in PHOTOS:
        stream = io.BytesIO()
        with Image.open(folder / name) as image:
            image.convert("RGB").save(stream, "JPEG", quality=JPEG_QUALITY)
        payloads.append(Payload(Path(name).stem, stream.getvalue(), "image/jpeg"))
    return payloads


def _pixels(argument: str) -> Sequence[Payload]:
    try:
        side = whole(1, MOST_PIXELS)(argument) if argument else DEFAULT_SIDE
    except ValueError as error:
        raise UsageError(f"payloads pixels:SIDE: {error}, got {argument!r}") from None
    rng = np.random.default_rng(0)
    return [
        Payload(f"pixels-{index}", rng.integers(0, 256, (side, side, 3), dtype=np.uint8).tobytes(), OCTETS)
        for index in range(PIXEL_PAYLOADS)
    ]


def _text_payload(text: str) -> Sequence[Payload]:
    # Without a text it is the request that --perf-request says, and nothing more.
    return [Payload("body" if text else "request", text.encode(), text_type(text) if text else "")]


def _folder_payloads(folder: Path) -> Sequence[Payload]:
    paths = sorted(path for path in folder.expanduser().glob("[!.]*") if path.is_file())
    if not paths:
        raise UsageError(f"payloads dir:PATH: there is no file in {folder}")
    return [_file_payload(path) for path in paths]


def _whole_file(path: Path) -> Payload:
    if path.suffix.lower() in ROWS:
        raise UsageError(
            f"payloads file:PATH: {path} would be the body of one request, all its lines together; lines:{path} sends a "
            "request per line, and dir:FOLDER sends each file of a folder whole"
        )
    return _file_payload(path)


def _file_payload(path: Path) -> Payload:
    return Payload(path.name, read_plain(path, "payloads file:PATH"), file_type(path))


_READERS: Mapping[str, Callable[[str], Sequence[Payload]]] = {
    "photos": _photographs,
    "pixels": _pixels,
    "body": _text_payload,
    "file": lambda argument: [_whole_file(Path(argument))],
    "dir": lambda argument: _folder_payloads(Path(argument)),
    "lines": lambda argument: line_payloads(Path(argument)),
    inference.KIND: inference.unasked,
    "requests": lambda argument: file_requests(Path(argument)),
}
