"""Payloads are the same each time, and a source that is not there says so."""

import io
import sys

import pytest
from PIL import Image

from tailgate.harness.errors import UsageError
from tailgate.harness.scenario.payloads.sources import PHOTOS, built_in_payloads


def test_photographs_are_jpeg_files_in_colour():
    photos = built_in_payloads("photos")
    assert [photo.name for photo in photos] == [name.partition(".")[0] for name in PHOTOS]
    for photo in photos:
        image = Image.open(io.BytesIO(photo.body))
        assert (image.format, image.mode, photo.content_type) == ("JPEG", "RGB", "image/jpeg")


def test_photographs_without_their_package_name_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(UsageError, match=r"pip install 'tailgate\[demo\]'"):
        built_in_payloads("photos")


@pytest.mark.parametrize(("source", "size"), [("pixels:8", 8 * 8 * 3), ("pixels", 224 * 224 * 3)])
def test_pixels_are_bytes_of_the_models_input(source, size):
    made = built_in_payloads(source)
    assert {len(payload.body) for payload in made} == {size}
    assert len({payload.body for payload in made}) == len({payload.name for payload in made}) == len(made)
    assert [payload.body for payload in built_in_payloads(source)] == [payload.body for payload in made]


@pytest.mark.parametrize("side", ["x", "-1", "1.5", "0", "4097", "\u0663", "1_0", " "])
def test_a_side_that_is_no_number_of_pixels_is_refused(side):
    with pytest.raises(UsageError, match="payloads pixels:SIDE: expected a whole number from 1 to 4096, got"):
        built_in_payloads(f"pixels:{side}")


def test_a_file_is_sent_with_the_content_type_of_its_name(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "b.unknown").write_bytes(b"\x00")
    a, b = built_in_payloads(f"dir:{tmp_path}")
    assert (a.name, a.body, a.content_type) == ("a.json", b"{}", "application/json")
    assert b.content_type == "application/octet-stream"
    assert built_in_payloads(f"file:{tmp_path / 'a.json'}") == [a]


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"payloads file:PATH: cannot read .*gone: No such file"):
        built_in_payloads(f"file:{tmp_path / 'gone'}")


def test_the_working_directory_is_a_folder_like_any(tmp_path, monkeypatch):
    (tmp_path / "a.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert [payload.name for payload in built_in_payloads("dir:.")] == ["a.json"]
    with pytest.raises(UsageError, match="payloads dir:PATH: expected a path, got none"):
        built_in_payloads("dir:")


@pytest.mark.parametrize("content", [None, []])
def test_a_folder_without_files_is_refused(tmp_path, content):
    folder = tmp_path / "folder"
    if content is not None:
        folder.mkdir()
    with pytest.raises(UsageError, match=r"payloads dir:PATH: there is no file in "):
        built_in_payloads(f"dir:{folder}")


@pytest.mark.parametrize(
    ("text", "name", "content_type"),
    [
        ('{"x": 1}', "body", "application/json"),
        (" [1, 2]", "body", "application/json"),
        ("1", "body", "text/plain; charset=utf-8"),
        ("{x: 1}", "body", "text/plain; charset=utf-8"),
        ("a:b é", "body", "text/plain; charset=utf-8"),
        ("", "request", ""),
    ],
)
def test_a_text_is_a_body_and_json_says_so(text, name, content_type):
    (made,) = built_in_payloads(f"body:{text}")
    assert (made.name, made.body.decode(), made.content_type) == (name, text, content_type)


@pytest.mark.parametrize("name", ["reqs.jsonl", "reqs.ndjson", "reqs.csv", "REQS.CSV"])
def test_a_file_of_many_bodies_is_not_sent_as_one(tmp_path, name):
    (tmp_path / name).write_text("{}\n{}\n")
    with pytest.raises(UsageError, match=f"lines:.*{name} sends a request per line, and dir:FOLDER"):
        built_in_payloads(f"file:{tmp_path / name}")
    assert len(built_in_payloads(f"dir:{tmp_path}")) == 1


def test_a_hidden_file_in_a_folder_is_no_body(tmp_path):
    (tmp_path / ".gitkeep").write_text("")
    (tmp_path / "a.json").write_text("{}")
    assert [payload.name for payload in built_in_payloads(f"dir:{tmp_path}")] == ["a.json"]


def test_another_source_is_left_to_plugins():
    assert built_in_payloads("s3:bucket") is None
