"""What a request carries: photographs, random pixels or files, or what a plugin's ``tailgate_payloads`` gives."""

import io
import mimetypes
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tailgate.harness.errors import UsageError
from tailgate.harness.options.settings import GateSettings
from tailgate.harness.options.values import whole
from tailgate.harness.scenario.expectation import expectations

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
OCTETS = "application/octet-stream"
DEFAULT_SIDE = 224
# 48 MiB a payload, of which there are eight.
MOST_PIXELS = 4_096
PIXEL_PAYLOADS = 8
# Of a request that says nothing else.
METHOD, PATH = "POST", "/predict"


@dataclass(frozen=True, slots=True)
class Payload:
    """One request's content."""

    name: str  # unique in its source; samples refer to it
    body: bytes
    content_type: str
    path: str = PATH  # request target on the service, from its base address on; begins with "/"
    method: str = METHOD
    # Host, Content-Length and Content-Type are added by the generator.
    headers: tuple[tuple[str, str], ...] = ()
    weight: float = 1.0  # relative share of requests that carry it
    # What a right answer is, each in the form that --perf-expect takes; empty: what that option says.
    expect: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Take any buffer for the body, lists, and numpy's numbers; refuse what cannot be sent."""
        try:
            # bytes() would take a text's length, or a number, for so many zeros.
            object.__setattr__(self, "body", bytes(memoryview(self.body)))
        except TypeError:
            raise UsageError(f"payload {self.name!r}: its body is bytes, got {self.body!r:.80}") from None
        object.__setattr__(self, "headers", tuple((name, value) for name, value in self.headers))
        object.__setattr__(self, "weight", float(self.weight))
        # A plugin's one expectation, as a text.
        expect: object = self.expect
        object.__setattr__(self, "expect", (expect,) if isinstance(expect, str) else tuple(self.expect))


def settled(payload: Payload, settings: GateSettings) -> Payload:
    """Return a payload with what the options say of every request that names no method, path and expectation itself.

    Raise UsageError for an expectation that cannot be read.
    """
    expectations(settings.expect, "--perf-expect")
    expectations(payload.expect, f"payload {payload.name!r}: its expectation")
    method, _, path = settings.request.partition(" ")
    expect = payload.expect or settings.expect
    if (payload.method, payload.path) != (METHOD, PATH):
        return replace(payload, expect=expect)
    return replace(payload, method=method, path=path, expect=expect)


def built_in_payloads(source: str) -> Sequence[Payload] | None:
    """Return the payloads of ``photos``, ``pixels:SIDE``, ``file:PATH`` or ``dir:PATH``; None for another source.

    Raise UsageError where a source names what is not there.
    """
    kind, _, argument = source.partition(":")
    if kind in {"file", "dir"} and not argument.strip():
        raise UsageError(f"payloads {kind}:PATH: expected a path, got none")
    match kind:
        case "photos":
            return _photographs()
        case "pixels":
            return _pixels(argument)
        case "file":
            return [_file_payload(Path(argument))]
        case "dir":
            return _folder_payloads(Path(argument))
    return None


def _photographs() -> Sequence[Payload]:
    try:
        import skimage  # noqa: PLC0415 - an extra
        from PIL import Image  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise UsageError(
            f"the photographs come with an extra: pip install 'tailgate[demo]' ({error.name})"
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


def _folder_payloads(folder: Path) -> Sequence[Payload]:
    paths = sorted(path for path in folder.expanduser().glob("*") if path.is_file())
    if not paths:
        raise UsageError(f"payloads dir:PATH: there is no file in {folder}")
    return [_file_payload(path) for path in paths]


def _file_payload(path: Path) -> Payload:
    file = path.expanduser()
    try:
        # One that is no plain file, such as a pipe or a device, may have no end.
        if file.exists() and not file.is_file():
            raise UsageError(f"payloads file:PATH: {path} is no plain file")
        body = file.read_bytes()
    except OSError as error:
        raise UsageError(f"payloads file:PATH: cannot read {path}: {error.strerror}") from None
    return Payload(path.name, body, mimetypes.guess_type(path.name)[0] or OCTETS)
