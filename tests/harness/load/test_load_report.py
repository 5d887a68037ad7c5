import numpy as np

from tailgate.harness.load import PhaseReport, TimerMode
from tailgate.harness.load.records.recorder import Recorder
from tailgate.harness.load.records.samples import SAMPLE, Outcome, read_samples
from tailgate.harness.load.report import Lag, decode_report, encode_report, lag_of
from tailgate.harness.load.settings import LoadSettings, Scheduling, read_settings, write_settings
from tailgate.harness.load.wire.connection import Flight
from tailgate.harness.results.failure import Failure
from tailgate.harness.results.slot import Loop

REPORT = PhaseReport(
    phase=1,
    name="steady",
    outcomes={outcome: int(outcome) for outcome in Outcome},
    failures=(Failure("client_error", 404, 2, "{}"), Failure("timeout", None, 1, "no answer began")),
    start_ns=2**62,
    end_ns=2**62 + 1,
    lag=Lag(1e-5, 2e-5, 3e-5),
    wall_s=2.0,
    busy_s=0.5,
    cpu_s=0.25,
    run_delay_s=None,
    connections_opened=3,
    connections_lost_idle=1,
    stale_retries=0,
    waited_requests=7,
    at_once=None,
    timer=TimerMode.SPIN,
    scheduling=Scheduling.FIFO,
    loop=Loop.CLOSED,
    processor=None,
)


def test_a_report_survives_the_pipe():
    assert decode_report(encode_report(REPORT)) == REPORT


def test_what_is_not_ok_has_failed():
    assert (REPORT.requests, REPORT.ok, REPORT.failed) == (sum(Outcome), 0, sum(Outcome))
    assert REPORT.utilisation == 0.25


def test_lag_quantiles_are_lags_that_were_seen():
    assert lag_of(np.arange(1, 101) * 1000) == Lag(50e-6, 99e-6, 100e-6)
    assert lag_of(np.array([7])) == Lag(7e-9, 7e-9, 7e-9)


def test_settings_survive_the_disk(tmp_path):
    settings = LoadSettings("h", 1, headers=(("a", "b"),), processor=1)
    headers = write_settings(settings, tmp_path / "load.json")
    assert read_settings(tmp_path / "load.json", headers) == settings
    write_settings(LoadSettings("h", 1), tmp_path / "load.json")
    assert read_settings(tmp_path / "load.json", {}) == LoadSettings("h", 1)


def test_the_recorder_writes_the_fields_of_a_sample_in_their_order(tmp_path):
    recorder = Recorder(tmp_path / "samples.bin")
    flight = Flight(1, 2, 3, 4, 1)
    flight.sent_ns, flight.first_byte_ns, flight.bytes_received, flight.connection = 5, 6, 2**40, 8
    flight.status, flight.stale_retries = 404, 300
    recorder.append(9, flight, Outcome.CLIENT_ERROR, 10)
    recorder.close()
    (row,) = read_samples(tmp_path / "samples.bin")
    names = (
        "request payload intended_ns dispatched_ns sent_ns first_byte_ns bytes_received connection "
        "status stale_retries phase outcome done_ns batch_size behaviour"
    )
    assert [int(row[name]) for name in names.split()] == [
        *(1, 2, 3, 4, 5, 6, 2**32 - 1, 8, 404, 255, 9, Outcome.CLIENT_ERROR, 10, 0, 1)
    ]
    assert np.isnan([row[name] for name in SAMPLE.names if name.endswith("_s")]).all()


def test_records_reach_the_disk_chunk_by_chunk(tmp_path):
    recorder = Recorder(tmp_path / "samples.bin")
    for request in range(1000):
        recorder.append(0, Flight(request, 0, 0, 0), Outcome.OK, 0)
    before_closing = len(read_samples(tmp_path / "samples.bin"))
    recorder.close()
    assert 1000 - 256 <= before_closing < 1000
    assert len(read_samples(tmp_path / "samples.bin")) == 1000
