import csv
import io

import numpy as np
import pytest
from sample_records import write_samples

from tailgate.harness.errors import MeasurementError
from tailgate.harness.load.records.samples import (
    SAMPLE,
    SAMPLE_FILE,
    Outcome,
    export_csv,
    read_samples,
)


def sample(**fields):
    record = np.zeros(1, SAMPLE)
    for name in ("queue_s", "decode_s", "compute_s", "encode_s", "server_s", "retry_after_s"):
        record[name] = np.nan
    for name, value in fields.items():
        record[name] = value
    return record


def test_samples_survive_the_disk(tmp_path):
    samples = np.concatenate([sample(request=index, done_ns=2**62, queue_s=0.25) for index in range(3)])
    write_samples(tmp_path / "samples.bin", samples)
    # As bytes: a field that was not told is NaN, which equals nothing.
    assert read_samples(tmp_path / "samples.bin").tobytes() == samples.tobytes()


def test_samples_come_back_in_the_order_of_the_plan(tmp_path):
    order_of_ending = [(1, 0), (0, 2), (0, 1), (1, 1)]
    samples = np.concatenate([sample(phase=phase, request=request) for phase, request in order_of_ending])
    write_samples(tmp_path / "samples.bin", samples)
    back = read_samples(tmp_path / "samples.bin")
    assert [(row["phase"], row["request"]) for row in back] == sorted(order_of_ending)


def test_a_record_cut_short_is_left_out(tmp_path):
    path = tmp_path / "samples.bin"
    path.write_bytes(SAMPLE_FILE.header() + sample(request=7).tobytes() + b"\x01" * 10)
    assert read_samples(path)["request"].tolist() == [7]


def test_a_file_without_records_gives_no_samples(tmp_path):
    (tmp_path / "samples.bin").write_bytes(SAMPLE_FILE.header())
    assert read_samples(tmp_path / "samples.bin").shape == (0,)


@pytest.mark.parametrize("content", [b"", b"TGSAMPLE", b"PK\x03\x04" * 40])
def test_what_is_no_file_of_samples_is_refused(tmp_path, content):
    path = tmp_path / "samples.bin"
    path.write_bytes(content)
    with pytest.raises(MeasurementError, match="is not a file of samples of version 3"):
        read_samples(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MeasurementError, match=r"no samples to read at .*nowhere\.bin: No such file"):
        read_samples(tmp_path / "nowhere.bin")


def test_csv_names_outcomes_and_leaves_empty_what_was_not_told():
    stream = io.StringIO()
    samples = np.concatenate(
        [
            sample(intended_ns=1, sent_ns=5, status=200, outcome=Outcome.OK, batch_size=8, queue_s=0.1),
            sample(intended_ns=2, outcome=Outcome.REFUSED),
        ]
    )
    export_csv(samples, stream)
    good, refused = csv.DictReader(io.StringIO(stream.getvalue()))
    assert list(good) == [*SAMPLE.names, "request_id"]
    assert good["request_id"] == refused["request_id"] == ""
    assert (good["outcome"], good["status"], good["sent_ns"], good["batch_size"]) == ("OK", "200", "5", "8")
    assert np.float32(good["queue_s"]) == np.float32(0.1)
    assert (refused["outcome"], refused["status"], refused["sent_ns"]) == ("REFUSED", "", "")
    assert (refused["batch_size"], refused["queue_s"]) == ("", "")
    assert (refused["request"], refused["connection"]) == ("0", "0")


def test_csv_has_the_id_of_each_request_as_it_was_sent():
    stream = io.StringIO()
    samples = np.concatenate([sample(request=0), sample(phase=2, request=9)])
    export_csv(samples, stream, "0123456789abcdef")
    ids = [row["request_id"] for row in csv.DictReader(io.StringIO(stream.getvalue()))]
    assert ids == ["0123456789abcdef0000000000000001", "0123456789abcdef000200000000000a"]
