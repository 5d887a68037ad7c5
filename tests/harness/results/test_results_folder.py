"""The folder of results: what git ignores, which runs stay, and what is never touched."""

import datetime as dt

import pytest

from tailgate.harness.results.folder import keep_newest, make, new_run, reading

NOW = dt.datetime(2026, 3, 20, 12, tzinfo=dt.UTC)
RESULT = '{"run_id": "x", "schema_version": "5.0", "tailgate_version": "1"}'


def run(folder, hours_ago, results=RESULT):
    made = folder / new_run(NOW - dt.timedelta(hours=hours_ago))
    (made / "steady-head-0").mkdir(parents=True)
    (made / "steady-head-0" / "samples.bin").write_bytes(b"x")
    if results is not None:
        (made / "results.json").write_text(results)
    return made


def test_a_folder_that_is_made_ignores_itself(tmp_path):
    make(tmp_path / "a" / ".perf")
    assert (tmp_path / "a" / ".perf" / ".gitignore").read_text().splitlines()[-1] == "*"
    assert [path.name for path in (tmp_path / "a").iterdir()] == [".perf"]


@pytest.mark.parametrize("content", [(), ("notes.txt",), (".gitignore",)])
def test_a_folder_that_is_there_is_left_as_it_is(tmp_path, content):
    for name in content:
        (tmp_path / name).write_text("mine")
    make(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(content, "mine")


@pytest.mark.parametrize("most", [1, 2, 5, 9])
def test_the_newest_runs_stay_and_the_present_one_whatever_the_clock_says(tmp_path, most):
    present = run(tmp_path, 500)
    others = [run(tmp_path, hours) for hours in range(1, 7)]
    keep_newest(tmp_path, most, present.name, NOW)
    assert set(tmp_path.iterdir()) == {present, *others[: most - 1]}


def test_nothing_is_removed_that_is_no_run_of_tailgate(tmp_path):
    outside = run(tmp_path / "elsewhere", 90)
    strange = [
        run(tmp_path, 80, results="{}"),
        run(tmp_path, 80, results="[]"),
        run(tmp_path, 80, results="no JSON"),
        run(tmp_path, 1, results=None),
    ]
    for name in (
        "20260101T000000Z-abcdef-kept",
        "kept-20260101T000000Z-abcdef",
        "20269901T000000Z-abcdef",
        "baseline",
    ):
        strange.append(tmp_path / name)
        strange[-1].mkdir()
    link = tmp_path / new_run(NOW - dt.timedelta(hours=90))
    link.symlink_to(outside, target_is_directory=True)
    file = tmp_path / new_run(NOW - dt.timedelta(hours=90))
    file.write_text("a file")
    ledger = tmp_path / "ledger.jsonl"
    ledger.write_text("{}")
    keep_newest(tmp_path, 1, "present", NOW)
    assert {*strange, link, file, ledger, tmp_path / "elsewhere"} == set(tmp_path.iterdir())
    assert outside.is_dir()


def test_what_a_killed_run_left_goes_after_a_day(tmp_path):
    old, young = (run(tmp_path, hours, results=None) for hours in (25, 23))
    keep_newest(tmp_path, 1, "present", NOW)
    assert (old.exists(), young.exists()) == (False, True)


def test_a_run_that_is_read_stays_until_it_is_read(tmp_path):
    old = run(tmp_path, 9)
    with reading(old), reading(old):
        keep_newest(tmp_path, 1, "present", NOW)
        assert (old / "steady-head-0" / "samples.bin").exists()
    keep_newest(tmp_path, 1, "present", NOW)
    assert not old.exists()


def test_what_is_no_folder_is_read_without_a_lock(tmp_path):
    with reading(tmp_path / "gone"):
        pass
