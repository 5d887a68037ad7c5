"""The one file of a multipart form, as a browser or ``curl -F`` sends it. Runs in the decoding threads, like decoders.

Of the Content-Type only the boundary is used: to decode fields by a ``charset`` of the client's choice can take quadratic
time (punycode: 0.9 s for 200 KB, minutes for a whole form).
"""

import re
from typing import NamedTuple

from python_multipart.multipart import MultipartParser, parse_options_header

from tailgate.service.errors import BadInput

# RFC 2046, section 5.1.1: 1 to 70 characters of this alphabet, and no space at the end.
BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
# RFC 9110, section 5.6.6. Some clients leave a boundary without quotes that is no token.
PARAMETER = re.compile(
    r";[ \t]*(?:([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(?:\"((?:[^\"\\]|\\.)*)\"|([^;\" \t]*)))?[ \t]*"
)
# Each costs a thread some microseconds, and a form of 16 MB could hold 200,000.
MAX_FIELDS = 1000
UNREADABLE = "the multipart form cannot be read"


def boundary_of(content_type: str) -> str:
    """Return the boundary that a Content-Type of ``multipart/form-data`` names.

    Raises:
        BadInput: there is none or there are several, or it is none by RFC 2046.
    """
    boundaries = []
    place = content_type.find(";")
    while 0 <= place < len(content_type):
        found = PARAMETER.match(content_type, place)
        if found is None:
            raise BadInput(f"{UNREADABLE}: its Content-Type has a parameter that is none")
        name, quoted, bare = found.groups()
        if name is not None and name.lower() == "boundary":
            boundaries.append(bare if quoted is None else quoted)
        place = found.end()
    if len(boundaries) != 1:
        what = "Missing boundary" if not boundaries else "more than one boundary"
        raise BadInput(f"{UNREADABLE}: {what} in its Content-Type")
    if BOUNDARY.fullmatch(boundaries[0]) is None:
        raise BadInput(f"{UNREADABLE}: its boundary is not 1 to 70 characters of RFC 2046's alphabet")
    return boundaries[0]


class Part(NamedTuple):
    """A file in a form: its field's name, its type as sent (empty for none), and its bytes."""

    name: str
    content_type: str
    body: bytes


def single_file(boundary: str, body: bytes | bytearray) -> Part:
    """Return the only file of a whole form, with the boundary that :func:`boundary_of` has returned.

    Raises:
        BadInput: not a form, or none or several files in it.
    """
    delimiter = b"--" + boundary.encode()
    # What stands before the first delimiter is to be ignored (RFC 2046, section 5.1.1).
    start = 0 if body.startswith(delimiter) else max(0, body.find(b"\r\n" + delimiter))
    form = _Form(boundary)
    try:
        form.read(bytes(memoryview(body)[start:]))
    except ValueError as error:  # the parser's own errors are such
        raise BadInput(f"{UNREADABLE}: {error}") from None
    if len(form.files) != 1:
        raise BadInput(
            f"expected one whole file in the multipart form, got {len(form.files)}; a part with a filename is a file"
        )
    return form.files[0]


class _Form:
    """Takes a form in one piece, and keeps its files that are whole."""

    def __init__(self, boundary: str) -> None:
        self.files: list[Part] = []
        self._fields = 0
        self._header = b""
        self._headers: dict[bytes, bytes] = {}
        self._options: dict[bytes, bytes] = {}
        self._pieces: list[bytes] = []
        self._parser = MultipartParser(
            boundary.encode(),
            {
                "on_part_begin": self._begin,
                "on_header_field": self._name_header,
                "on_header_value": self._take_header,
                "on_headers_finished": self._read_head,
                "on_part_data": self._take_data,
                "on_part_end": self._end,
            },
        )

    def read(self, body: bytes) -> None:
        """Parse all of it; ValueError where it is no form."""
        self._parser.write(body)
        self._parser.finalize()

    def _begin(self) -> None:
        self._headers, self._pieces = {}, []

    def _name_header(self, data: bytes, start: int, end: int) -> None:
        self._header = data[start:end].lower()

    def _take_header(self, data: bytes, start: int, end: int) -> None:
        self._headers[self._header] = data[start:end]

    def _read_head(self) -> None:
        _, self._options = parse_options_header(self._headers.get(b"content-disposition"))
        if b"name" not in self._options:
            raise ValueError('The Content-Disposition header field "name" must be provided.')
        if b"filename" not in self._options:
            self._fields += 1
        elif self.files:
            raise ValueError("Too many files. Maximum number of files is 1.")
        if self._fields > MAX_FIELDS:
            raise ValueError(f"Too many fields. Maximum number of fields is {MAX_FIELDS}.")

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        if b"filename" in self._options:
            self._pieces.append(data[start:end])

    def _end(self) -> None:
        if b"filename" in self._options:
            name = self._options[b"name"].decode(errors="replace")
            kind = self._headers.get(b"content-type", b"").decode("latin-1")
            self.files.append(Part(name, kind, b"".join(self._pieces)))
