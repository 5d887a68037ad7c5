import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgate.harness.load.wire.answer import Answer, MalformedAnswerError

ANSWERS = {
    "content-length": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "after an interim answer": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("data", ANSWERS.values(), ids=ANSWERS)
@given(cuts=st.data())
def test_an_answer_is_complete_with_its_last_byte_however_it_is_cut(data, cuts):
    answer = Answer()
    for _ in range(2):
        answer.begin()
        start = 0
        while start < len(data):
            assert not answer.complete
            end = cuts.draw(st.integers(start + 1, len(data)))
            answer.feed(data[start:end])
            start = end
        assert answer.complete
        assert answer.keep_alive
        assert answer.status in {200, 204}


def test_connection_close_forbids_another_request():
    answer = Answer()
    answer.feed(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    assert answer.complete
    assert not answer.keep_alive


def test_the_end_of_the_connection_completes_an_answer_that_nothing_frames():
    answer = Answer()
    answer.feed(b"HTTP/1.1 200 OK\r\n\r\nhello")
    assert not answer.complete
    assert answer.end()
    assert answer.complete


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        ANSWERS["chunked"][:-3],
    ],
)
def test_the_end_of_the_connection_does_not_complete_any_other(data):
    answer = Answer()
    if data:
        answer.feed(data)
    assert not answer.end()


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        ANSWERS["content-length"] * 2,
    ],
)
def test_what_is_not_one_http_answer_is_malformed(data):
    with pytest.raises(MalformedAnswerError):
        Answer().feed(data)


@given(st.lists(st.binary(min_size=1), min_size=1))
def test_bytes_of_any_kind_raise_nothing_else(pieces):
    answer = Answer()
    try:
        for piece in pieces:
            answer.feed(piece)
    except MalformedAnswerError:
        pass
