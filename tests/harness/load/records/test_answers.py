"""What the generator keeps of answers, and the ids that its requests carry."""

import re
import zlib

import pytest
from scripted_server import ScriptedServer
from sent_phases import one_phase, payload, send

from tailgate.harness.errors import LoadError, MeasurementError
from tailgate.harness.load import LoadSettings
from tailgate.harness.load.records.answers import ANSWERS, ROOM_BYTES, Answers, read_answers
from tailgate.harness.load.wire.answer import KEPT_BODY, Answer, WholeAnswer
from tailgate.harness.load.wire.connection import Flight
from tailgate.harness.load.wire.request import encode_request
from tailgate.harness.load.wire.request_id import Requests, draw_prefix, request_id
from tailgate.harness.scenario.payloads.payload import Payload

PREFIX = "00112233445566ff"


def answer(body, status=200, content_type="text/plain"):
    return f"HTTP/1.1 {status} Said\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()


def whole(data, *, piece=2**16):
    """Return what is kept of an answer that came in pieces."""
    reading = Answer()
    for start in range(0, len(data), piece):
        reading.feed(data[start : start + piece])
    return reading.whole()


def test_each_distinct_answer_is_kept_once_and_samples_say_who_got_it(tmp_path):
    scripts = {"/a": [answer("cat")], "/b": [answer("dog", 404, "application/json")], "/c": [answer("cat")]}
    with ScriptedServer(scripts) as server:
        (report,), samples = send(tmp_path, server.port, one_phase(60), [payload(path) for path in scripts])
    kept = {one.number: one for one in read_answers(tmp_path / ANSWERS)}
    assert len(kept) == 3
    assert report.unkept_answers == 0
    assert all(kept[row["answer"]].payload == row["payload"] for row in samples)
    assert all(kept[row["answer"]].status == row["status"] for row in samples)
    said = {(one.payload, one.status, one.content_type, one.body) for one in kept.values()}
    assert said == {
        (0, 200, "text/plain", b"cat"),
        (1, 404, "application/json", b"dog"),
        (2, 200, "text/plain", b"cat"),
    }


@pytest.mark.parametrize("piece", [1, 2, 7, 64, 2**16])
def test_an_answer_is_the_same_in_whatever_pieces_it_comes(piece):
    assert whole(answer("cat" * 50), piece=piece) == WholeAnswer(b"text/plain", b"cat" * 50, 150, 0)
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nca\r\n1\r\nt\r\n0\r\n\r\n"
    assert whole(chunked, piece=piece) == WholeAnswer(b"", b"cat", 3, 0)
    interim = b"HTTP/1.1 103 Early Hints\r\ncontent-type: x/y\r\n\r\n" + answer("cat")
    assert whole(interim, piece=piece) == WholeAnswer(b"text/plain", b"cat", 3, 0)


def test_an_answer_that_is_not_whole_is_no_answer():
    assert whole(answer("cat")[:-1]) is None


@pytest.mark.parametrize("beyond", [0, 1, 70_000])
@pytest.mark.parametrize("piece", [2**16, 2**22])
def test_of_a_long_body_the_beginning_is_kept_and_a_checksum_of_the_rest(beyond, piece):
    body = "x" * KEPT_BODY + "y" * beyond
    kept = whole(answer(body), piece=piece)
    assert kept == WholeAnswer(b"text/plain", b"x" * KEPT_BODY, len(body), zlib.crc32(b"y" * beyond))


def test_answers_beyond_the_room_are_counted_and_those_that_are_known_stay_so(tmp_path):
    answers = Answers(tmp_path / ANSWERS)
    large = WholeAnswer(b"", b"x" * (ROOM_BYTES // 2), 1, 0)
    assert answers.number(0, 200, large) == 1
    assert answers.number(1, 200, large) == 0
    assert answers.number(0, 200, large) == 1
    assert answers.number(1, 200, WholeAnswer(b"", b"small", 5, 0)) == 2
    assert answers.unkept == 1
    answers.flush()
    answers.flush()
    assert [(one.number, one.payload) for one in read_answers(tmp_path / ANSWERS)] == [(1, 0), (2, 1)]


def test_a_file_of_answers_that_was_cut_short_is_read_to_its_last_whole_line(tmp_path):
    answers = Answers(tmp_path / ANSWERS)
    for number in range(3):
        answers.number(number, 200, WholeAnswer(b"", b"body", 4, 0))
    answers.flush()
    path = tmp_path / ANSWERS
    path.write_bytes(path.read_bytes()[:-5])
    assert [one.payload for one in read_answers(path)] == [0, 1]


@pytest.mark.parametrize(
    "line",
    [b"x", b"{}", b"[]", b'{"answer":1,"payload":0,"status":200,"type":"","length":1,"crc":0,"body":"*"}'],
)
def test_what_is_no_file_of_answers_is_refused(tmp_path, line):
    path = tmp_path / ANSWERS
    path.write_bytes(line + b"\n")
    with pytest.raises(MeasurementError, match="line 1: no answer"):
        read_answers(path)
    with pytest.raises(MeasurementError, match="no answers to read"):
        read_answers(tmp_path / "nothing")


def test_a_full_disk_is_named(tmp_path):
    answers = Answers(tmp_path / ANSWERS)
    answers.number(0, 200, WholeAnswer(b"", b"body", 4, 0))
    (tmp_path / ANSWERS).symlink_to("/dev/full")
    with pytest.raises(LoadError, match="cannot write answers"):
        answers.flush()


def ids_of(sent):
    head = bytes(sent).decode("latin-1").partition("\r\n\r\n")[0]
    return dict(line.split(": ", 1) for line in head.split("\r\n")[1:])


@pytest.mark.parametrize("prefix", [PREFIX, "0" * 16, "f" * 15 + "0"])
def test_every_request_carries_its_own_id_and_the_same_as_a_trace(prefix):
    payloads = [Payload("a", b"0" * 500, "text/plain"), Payload("b", b"", "text/plain", "/b", "GET")]
    settings = LoadSettings("127.0.0.1", 1, id_prefix=prefix)
    encoded = [encode_request(one, settings) for one in payloads]
    requests = Requests(encoded, prefix)
    seen = set()
    for phase, request, chosen in [(0, 0, 0), (0, 1, 1), (3, 2**32 - 1, 0), (65535, 0, 1)]:
        requests.phase = phase
        sent = requests.bytes_of(Flight(request, chosen, 0, 0))
        headers, number = ids_of(sent), f"{(phase << 48) + request + 1:016x}"
        assert headers["x-request-id"] == request_id(prefix, phase, request) == prefix + number
        assert headers["traceparent"] == f"00-{prefix}{number}-{number}-01"
        assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", headers["traceparent"])
        assert len(sent) == len(encoded[chosen])
        assert sent.endswith(payloads[chosen].body)
        seen.add(headers["x-request-id"])
    assert len(seen) == 4


def test_an_id_that_the_user_sets_stays_as_it_is():
    own = Payload("a", b"x", "text/plain", headers=(("X-Request-ID", "mine"),))
    settings = LoadSettings("127.0.0.1", 1, id_prefix=PREFIX, headers=(("Traceparent", "theirs"),))
    encoded = encode_request(own, settings)
    assert bytes(Requests([encoded], PREFIX).bytes_of(Flight(7, 0, 0, 0))) == encoded
    assert encoded.lower().count(b"x-request-id") == encoded.lower().count(b"traceparent") == 1


def test_without_a_prefix_there_are_no_ids():
    encoded = encode_request(Payload("a", b"x", "text/plain"), LoadSettings("127.0.0.1", 1))
    assert b"x-request-id" not in encoded
    assert Requests([encoded], "").bytes_of(Flight(7, 0, 0, 0)) == encoded
    assert request_id("", 1, 2) == ""


def test_what_looks_like_an_id_in_a_body_or_in_another_header_is_left_alone():
    line = f"\r\nx-request-id: {PREFIX}{'0' * 16}\r\n"
    body = line.encode() * 2
    odd = Payload("a", body, "text/plain", headers=(("x-odd", f"x-request-id: {PREFIX}{'0' * 16}"),))
    settings = LoadSettings("127.0.0.1", 1, id_prefix=PREFIX)
    sent = bytes(Requests([encode_request(odd, settings)], PREFIX).bytes_of(Flight(7, 0, 0, 0)))
    assert sent.endswith(body)
    assert sent.count(b"0000000000000008") == 3


def test_prefixes_differ():
    drawn = {draw_prefix() for _ in range(100)}
    assert len(drawn) == 100
    assert all(re.fullmatch("[0-9a-f]{16}", one) for one in drawn)
