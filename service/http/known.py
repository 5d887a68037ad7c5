"""A head that is known: the next request with the same head is not parsed.

Proxies and load generators give each request an id of its own (``X-Request-ID``, ``traceparent``). The values of these two
headers may differ from request to request; every other byte must be the same.
"""

import re
from typing import NamedTuple

from tailgate.service.codec.intent import Intent
from tailgate.service.codec.request_id import ID, REQUEST_ID, TRACE, TRACEPARENT, request_id
from tailgate.service.http.head import Head

_ID_LINE = re.compile(rb"\r\n(x-request-id|traceparent):[ \t]*([!-~]+)", re.IGNORECASE)


class Known(NamedTuple):
    """A head, and what it means."""

    start: bytes  # its bytes up to the value of its first id; all of them where no value may differ
    following: tuple[bytes, ...]  # the bytes behind each value that may differ, up to the next or to the end
    form: re.Pattern[bytes]  # of these values; its first group is the id
    chosen: int  # which of the values has the request's id
    request_id: bytes | None  # the request's id where no value may differ; None where it has none
    length: int  # bytes of the body
    intent: Intent

    def meet(self, data: bytes) -> tuple[int, bytes | None] | None:
        """Return the bytes of the head and the request's id; None unless ``data`` begins one request, and no other, with it."""
        if not data.startswith(self.start):
            return None
        size, found = len(self.start), self.request_id
        for place, following in enumerate(self.following):
            value = self.form.match(data, size)
            if value is None or not data.startswith(following, value.end()):
                return None
            size = value.end() + len(following)
            if place == self.chosen:
                found = value[1]
        return (size, found) if len(data) <= size + self.length else None


def learn(raw: bytes, head: Head, length: int, intent: Intent) -> Known:
    """Return what is remembered of a head, which ``raw`` holds with the empty line, and of a body of ``length`` bytes."""
    lines = list(_ID_LINE.finditer(raw))
    names = [line[1].lower() for line in lines]
    # Where X-Request-ID has the id, traceparent may be anything.
    form, chosen = (ID, names.index(REQUEST_ID)) if REQUEST_ID in names else (TRACE, 0)
    parsed = [header for header in head.headers if header[0] in (REQUEST_ID, TRACEPARENT)]
    may_differ = (
        parsed == [(name, line[2]) for name, line in zip(names, lines, strict=True)]
        and len(set(names)) == len(names)
        and all(form.fullmatch(line[2]) for line in lines)
    )
    if not (lines and may_differ):
        return Known(raw, (), form, chosen, request_id(head.headers), length, intent)
    ends = [*(line.start(2) for line in lines[1:]), len(raw)]
    following = tuple(raw[line.end() : end] for line, end in zip(lines, ends, strict=True))
    return Known(raw[: lines[0].start(2)], following, form, chosen, None, length, intent)
