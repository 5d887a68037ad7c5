"""A payload as the bytes of an HTTP/1.1 request, made once before the run."""

from collections.abc import Iterator

from tailgate.harness.errors import UsageError
from tailgate.harness.load.settings import LoadSettings
from tailgate.harness.load.wire.request_id import id_lines
from tailgate.harness.options import headers, values
from tailgate.harness.options.headers import Header
from tailgate.harness.scenario.payloads.payload import Payload


def encode_request(payload: Payload, settings: LoadSettings) -> bytes:
    """Return head and body of a payload's request; raise UsageError for what cannot be sent, or is the generator's to send."""
    for read, said in ((values.method, payload.method), (values.request_target, payload.path)):
        try:
            read(said)
        except ValueError as error:
            raise UsageError(f"payload {payload.name!r}: {error}, got {said!r}") from None
    target = settings.prefix + payload.path
    lines = [f"{payload.method} {target} HTTP/1.1"]
    for name, value in _headers(payload, settings):
        if why := headers.fault(name, value):
            raise UsageError(f"payload {payload.name!r}: {why}")
        lines.append(f"{name}: {value}")
    if payload.body or payload.method not in {"GET", "DELETE", "OPTIONS"}:
        lines.append(f"content-length: {len(payload.body)}")
    lines += id_lines(settings.id_prefix, {name.lower() for name, _ in (*settings.headers, *payload.headers)})
    return "\r\n".join([*lines, "", ""]).encode("ascii") + payload.body


def _headers(payload: Payload, settings: LoadSettings) -> Iterator[Header]:
    """Give the headers: what a payload says beats what the options say, and both beat the usual ones."""
    usual = [("host", host_header(settings))]
    if payload.body and payload.content_type:
        usual.append(("content-type", payload.content_type))
    sources = (usual, settings.headers, payload.headers)
    names = [{name.lower() for name, _ in source} for source in sources]
    for place, source in enumerate(sources):
        said = frozenset().union(*names[place + 1 :])
        yield from (header for header in source if header[0].lower() not in said)


def host_header(settings: LoadSettings) -> str:
    """Return the Host header's value: the port only where it is not the scheme's, IPv6 in brackets."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return host if settings.port == (443 if settings.tls else 80) else f"{host}:{settings.port}"
