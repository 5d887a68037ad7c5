r"""A service of BentoML: the length of a text.

    pytest --pyargs tailgate.scenarios -m perf --perf-scenario=steady \
        --perf-target='command:bentoml serve bentoml_app:Length --host 127.0.0.1 --port {port}' \
        --perf-readiness-path=/readyz \
        --perf-request='POST /measure' \
        --perf-payloads='body:{"text": "hello"}' --perf-expect='json:$.length=5' \
        --perf-metric='request_seconds=bentoml_service_request_duration_seconds{endpoint="/measure"}' \
        --perf-metric='requests_total=bentoml_service_request_total{endpoint="/measure"}'

Run it in this folder.
"""

import bentoml


@bentoml.service(workers=1)
class Length:
    """Measures."""

    @bentoml.api
    def measure(self, text: str) -> dict[str, int]:
        """Return the length."""
        return {"length": len(text)}
