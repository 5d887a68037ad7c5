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

    try:
        parser = MultiPartParser(Headers({"content-type": content_type}), stream(), max_files=1)
        parser.spool_max_size = (
            len(body) + 1
        )  # it is in memory already, and need not go through a file on disk
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise BadInput(f"the multipart form cannot be read: {getattr(error, 'message', error)}") from None
    files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
    try:
        if len(files) != 1:
            raise BadInput(f"expected one file in the multipart form, got {len(files)}")
        return files[0].content_type or "", await files[0].read()
    finally:
        await form.close()
