"""Every setting of the service, declared once: name, type, default, bounds, unit and help.

The environment, the command line and the table in the documentation derive from it.
"""

import math
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from tailgate.service.processors import processors

Precision = Literal["fp32", "fp16", "bf16", "auto"]
NonFinite = Literal["error", "count", "ignore"]
DEFAULT_CACHE = "~/.cache/tailgate"
# The largest batch that is chosen by itself; a larger one can be set.
LARGEST_CHOSEN_BATCH = 32
MOST_DECODING_THREADS = 8  # that are chosen by themselves


class Settings(BaseModel):
    """Each option can stand in the environment as well: --max-batch-size as TAILGATE_MAX_BATCH_SIZE."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    host: str = "127.0.0.1"
    """address to listen on; 0.0.0.0 opens the service to the network"""
    port: int = Field(8000, ge=0, le=65535)
    """TCP port; 0 takes a free one and logs it"""
    fd: int | None = Field(None, ge=3)
    """descriptor of an inherited listening socket, instead of host and port"""
    replace: int | None = Field(None, ge=1)
    """process id of a running service that this one replaces on the same listening socket, as soon as it is ready"""
    workers: Literal[1] = 1
    """processes; only 1, since one process owns the model and the batch"""

    model: str = "demo"
    """what is served: demo, torchvision:NAME, or package.module:factory"""
    weights: str | None = None
    """a .safetensors or .pt/.pth file, a torchvision weights name, or random; unset: the model's own if it brings any, else random"""
    weights_sha256: str | None = Field(None, pattern="^[0-9a-fA-F]{64}$")
    """refuse a weights file with any other SHA-256"""
    input_size: int | None = Field(None, ge=8, le=4096)
    """pixels per side of the model's input; unset: the model's own"""
    seed: int = Field(0, ge=0)
    """seed of random weights"""
    top_k: int = Field(5, ge=1, le=1000)
    """labels in the answer to an image"""

    max_batch_size: int | None = Field(None, ge=1, le=4096)
    """most requests in one batch; unset: up to 32, or fewer if timing at start shows that smaller batches cost clearly less per request"""
    max_wait_ms: float | None = Field(None, ge=0, le=10_000)
    """milliseconds that the oldest request may wait for others to join its batch; 0: never waits; unset: a batch
    waits only where that pays: for clients that were just answered and usually come back soon, and for pictures that
    are being decoded on the same processors"""
    queue_capacity: int = Field(256, ge=1)
    """most requests that may wait to be decoded or computed; one more is refused (TAILGATE_OVERLOAD_STATUS)"""

    device: Literal["cpu", "cuda", "auto"] = "auto"
    """cpu, cuda, or auto: cuda if there is a GPU"""
    precision: Precision = "fp32"
    """fp32, fp16, bf16, or auto: fp16 on CUDA, else fp32"""
    allow_fp16_on_cpu: bool = False
    """run FP16 on a CPU although it is many times slower there"""
    # BF16 moves the demo model by 0.08 (CPU) and 0.10 (H100) on the start-up inputs, by 0.02 on photographs.
    precision_max_error: float = Field(0.2, gt=0)
    """largest error of a reduced precision against FP32, as a share of the largest output; beyond it the
    service does not become ready"""
    executor: Literal["eager", "compiled", "cuda-graph", "auto"] = "auto"
    """eager, compiled (on a CPU, by tailgate compile), cuda-graph (on CUDA), or auto: the fastest at start"""
    cache_dir: Path | None = Field(Path(DEFAULT_CACHE), validate_default=True)
    """folder of compiled models; it must belong to the service's user or to root, and nobody else may be able to write to it"""
    threads: int = Field(0, ge=0, le=1024)
    """threads of one model call; 0: the processors available, by affinity and CPU quota, less one, at least 1"""
    decode_threads: int = Field(0, ge=0, le=256)
    """threads that decode images; 0: the processors available, at most 8"""
    non_finite_outputs: NonFinite = "error"
    """an output with NaN or infinity: error, its request is answered 500; count, it is only counted; ignore, there
    is no check"""
    watchdog_s: float = Field(60.0, ge=0)
    """seconds that one batch may run before the service is no longer live; 0: no limit"""

    max_body_bytes: int = Field(16 * 2**20, ge=1)
    """most bytes of a request's body"""
    max_in_flight_bytes: int = Field(256 * 2**20, ge=1, validate_default=True)
    """most bytes of all bodies in flight together, being received or waiting for their answer; a request beyond
    that is refused (TAILGATE_OVERLOAD_STATUS); not less than TAILGATE_MAX_BODY_BYTES"""
    max_image_pixels: int = Field(50_000_000, ge=1, le=178_956_970)  # where Pillow itself refuses
    """most pixels of an image before scaling"""
    max_connections: int = Field(4096, ge=1)
    """most open connections; beyond that the longest idle ones are closed, and if none is idle the new one is refused with 503"""
    keep_alive_s: int = Field(75, ge=1)
    """seconds that an idle connection is kept"""
    header_timeout_s: float = Field(10.0, gt=0)
    """seconds in which a request's head must come, from its first byte"""
    body_timeout_s: float = Field(30.0, gt=0)
    """seconds in which a request's body must come, from the end of its head"""
    write_timeout_s: float = Field(30.0, gt=0)
    """seconds in which a client must read the answers that wait for it"""
    # 0: only a deployment knows its probes, and without any a stop would last longer for nobody.
    drain_delay_s: float = Field(0.0, ge=0)
    """seconds after SIGTERM in which requests are still served while /health/ready answers 503, so that load
    balancers stop sending; at least probe period × failures until unready + the time until all of them know"""
    drain_timeout_s: float = Field(30.0, ge=0)
    """seconds after TAILGATE_DRAIN_DELAY_S in which accepted requests may finish"""
    latency_objective_ms: float | None = Field(None, gt=0)
    """milliseconds within which answers should come: limits the batch size and the queue, refuses requests that
    would be late (TAILGATE_OVERLOAD_STATUS), and is a histogram edge"""
    overload_status: Literal[429, 503] = 429
    """HTTP status of a refusal because of other requests (no room in the queue or for the body, or the
    answer would be late): 429, or 503 for clients that retry after 503 only; load balancers take a
    replica that answers 503 out of service"""
    histogram_edges_ms: str = ""
    """milliseconds, separated by commas: further edges of the latency histograms, at which shares are exact"""

    token: SecretStr | None = None
    """bearer token that every request must have, except those to /health; a command line can be seen by all
    users of a machine, so set the variable or the file"""
    tokens_file: Path | None = None
    """file of such tokens, one per line, # begins a comment; any of them is accepted"""
    metrics_open: bool = False
    """answer /metrics without a token even if tokens are set"""
    tls_certificate: Path | None = None
    """PEM file of a certificate and its chain: serve HTTPS; unset: HTTP"""
    tls_key: Path | None = None
    """PEM file of the certificate's private key, if the certificate's file does not have it"""
    tls_key_password: SecretStr | None = None
    """password of an encrypted private key"""
    pages: bool = True
    """pages for browsers: the live view at /, and the API at /docs; false: only answers for programs"""

    slow_request_ms: float | None = Field(None, ge=0)
    """milliseconds from which a request to the model is logged as slow, with its id and stages; unset: none"""
    access_log: float = Field(0.0, ge=0, le=1)
    """share of the requests to the model that are logged, each with its id, outcome and stages; drawn at random"""
    traces: bool = False
    """send OpenTelemetry spans of the requests to the model; the OTEL_ variables say where to and how many; needs the extra otel"""
    profile_dir: Path | None = None
    """folder for recordings of PyTorch's profiler: SIGUSR2 records the next batches; unset: no recordings"""
    profile_batches: int = Field(10, ge=1, le=100)
    """batches in such a recording; fewer if their files would have more than 32 MiB"""
    log_format: Literal["console", "json"] = "console"
    """console, for people, or json: each line is an object"""

    @field_validator("max_in_flight_bytes")
    @classmethod
    def _room_for_one(cls, value: int, others: ValidationInfo) -> int:
        one = others.data.get("max_body_bytes", 0)
        if value < one:
            raise ValueError(
                f"got {value}, less than TAILGATE_MAX_BODY_BYTES, {one}: a body of that size could never be accepted"
            )
        return value

    @field_validator("port", mode="before")
    @classmethod
    def _port_is_not_a_link(cls, value: Any) -> Any:
        if isinstance(value, str) and value.startswith("tcp://"):
            raise ValueError(
                f"got {value!r}, which Kubernetes puts there when a Service in the namespace is called 'tailgate'; "
                "set enableServiceLinks: false on the pod, or TAILGATE_PORT to the port itself"
            )
        return value

    @field_validator("overload_status", mode="before")
    @classmethod
    def _status(cls, value: Any) -> Any:
        return {"429": 429, "503": 503}.get(value, value) if isinstance(value, str) else value

    @field_validator("workers", mode="before")
    @classmethod
    def _one_worker(cls, value: Any) -> Any:
        if str(value) != "1":
            raise ValueError(
                f"got {value}: one process owns the model and its batches, so a second worker would halve the batches "
                "and double the memory; run more replicas instead"
            )
        return 1

    @field_validator("cache_dir", "tokens_file", "tls_certificate", "tls_key", "profile_dir")
    @classmethod
    def _home(cls, value: Path | None) -> Path | None:
        try:
            return None if value is None else value.expanduser()
        except RuntimeError as error:  # no HOME, and a user that no file knows
            if value == Path(DEFAULT_CACHE):
                return None
            raise ValueError(f"got {str(value)!r}: {error} Give a path without ~") from None

    @field_validator("histogram_edges_ms")
    @classmethod
    def _numbers(cls, value: str) -> str:
        for part in filter(None, value.split(",")):
            try:
                objective = float(part)
            except ValueError:
                objective = math.nan
            if not 0 < objective < math.inf:
                raise ValueError(f"expected positive numbers with commas between, {part!r} is none")
        return value

    @property
    def model_threads(self) -> int:
        """Threads of a model call: one processor is left to the event loop and the decoders unless told."""
        return self.threads or max(1, processors().available - 1)

    @property
    def decoding_threads(self) -> int:
        """Threads that decode images."""
        return self.decode_threads or min(MOST_DECODING_THREADS, processors().available)

    @property
    def max_wait_s(self) -> float | None:
        """The batching window in seconds."""
        return None if self.max_wait_ms is None else self.max_wait_ms / 1000

    @property
    def latency_objective_s(self) -> float | None:
        """The objective in seconds."""
        return None if self.latency_objective_ms is None else self.latency_objective_ms / 1000

    @property
    def histogram_edges_s(self) -> tuple[float, ...]:
        """Edges of the latency histograms that are asked for, in seconds, ascending."""
        edges = {float(part) / 1000 for part in filter(None, self.histogram_edges_ms.split(","))}
        return tuple(sorted(edges | ({self.latency_objective_s} if self.latency_objective_s else set())))
