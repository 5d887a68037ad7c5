"""A sender in this process: phases of a plan against a server on this machine."""

from tailgate.harness.load import LoadSettings
from tailgate.harness.load.records.recorder import Recorder
from tailgate.harness.load.records.samples import read_samples
from tailgate.harness.load.sending.sender import Sender
from tailgate.harness.scenario.arrivals import Bursts, Constant
from tailgate.harness.scenario.payloads.payload import Payload
from tailgate.harness.scenario.plan import draw_plan
from tailgate.harness.scenario.scenario import Phase, Scenario


def payload(path, body=b"body"):
    return Payload(path, body, "text/plain", path=path)


def send(tmp_path, port, phases, payloads, **settings):
    """Run all phases of a plan in this process; return their reports and the samples."""
    plan = draw_plan(Scenario("sample", "for tests", tuple(phases), ()), payloads, 1)
    recorder = Recorder(tmp_path / "samples.bin")
    sender = Sender(
        plan,
        LoadSettings("127.0.0.1", port, **{"connections_warm": 1, "timeout_s": 600.0, **settings}),
        recorder,
    )
    try:
        sender.warm_up()
        reports = [sender.run_phase(index) for index in range(len(plan.phases))]
    finally:
        sender.close()
        recorder.close()
    return reports, read_samples(tmp_path / "samples.bin")


def one_phase(requests, rate_per_s=500.0):
    return [Phase("only", Constant(rate_per_s), requests=requests)]


def at_once(requests):
    return [Phase("only", Bursts(requests, every_s=1.0, rate_per_s=0.0, quiet_s=0.0), requests=requests)]
