"""The one file of a multipart form, as a browser or ``curl -F`` sends it. Runs in the decoding threads, like decoders.

The parser is Starlette's, and of the Content-Type it gets the boundary alone: by a ``charset`` of the client's choice it
would decode fields in whatever Python knows, and some of that takes quadratic time (punycode: 0.9 s for
200 KB, minutes for a whole form).
"""

import re
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, NamedTuple

from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from tailgate.service.errors import BadInput

# RFC 2046, section 5.1.1: 1 to 70 characters of this alphabet, and no space at the end.
BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
# RFC 9110, section 5.6.6. Some clients leave a boundary without quotes that is no token.
PARAMETER = re.compile(
    r";[ \t]*(?:([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(?:\"((?:[^\"\\]|\\.)*)\"|([^;\" \t]*)))?[ \t]*"
)


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
            raise BadInput("the multipart form cannot be read: its Content-Type has a parameter that is none")
        name, quoted, bare = found.groups()
        if name is not None and name.lower() == "boundary":
            boundaries.append(bare if quoted is None else quoted)
        place = found.end()
    if len(boundaries) != 1:
        what = "Missing boundary" if not boundaries else "more than one boundary"
        raise BadInput(f"the multipart form cannot be read: {what} in its Content-Type")
    if BOUNDARY.fullmatch(boundaries[0]) is None:
        raise BadInput(
            "the multipart form cannot be read: its boundary is not 1 to 70 characters of RFC 2046's alphabet"
        )
    return boundaries[0]


class Part(NamedTuple):
    """A file in a form.

    Attributes:
        name: of its field.
        content_type: as sent, empty where the client says none.
        body: its bytes.
    """

    name: str
    content_type: str
    body: bytes


def single_file(boundary: str, body: bytes | bytearray) -> Part:
    """Return the form's only file.

    Args:
        boundary: as :func:`boundary_of` returns it.
        body: the whole form.

    Raises:
        BadInput: not a form, or none or several files in it.
    """
    start = _first_delimiter(boundary, body)

    async def stream() -> AsyncGenerator[bytes, None]:
        yield bytes(memoryview(body)[start:])

    parser = MultiPartParser(
        Headers({"content-type": f'multipart/form-data; boundary="{boundary}"'}), stream(), max_files=1
    )
    parser.spool_max_size = len(body) + 1  # in memory it is already; it need not go through a file on disk
    try:
        form: FormData = _result(parser.parse())
        files = [(name, value) for name, value in form.multi_items() if isinstance(value, UploadFile)]
        if len(files) != 1:
            raise BadInput(
                f"expected one whole file in the multipart form, got {len(files)}; a part with a filename is a file"
            )
        name, found = files[0]
        return Part(name, found.content_type or "", found.file.read())
    except (MultiPartException, KeyError, ValueError) as error:
        raise BadInput(f"the multipart form cannot be read: {getattr(error, 'message', error)}") from None
    finally:
        for file in parser._files_to_close_on_error:  # noqa: SLF001 - Starlette leaves one open whose end is missing
            file.close()


def _first_delimiter(boundary: str, body: bytes | bytearray) -> int:
    """Return where a form begins, behind a preamble, which is to be ignored (RFC 2046, section 5.1.1); 0 where that is unclear."""
    delimiter = b"--" + boundary.encode()
    return 0 if body.startswith(delimiter) else max(0, body.find(b"\r\n" + delimiter))


def _result(parsing: Coroutine[Any, Any, FormData]) -> FormData:
    """Run a coroutine that waits for nothing, since all that it reads and writes is in memory: it needs no event loop."""
    try:
        parsing.send(None)
    except StopIteration as done:
        form: FormData = done.value
        return form
    parsing.close()
    raise AssertionError("the parser of forms waits for something")
