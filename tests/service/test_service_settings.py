"""Where settings come from, what is refused, and that they are documented."""

import os
import pwd
import subprocess
import sys

import pytest

from tailgate.service import compile as compile_command
from tailgate.service.errors import ConfigurationError
from tailgate.service.execution.build import build_engine
from tailgate.service.models.weights import existing_file
from tailgate.service.processors import Processors
from tailgate.service.settings import PREFIX, Settings, declared, load_settings, unknown_variables


def test_without_an_environment_every_setting_has_its_default():
    assert load_settings({}) == Settings()


def test_the_environment_is_the_one_given_and_not_the_process_own(monkeypatch):
    for name in ("TAILGATE_PORT", "PORT", "port"):
        monkeypatch.setenv(name, "9999")
    assert load_settings({}).port == 8000


def test_the_command_line_wins_over_the_environment_and_code_over_both():
    environment = {"TAILGATE_TOP_K": "2", "TAILGATE_SEED": "3"}
    settings = load_settings(environment, ["--top-k", "4"])
    assert (settings.top_k, settings.seed) == (4, 3)
    assert load_settings(environment, ["--top-k=4"], top_k=5).top_k == 5


def test_an_empty_variable_is_unset():
    assert load_settings({"TAILGATE_WEIGHTS": "", "TAILGATE_THREADS": ""}) == Settings()


@pytest.mark.parametrize("text", ["true", "1", "True", "yes"])
def test_a_switch_takes_the_usual_words(text):
    assert load_settings({"TAILGATE_ALLOW_FP16_ON_CPU": text}).allow_fp16_on_cpu


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PORT", "70000", "less than or equal to 65535, got '70000'"),
        ("PORT", "http", "valid integer"),
        ("PORT", "tcp://10.0.0.1:80", "Kubernetes"),
        ("PORT", "tcp://10.0.0.1:80", "enableServiceLinks: false"),
        ("FD", "1", "greater than or equal to 3"),
        ("REPLACE", "0", "greater than or equal to 1"),
        ("DEVICE", "gpu", "'cpu', 'cuda' or 'auto', got 'gpu'"),
        ("PRECISION", "int8", "'fp32', 'fp16', 'bf16' or 'auto', got 'int8'"),
        (
            "MAX_BATCH_SIZE",
            "0",
            "greater than or equal to 1, got '0' (most requests in one batch; unset: ",
        ),
        ("MAX_WAIT_MS", "nan", "got 'nan'"),
        ("MAX_WAIT_MS", "-1", "greater than or equal to 0"),
        ("QUEUE_CAPACITY", "0", "greater than or equal to 1"),
        ("MAX_IN_FLIGHT_BYTES", "16777215", "less than TAILGATE_MAX_BODY_BYTES, 16777216"),
        ("KEEP_ALIVE_S", "0.5", "valid integer"),
        ("DRAIN_TIMEOUT_S", "inf", "finite number"),
        ("WEIGHTS_SHA256", "abc", "got 'abc'"),
        ("HISTOGRAM_EDGES_MS", "10,fast", "positive numbers with commas between, 'fast' is none"),
        ("HISTOGRAM_EDGES_MS", "10,-1", "'-1' is none"),
        ("HISTOGRAM_EDGES_MS", "inf", "'inf' is none"),
        ("LATENCY_OBJECTIVE_MS", "0", "greater than 0, got '0'"),
        ("EXECUTOR", "fast", "'eager', 'compiled', 'cuda-graph' or 'auto', got 'fast'"),
        ("LOG_FORMAT", "xml", "'console' or 'json'"),
        ("WORKERS", "2", "one process owns the model and its batches"),
        ("WORKERS", "2", "run more replicas instead"),
    ],
)
def test_a_bad_value_is_refused_by_its_variable_and_with_what_was_expected(name, value, expected):
    with pytest.raises(ConfigurationError) as refusal:
        load_settings({PREFIX + name: value})
    assert str(refusal.value).startswith(PREFIX + name)
    assert expected in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_several_bad_values_are_told_together():
    with pytest.raises(ConfigurationError) as refusal:
        load_settings({"TAILGATE_PORT": "x", "TAILGATE_TOP_K": "0"})
    assert [line.partition(":")[0] for line in str(refusal.value).splitlines()] == [
        "TAILGATE_PORT",
        "TAILGATE_TOP_K",
    ]


def test_a_body_that_would_never_fit_beside_the_default_is_told_at_the_start():
    with pytest.raises(ConfigurationError, match=r"^TAILGATE_MAX_IN_FLIGHT_BYTES: got 268435456, less than"):
        load_settings({"TAILGATE_MAX_BODY_BYTES": str(2**28 + 1)})


def test_one_worker_may_be_asked_for():
    assert load_settings({"TAILGATE_WORKERS": "1"}).workers == 1


@pytest.mark.parametrize(
    ("name", "warning"),
    [
        ("TAILGATE_MAX_BATCHSIZE", "did you mean TAILGATE_MAX_BATCH_SIZE?"),
        ("TAILGATE_BATCH_SIZE", "did you mean TAILGATE_MAX_BATCH_SIZE?"),
        ("TAILGATE_QQQ", "TAILGATE_QQQ is not a setting and is ignored"),
    ],
)
def test_an_unknown_variable_is_warned_of_with_the_nearest_name(name, warning):
    assert unknown_variables([name, "PATH", "TAILGATE_PORT"])[0].endswith(warning)


def test_what_kubernetes_puts_beside_a_service_of_this_name_is_no_unknown_variable():
    links = [
        "TAILGATE_SERVICE_HOST",
        "TAILGATE_SERVICE_PORT",
        "TAILGATE_SERVICE_PORT_HTTP",
        "TAILGATE_PORT",
        "TAILGATE_PORT_8000_TCP",
        "TAILGATE_PORT_8000_TCP_PROTO",
        "TAILGATE_PORT_8000_TCP_ADDR",
    ]
    assert unknown_variables(links) == []


def test_histogram_edges_are_seconds_ascending_and_once_each():
    settings = load_settings({"TAILGATE_HISTOGRAM_EDGES_MS": "250, 50,250,"})
    assert settings.histogram_edges_s == (0.05, 0.25)


def test_the_latency_objective_is_an_edge_of_the_histograms_too():
    given = {"TAILGATE_LATENCY_OBJECTIVE_MS": "100", "TAILGATE_HISTOGRAM_EDGES_MS": "250,50"}
    settings = load_settings(given)
    assert settings.latency_objective_s == 0.1
    assert settings.histogram_edges_s == (0.05, 0.1, 0.25)
    assert load_settings({}).latency_objective_s is None
    assert load_settings({}).histogram_edges_s == ()


def test_the_cache_may_stand_in_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_settings({}).cache_dir == tmp_path / ".cache/tailgate"
    assert load_settings({"TAILGATE_CACHE_DIR": "~/x"}).cache_dir == tmp_path / "x"


@pytest.fixture
def homeless(monkeypatch):
    """A user that has no HOME and that the system's files do not know, as in many containers."""

    def nobody(_):
        raise KeyError("uid not found")

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)


@pytest.mark.usefixtures("homeless")
def test_without_a_home_folder_there_is_no_cache_unless_one_is_named(tmp_path):
    assert load_settings({}).cache_dir is None
    assert load_settings({"TAILGATE_CACHE_DIR": str(tmp_path)}).cache_dir == tmp_path
    assert existing_file("~/weights.pt") is None


@pytest.mark.usefixtures("homeless")
@pytest.mark.parametrize("name", ["CACHE_DIR", "TOKENS_FILE", "TLS_CERTIFICATE", "TLS_KEY"])
def test_without_a_home_folder_a_path_in_it_is_refused(name):
    with pytest.raises(ConfigurationError, match=rf"TAILGATE_{name}: got '~/x': .* Give a path without ~"):
        load_settings({f"TAILGATE_{name}": "~/x"})


@pytest.mark.usefixtures("homeless")
def test_without_a_cache_a_compiled_model_is_refused_and_another_is_served(monkeypatch, capsys):
    options = {"model": "tiny_models:perceptron", "max_batch_size": 2, "threads": 1, "device": "cpu"}
    assert build_engine(load_settings({}, **options)).facts["executor"] == "eager"
    with pytest.raises(
        ConfigurationError, match=r"compiled is asked for, but TAILGATE_CACHE_DIR: there is no home"
    ):
        build_engine(load_settings({}, **options, executor="compiled"))
    monkeypatch.setattr(compile_command, "configure_logging", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["compile", "--model", "tiny_models:perceptron"])
    assert compile_command.main() == 2
    assert (
        "TAILGATE_CACHE_DIR: there is no home directory for the default; name a folder"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("quota", "model_threads", "decode_threads"), [(None, 63, 8), (4.0, 3, 4), (0.5, 1, 1)]
)
def test_threads_are_as_many_as_a_cpu_quota_allows(monkeypatch, quota, model_threads, decode_threads):
    monkeypatch.setattr(declared, "processors", lambda: Processors(64, quota))
    settings = load_settings({})
    assert (settings.model_threads, settings.decoding_threads) == (model_threads, decode_threads)


def test_one_processor_is_left_to_the_event_loop_unless_told(monkeypatch):
    monkeypatch.setattr("tailgate.service.settings.declared.processors", lambda: Processors(4, None))
    assert load_settings({}).model_threads == 3
    assert load_settings({"TAILGATE_THREADS": "4"}).model_threads == 4
    monkeypatch.setattr("tailgate.service.settings.declared.processors", lambda: Processors(1, None))
    assert load_settings({}).model_threads == 1


def test_a_file_is_found_by_its_name_and_a_folder_is_none(tmp_path):
    file = tmp_path / "w.pt"
    file.touch()
    assert existing_file(str(file)) == file
    assert existing_file(str(tmp_path)) is None
    assert existing_file("") is None


def test_every_setting_says_what_it_means():
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_help_holds_every_setting_and_how_it_is_called_in_the_environment(capsys):
    with pytest.raises(SystemExit) as end:
        load_settings({}, ["--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert [name for name in Settings.model_fields if f"--{name.replace('_', '-')} " not in text] == []
    assert "--max-batch-size as TAILGATE_MAX_BATCH_SIZE" in " ".join(text.split())


@pytest.mark.parametrize(
    ("environment", "arguments", "expected"),
    [
        ({"TAILGATE_PORT": "tcp://10.0.0.1:80"}, [], "tailgate: TAILGATE_PORT: got 'tcp://10.0.0.1:80'"),
        ({}, ["--no-such-option", "1"], "unrecognized arguments: --no-such-option"),
    ],
)
def test_the_program_ends_with_status_2_and_one_clear_line(environment, arguments, expected):
    ended = subprocess.run(
        [sys.executable, "-m", "tailgate.service", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert expected in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr
