"""Forms: which boundaries are taken, what of the Content-Type the parser sees, and where it runs."""

import asyncio
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving import running, until

from tailgate.service.codec import inputs
from tailgate.service.codec.forms import Part, boundary_of, single_file
from tailgate.service.errors import BadInput

FIELD = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
FILE = (
    b'--x\r\nContent-Disposition: form-data; name="f"; filename="a"\r\nContent-Type: a/b\r\n\r\ncontent\r\n'
)
ALPHABET = "0123456789abcXYZ'()+_,-./:=?"


@pytest.mark.parametrize(
    ("parameters", "boundary"),
    [
        ("; boundary=x", "x"),
        (";boundary=x", "x"),
        ("; BOUNDARY=x ;", "x"),
        (';; boundary="a b"; charset=punycode', "a b"),
        ('; a="; boundary=y"; boundary=x', "x"),
        ("; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW", "----WebKitFormBoundary7MA4YWxkTrZu0gW"),
        ("; boundary==_Part/1:2?", "=_Part/1:2?"),
        ("; boundary=" + 70 * "x", 70 * "x"),
    ],
)
def test_a_boundary_is_found_among_the_parameters(parameters, boundary):
    assert boundary_of("multipart/form-data" + parameters) == boundary


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ("", "Missing boundary"),
        ("; charset=utf-8", "Missing boundary"),
        ("; boundary*=utf-8''x", "Missing boundary"),
        ("; boundary=x; boundary=y", "more than one"),
        ("; boundary=x; Boundary=x", "more than one"),
        ("; boundary=", "1 to 70 characters"),
        ('; boundary="x "', "1 to 70 characters"),
        ('; boundary="x\\y"', "1 to 70 characters"),
        ("; boundary=" + 71 * "x", "1 to 70 characters"),
        ("; boundary=ü", "1 to 70 characters"),
        ("; boundary=a b", "a parameter that is none"),
        ('; boundary="x', "a parameter that is none"),
        ("; boundary", "a parameter that is none"),
    ],
)
def test_what_is_no_boundary_is_refused(parameters, told):
    with pytest.raises(BadInput, match=told):
        boundary_of("multipart/form-data" + parameters)


@given(boundary=st.text(ALPHABET, min_size=1, max_size=70))
def test_any_boundary_by_the_standard_is_taken_with_quotes(boundary):
    assert boundary_of(f'multipart/form-data; boundary="{boundary}"') == boundary
    body = FILE.replace(b"--x", b"--" + boundary.encode()) + b"--" + boundary.encode() + b"--\r\n"
    assert single_file(boundary, body) == Part("f", "a/b", b"content")


@pytest.mark.parametrize("headers", [b"", b"Content-Type:\r\n", b"X: y\r\n"])
@pytest.mark.parametrize(
    "filename", [b'; filename="cat.jpg"', b'; filename=""', b"; filename=a; filename*=utf-8''caf%C3%A9.jpg"]
)
def test_a_part_need_not_have_a_type_and_is_a_file_by_its_filename_however_it_is_written(headers, filename):
    head = b'--x\r\nContent-Disposition: form-data; name="file"' + filename + b"\r\n" + headers
    assert single_file("x", head + b"\r\ncontent\r\n--x--\r\n") == Part("file", "", b"content")


@pytest.mark.parametrize(
    "preamble",
    [
        b"\r\n",
        b"This is a message in MIME.\r\n",
        b"two\r\nlines\r\n\r\n",
        b"--\r\n",
        b"-x--x\n--x\r\n",
        b"a" * 100_000 + b"\r\n",
    ],
)
def test_what_stands_before_a_forms_first_part_is_ignored(preamble):
    part = single_file("x", preamble + FIELD + FILE + b"--x--\r\n")
    assert part == Part("f", "a/b", b"content")


def test_names_are_utf_8_whatever_the_client_names_and_other_fields_are_not_decoded():
    boundary = boundary_of("multipart/form-data; boundary=x; charset=punycode")
    file = FILE.replace(b'name="f"', 'name="fü"'.encode())
    assert single_file(boundary, FIELD + file + b"--x--\r\n") == Part("fü", "a/b", b"content")
    unreadable = FIELD.replace(b"1", b"\xff" * 1000)
    assert single_file(boundary, unreadable + FILE + b"--x--\r\n") == Part("f", "a/b", b"content")


def test_a_form_of_thousands_of_fields_is_refused():
    with pytest.raises(BadInput, match=r"cannot be read: Too many fields\. Maximum number of fields is 1000"):
        single_file("x", FIELD * 1001 + FILE + b"--x--\r\n")
    assert single_file("x", FIELD * 1000 + FILE + b"--x--\r\n").body == b"content"


@pytest.mark.asyncio
async def test_a_form_is_parsed_in_a_decoding_thread(monkeypatch):
    threads = []

    def noted(*arguments):
        threads.append(threading.current_thread().name)
        return single_file(*arguments)

    monkeypatch.setattr(inputs, "single_file", noted)
    async with running("tiny_models:colours") as server:
        answer = await server.client.post("/predict", files={"file": ("a.bin", bytes(192))})
    assert answer.status_code == 200
    assert len(threads) == 1
    assert threads[0].startswith("tailgate-decode")


@pytest.mark.asyncio
async def test_a_form_whose_deadline_passes_before_a_thread_has_it_is_told_so_then(monkeypatch):
    go_on = threading.Event()

    def held(*arguments):
        assert go_on.wait(30)
        return single_file(*arguments)

    monkeypatch.setattr(inputs, "single_file", held)
    form = {"file": ("a.bin", bytes(192))}
    async with running("tiny_models:colours", decode_threads=1) as server:
        first = asyncio.create_task(server.client.post("/predict", files=form))
        await until(lambda: len(server.service.pipeline.decoders.unfinished) == 1)
        late = await server.client.post("/predict", files=form, headers={"X-Request-Timeout-Ms": "50"})
        go_on.set()
        assert (await first).status_code == 200
    assert late.status_code in {429, 504}  # 429 where even to come here took the machine so long
