"""Good answers whose heads are alike, each read in one match.

The heads of a server's answers differ in few places: what Server-Timing tells, the length of the body, and headers that mean
nothing to the generator (``date``, ``x-request-id``). The parser reads the first answers, forms are learned from their heads,
and an answer of a known form needs no parser. The parser reads all others: answers in several pieces, chunks, streams,
failures. A test holds the two readings against each other.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from tailgate.harness.load.wire.answer import Answer, WholeAnswer
from tailgate.harness.load.wire.server_timing import (
    UNTOLD,
    USUAL,
    Stages,
    parse_server_timing,
    stages_of,
)
from tailgate.harness.load.wire.stream import stream_of

# A server has few forms of good answers, and a form that does not match costs each answer part of a microsecond.
MOST_FORMS = 4
# Between two phases: the more answers have known forms, the sooner a rare one is noted.
MOST_NOTED = 4

STATUS = 200
_FIRST_LINE = re.compile(rb"HTTP/1\.1 200 [\x20-\x7e]*")
# RFC 9112, section 5: no folded line, no control character.
_VALUE = rb"[\t\x20-\x7e\x80-\xff]*"
_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):(" + _VALUE + rb")")
# So few digits that the whole body is kept.
_LENGTH = rb" ?(?P<length>\d{1,6})"
# What says how an answer is to be read is the same in all answers of a form, or only the parser reads it.
_ALIKE = frozenset({b"connection", b"content-type", b"proxy-connection"})
_FOR_THE_PARSER = frozenset({b"retry-after", b"transfer-encoding", b"upgrade"})


@dataclass(frozen=True, slots=True)
class HeadForm:
    """One form of good answers: a pattern of the whole answer, and the content type, which is the same in all of them."""

    pattern: re.Pattern[bytes]
    content_type: bytes
    stages: Callable[[re.Match[bytes]], Stages]  # what Server-Timing tells in a match

    def read(self, data: memoryview, end: int) -> tuple[Stages, WholeAnswer] | None:
        """Return what the first ``end`` bytes say; None where they are not one whole answer of this form."""
        match = self.pattern.match(data, 0, end)
        if match is None:
            return None
        length, body = match.group("length", "body")
        if int(length) != len(body):
            return None
        return self.stages(match), WholeAnswer(self.content_type, body, len(body), 0)


def form_of(head: bytes) -> HeadForm | None:
    """Return the form of a head, which ends before its empty line; None where only the parser can read such answers."""
    first, *lines = head.split(b"\r\n")
    headers = [_LINE.fullmatch(line) for line in lines]
    patterns, values = [re.escape(first)], dict[bytes, bytes]()
    for header in headers:
        spelled, value = header.groups() if header is not None else (b"", b"")
        values[spelled.lower()] = value
        patterns.append(re.escape(spelled) + b":" + _value_pattern(spelled.lower(), value))
    content_type = values.get(b"content-type", b"").lstrip(b" \t")
    plain = (
        _FIRST_LINE.fullmatch(first) is not None
        and None not in headers
        # The parser merges a header that comes twice, or refuses it.
        and len(values) == len(lines)
        and b"content-length" in values
        and not _FOR_THE_PARSER & values.keys()
        and stream_of(content_type, chunked=False) is None
    )
    if not plain:
        return None
    pattern = re.compile(b"\r\n".join([*patterns, b"", b"(?P<body>(?s:.)*)"]))
    if b"server-timing" not in values:
        return HeadForm(pattern, content_type, lambda _: UNTOLD)
    if "timing" in pattern.groupindex:
        return HeadForm(pattern, content_type, lambda match: parse_server_timing(match["timing"]))
    return HeadForm(pattern, content_type, stages_of)


def _value_pattern(name: bytes, value: bytes) -> bytes:
    if name in _ALIKE:
        return re.escape(value)
    if name == b"content-length":
        return _LENGTH
    if name == b"server-timing":
        usual = USUAL.fullmatch(value.strip(b" \t"))
        return rb"[\t ]*%b[\t ]*" % (rb"(?P<timing>%b)" % _VALUE if usual is None else USUAL.pattern)
    return _VALUE


class HeadForms:
    """The forms of one server's good answers.

    :meth:`note` is for the moment in which an answer comes. :meth:`learn` takes a millisecond per form, and is for a moment in
    which nothing is to be sent or read.
    """

    def __init__(self) -> None:
        self._forms: list[HeadForm] = []
        self._noted: list[bytes] = []

    def read(self, data: memoryview, end: int) -> tuple[Stages, WholeAnswer] | None:
        """Return what a whole answer of a known form says, whose status is STATUS; None for any other."""
        for form in self._forms:
            said = form.read(data, end)
            if said is not None:
                return said
        return None

    def note(self, data: memoryview, answer: Answer) -> None:
        """Keep an answer that the parser has read from one piece of data."""
        wanted = len(self._noted) < MOST_NOTED and len(self._forms) < MOST_FORMS
        if wanted and answer.status == STATUS and answer.keep_alive:
            self._noted.append(bytes(data))

    def learn(self) -> None:
        """Learn the forms of the answers that were noted."""
        for data in self._noted:
            if len(self._forms) < MOST_FORMS and self.read(memoryview(data), len(data)) is None:
                form = form_of(data.partition(b"\r\n\r\n")[0])
                self._forms += [] if form is None else [form]
        self._noted.clear()
