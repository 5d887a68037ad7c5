"""The one file of a multipart form, as a browser or ``curl -F`` sends it. The parser is Starlette's."""

from collections.abc import AsyncGenerator

from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from service.errors import BadInput


async def single_file(content_type: str, body: bytes | bytearray) -> tuple[str, bytes]:
    """Return the content type and the bytes of the form's only file.

    Raises:
        BadInput: not a form, or none or several files in it.
    """

    async def stream() -> AsyncGenerator[bytes, None]:
        yield bytes(body)

    parser = MultiPartParser(Headers({"content-type": content_type}), stream(), max_files=1)
    parser.spool_max_size = len(body) + 1  # in memory it is already; it need not go through a file on disk
    try:
        form = await parser.parse()
        files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        if len(files) != 1:
            raise BadInput(f"expected one whole file in the multipart form, got {len(files)}")
        return files[0].content_type or "", await files[0].read()
    except (MultiPartException, KeyError, ValueError) as error:
        raise BadInput(f"the multipart form cannot be read: {getattr(error, 'message', error)}") from None
    finally:
        for file in parser._files_to_close_on_error:  # noqa: SLF001 - Starlette leaves one open whose end is missing
            file.close()
