"""Services of strangers are known by the names of their metrics."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgate.harness.errors import MeasurementError
from tailgate.harness.target.asking.exposition import parse
from tailgate.harness.target.asking.metric_names import MetricNames, metric_names
from tailgate.harness.target.asking.well_known import as_options, suggest_metrics


def histogram(name, labels="", edges=("0.1", "0.5", "+Inf")):
    inside = f"{labels}," if labels else ""
    buckets = "".join(f'{name}_bucket{{{inside}le="{edge}"}} 1\n' for edge in edges)
    return f"{buckets}{name}_count{{{labels}}} 1\n{name}_sum{{{labels}}} 1\n"


def typed(name, kind, *series):
    return f"# TYPE {name} {kind}\n{''.join(series)}"


SCORE, METRICS = 'handler="/score",method="POST"', 'handler="/metrics",method="GET"'
INSTRUMENTATOR = (
    typed("http_requests_total", "counter", f'http_requests_total{{{SCORE},status="2xx"}} 1\n')
    + typed("http_request_size_bytes", "summary", "http_request_size_bytes_count 1\n")
    + typed(
        "http_request_duration_seconds",
        "histogram",
        histogram("http_request_duration_seconds", SCORE),
        histogram("http_request_duration_seconds", METRICS),
    )
)
HIGHR = typed(
    "http_request_duration_highr_seconds",
    "histogram",
    histogram("http_request_duration_highr_seconds", edges=("0.01", "0.025", "0.05", "0.1", "+Inf")),
)
PATH = 'app_name="x",method="POST",path="/score",status_code="200"'
FLASK = 'method="POST",path="/score",status="200"'
BENTO = 'endpoint="/score",http_response_code="200",service_name="S"'
SERVICES = {
    "prometheus-fastapi-instrumentator": (
        INSTRUMENTATOR,
        'http_request_duration_seconds{handler="/score"}',
        'http_requests_total{handler="/score"}',
    ),
    "prometheus-fastapi-instrumentator, with its finer histogram": (
        INSTRUMENTATOR + HIGHR,
        "http_request_duration_highr_seconds",
        'http_requests_total{handler="/score"}',
    ),
    "starlette_exporter": (
        typed("starlette_requests_total", "counter", f"starlette_requests_total{{{PATH}}} 1\n")
        + histogram("starlette_request_duration_seconds", PATH),
        'starlette_request_duration_seconds{path="/score"}',
        'starlette_requests_total{path="/score"}',
    ),
    "prometheus_flask_exporter": (
        typed(
            "flask_http_request_total", "counter", 'flask_http_request_total{method="POST",status="200"} 1\n'
        )
        + typed("other_requests_total", "counter", "other_requests_total 1\n")
        + histogram("flask_http_request_duration_seconds", FLASK),
        'flask_http_request_duration_seconds{path="/score"}',
        "flask_http_request_total",
    ),
    "BentoML": (
        typed("bentoml_service_request_total", "counter", f"bentoml_service_request_total{{{BENTO}}} 1\n")
        + histogram("bentoml_service_request_duration_seconds", BENTO),
        'bentoml_service_request_duration_seconds{endpoint="/score"}',
        'bentoml_service_request_total{endpoint="/score"}',
    ),
    "Mosec": (
        typed(
            "mosec_service_throughput",
            "counter",
            'mosec_service_throughput_total{code="200",endpoint="/score"} 1\n',
        )
        + histogram("mosec_service_process_duration_second", 'stage="total"')
        + histogram("mosec_service_process_duration_second", 'stage="W_1"'),
        'mosec_service_process_duration_second{stage="total"}',
        'mosec_service_throughput_total{endpoint="/score"}',
    ),
    "vLLM": (
        'vllm:request_success_total{finished_reason="stop",model_name="m"} 1\n'
        + histogram("vllm:e2e_request_latency_seconds", 'model_name="m"')
        + histogram("vllm:request_queue_time_seconds", 'model_name="m"')
        + INSTRUMENTATOR,
        "vllm:e2e_request_latency_seconds",
        "vllm:request_success_total",
    ),
    "TGI": (
        "tgi_request_count 1\n" + histogram("tgi_request_duration") + histogram("tgi_request_queue_duration"),
        "tgi_request_duration",
        "tgi_request_count",
    ),
    "Ray Serve": (
        'ray_serve_num_http_requests_total{route="/score"} 1\n'
        + histogram("ray_serve_http_request_latency_ms", 'route="/score"'),
        "",
        'ray_serve_num_http_requests_total{route="/score"}',
    ),
    "aioprometheus": (
        'requests_total_counter{method="POST",path="/score"} 1\n',
        "",
        'requests_total_counter{path="/score"}',
    ),
    "OpenTelemetry": (
        histogram("http_server_request_duration_seconds", 'http_route="/score"'),
        'http_server_request_duration_seconds{http_route="/score"}',
        None,
    ),
    "a counter in OpenMetrics style": (
        typed("http_requests", "counter", "http_requests_total 1\n"),
        "",
        "http_requests_total",
    ),
}


@pytest.mark.parametrize(("text", "seconds", "total"), SERVICES.values(), ids=SERVICES)
def test_a_services_histogram_and_counter_of_requests_are_found_by_their_names(text, seconds, total):
    found = suggest_metrics(parse(text, 1), "/score?x=1")
    assert (found["request_seconds"], found.get("requests_total")) == (seconds, total)
    assert isinstance(metric_names(found), MetricNames)


def test_triton_is_asked_for_the_model_that_the_path_names():
    text = (
        'nv_inference_request_success{model="a",version="1"} 1\nnv_inference_request_success{model="b"} 1\n'
    )
    found = suggest_metrics(parse(text, 1), "/v2/models/b/infer")
    assert found == {"request_seconds": "", "requests_total": 'nv_inference_request_success{model="b"}'}


@pytest.mark.parametrize("route", ["/items/{id}/score", "/items/<int:id>/score"])
def test_a_route_with_variables_is_the_label_of_its_paths(route):
    text = histogram("http_request_duration_seconds", f'handler="{route}"')
    told = suggest_metrics(parse(text, 1), "/items/7/score")["request_seconds"]
    assert told == f'http_request_duration_seconds{{handler="{route}"}}'
    assert (
        suggest_metrics(parse(text, 1), "/items/7/x/score")["request_seconds"]
        == "http_request_duration_seconds"
    )


@pytest.mark.parametrize(
    "text",
    [
        "up 1\n",
        "tailgate_requests_total 1\n" + INSTRUMENTATOR,  # the names that the harness expects
        "# TYPE http_requests_total gauge\nhttp_requests_total 1\n",
        histogram("request_processing_seconds_of_a_stage"),
        '# TYPE http_request_duration_seconds summary\nhttp_request_duration_seconds{quantile="0.5"} 1\n',
    ],
)
def test_nothing_is_suggested_where_nothing_is_known(text):
    assert suggest_metrics(parse(text, 1), "/score") == {}


@given(st.text(max_size=30))
def test_any_path_is_looked_for(path):
    found = suggest_metrics(parse(INSTRUMENTATOR, 1), path)
    assert found["requests_total"].startswith("http_requests_total")


def test_a_suggestion_is_written_as_a_shell_takes_it():
    told = as_options({"request_seconds": 'h{a="b"}', "requests_total": "c"})
    assert told == "--perf-metric='request_seconds=h{a=\"b\"}' --perf-metric=requests_total=c"
    assert as_options({"requests_total": "c'$(x)"}) == """--perf-metric='requests_total=c'"'"'$(x)'"""
    assert as_options({}) == ""


def test_only_an_exposition_is_looked_through():
    with pytest.raises(MeasurementError):
        suggest_metrics(parse("", 1), "/")
