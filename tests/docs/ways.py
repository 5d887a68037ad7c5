"""How each command that a page shows is shown to work: it runs in a room, another test runs it, or there is a reason.

The first line whose pattern is the whole command, without its comment, counts. A room runs its commands from top to bottom.
What is changed in a command is changed here, by ``instead``; the loads are cut in ``rooms.QUICK``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Run:
    """It runs in a room of :mod:`rooms`, as it is printed but for ``instead``."""

    room: str
    statuses: tuple[int, ...] = (0,)
    says: str = ""  # a pattern of what it prints
    instead: tuple[tuple[str, str], ...] = ()  # (printed, run in its place)
    until: str = ""  # of a program that goes on: what it says when it is ready
    serves: str = ""  # what others call its address in ``instead``; it then goes on until the room is left


@dataclass(frozen=True, slots=True)
class By:
    """Another test runs it, or what it is short for."""

    test: str


@dataclass(frozen=True, slots=True)
class Not:
    """No test runs it."""

    reason: str


# A verdict is the machine's too: it has to be one. Of pytest 1 is every verdict but PASS.
VERDICT = (0, 1, 3, 4)
GATED = r"(?:PASS|FAIL|INCONCLUSIVE|INVALID)\b.*\b0 failed"
RUN = ((".perf/RUN", "{run}"), (" RUN", " {run}"))
STEADY = (("-m perf", "-m perf --perf-scenario=steady"),)
OPTIONS = (
    (
        "pytest …",
        "pytest --pyargs tailgate.scenarios -m perf --perf-scenario=steady --perf-target=http://{other}",
    ),
)
SERVED = (("curl ", "curl -sS --fail "), ("localhost:8000", "{served}"))
PORT = (
    ("tailgate serve", "tailgate serve --port=0"),
    ("-m tailgate.service", "-m tailgate.service --port=0"),
)
# A model that starts sooner than the one for demonstration.
IRIS = ("", "TAILGATE_MODEL=flowers:iris ")
FLOWERS = (("localhost:8000", "{flowers}"), ("curl ", "curl -sS --fail "))

LONG = Not("it takes minutes of a quiet machine")
INSTALL = Not("it installs packages")
CI = Not("a job of CI, which runs these tests too")
GPU = Not("it needs a GPU")
PART = Not("a part of a command, or its name in a sentence")

WAYS: Sequence[tuple[str, Run | By | Not]] = (
    # The reader's folder: the files that the pages show, and a run of the tutorial's gate.
    (r"git init .*", Run("reader")),
    (r"pytest -m perf", Run("reader", VERDICT, GATED)),
    (r"pytest -m perf --perf-enforce=measurement", By("tests/harness/gate/test_foreign_services.py")),
    (r"pytest -m perf --perf-plugin=textfile\.py", Run("reader", VERDICT, GATED)),
    (r"pytest -m perf --perf-set-up=.*", By("tests/harness/target/test_state_commands.py")),
    (r"tailgate report( (\.perf/)?RUN)?", Run("reader", says=r"score: ", instead=RUN)),
    (r"tailgate report( (\.perf/)?RUN)? --html", Run("reader", says=r"report\.html", instead=RUN)),
    (r"tailgate report \.perf/RUN --format=markdown", Run("reader", says=r"\A# \w+: ", instead=RUN)),
    (r"tailgate report RUN --format=badge", Run("reader", says=r'"schemaVersion"', instead=RUN)),
    (r"tailgate report \[RUN\]", Run("reader", says=r"score: ", instead=((" [RUN]", ""),))),
    (r"tailgate judge( \.perf/RUN| \[RUN\])?", Run("reader", VERDICT, "score: ", (*RUN, (" [RUN]", "")))),
    (r"tailgate judge \.perf/RUN --confidence=0\.95", Run("reader", VERDICT, "score: ", RUN)),
    (r"tailgate judge \.perf/[^ ]* --budgets=.*", By("tests/harness/session/test_rejudge.py")),
    (r"tailgate judge \.perf/RUN --(lens|answer-ignore)=.*", By("tests/harness/session/test_rejudge.py")),
    (
        r"tailgate history( --branch=main)?",
        Run("reader", says=r"\d{8}T\d{6}Z-\w+", instead=((" --branch=main", ""),)),
    ),
    (r"tailgate samples( \[RUN\])?", Run("reader", says="request_id", instead=((" [RUN]", ""),))),
    (r"tailgate samples( \.perf/RUN)? --csv=samples\.csv", Run("reader", instead=RUN)),
    (r"tailgate scenarios", Run("reader", says="steady: ")),
    (r"tailgate scenarios --plugin=lunch\.py", Run("reader", says="lunch: ")),
    (r"tailgate plugins", Run("reader", says="scenarios ")),
    (r"tailgate doctor", Run("reader", (0, 1), "processors")),
    (r"tailgate run --help", Run("reader", says="Exit status")),
    (r"tailgate init --plugin=NAME", Run("reader", says="next: ", instead=(("NAME", "midnight"),))),
    (r"tailgate drill --share=0\.02", Run("reader", says="is not drawn", instead=(("0.02", "1e-9"),))),
    (
        r"python -m venv \.venv && \. \.venv/bin/activate",
        Run("reader", instead=(("venv .venv", "venv --without-pip .venv"),)),
    ),
    (r"python -m tailgate\.harness\.results\.file", Run("reader", says="schema_version")),
    (r"export TAILGATE_MODEL=.*", Run("reader")),
    # A service of somebody else, started by a command line, and another one that runs already.
    (
        r"pytest --pyargs tailgate\.scenarios -m perf --perf-target='command:python app\.py.*file:body\.json",
        Run("other", VERDICT, GATED, STEADY),
    ),
    (r"pytest … --perf-requests=requests\.http", Run("other", VERDICT, GATED, OPTIONS)),
    (r"pytest (.*) --perf-payloads=lines:.*", By("tests/harness/scenario/payloads/test_lines.py")),
    (r"pytest --pyargs tailgate\.scenarios -m perf -v", By("tests/harness/gate/test_foreign_services.py")),
    (r"pytest … --perf-request=.*", By("tests/harness/gate/test_foreign_services.py")),
    (r"pytest .* --perf-metric='request_seconds=.*", By("tests/harness/gate/test_foreign_services.py")),
    (
        r"pytest .* --perf-plugin=lunch\.py --perf-scenario=lunch",
        By("tests/harness/plugins/test_hook_examples.py"),
    ),
    (
        r"tailgate run 'python app\.py .*",
        Run("other", VERDICT, GATED, (("--request", "--scenario=steady --request"),)),
    ),
    (r"tailgate run localhost:8000 --scenario=steady .*", By("tests/harness/cli/test_cli_run.py")),
    (r"pytest -m perf perf/test_lunch\.py", By("tests/test_shown_programs.py")),
    # A project that has no gate yet.
    (r"tailgate init 'python server\.py .*", Run("project", says="next: pytest -m perf")),
    # The service, with the demonstration model and with the tutorial's.
    (r"tailgate serve", Run("served", until=r"\bready\b", serves="served", instead=PORT)),
    (
        r"tailgate serve --model flowers:iris",
        Run("served", until=r"\bready\b", serves="flowers", instead=PORT),
    ),
    (r"python -c \"import shutil, skimage; .*", Run("served")),
    (r"curl -X POST --data-binary @cat\.jpg .*/predict", Run("served", says="Egyptian cat", instead=SERVED)),
    (r"curl -F file=@cat\.png .*", Run("served", says="Egyptian cat", instead=SERVED)),
    (r"curl localhost:8000/v2/models/efficientnet-lite0", Run("served", says='"inputs"', instead=SERVED)),
    (r"curl -H 'Inference-Header-Content-Length: 0' .*", Run("served", instead=SERVED)),
    (r"curl -H 'Content-Type: application/json' -d .*", Run("served", says='"species"', instead=FLOWERS)),
    (r"curl -s -Z .*", Run("served", instead=FLOWERS)),
    (r"curl -s localhost:8000/metrics \| grep .*", Run("served", says=r"batch_size_count", instead=FLOWERS)),
    (r"tailgate serve --precision bf16", Run("served", until=r"\bready\b", instead=(*PORT, IRIS))),
    (r"python -m tailgate\.service", Run("served", until=r"\bready\b", instead=(*PORT, IRIS))),
    (
        r"uvicorn --factory tailgate\.service\.http\.app:create_app",
        Run("served", until="startup complete", instead=(("create_app", "create_app --port=0"), IRIS)),
    ),
    (r"pytest .*--perf-payloads=oip:", By("tests/harness/load/test_load_payloads.py")),
    (r"pytest --pyargs tailgate\.conformance .*", By("tests/service/http/test_oip_clients.py")),
    # This repository.
    (r"tox -l", Run("repository", says="lint")),
    (r"python -m benchmarks\.gate\.proofs --table", Run("repository", says="Unchanged code, false FAIL")),
    (r"make( \w+)*( \w+=[\w.-]+)*", CI),
    (r"tox -e drill", LONG),
    # What others run, and what nobody can here.
    (r"tailgate run --perf-plugin=lunch\.py .*", By("tests/harness/plugins/test_hook_examples.py")),
    (r"tailgate run folder:.*", By("tests/harness/plugins/test_hook_examples.py")),
    (
        r"tailgate run http://localhost:8000 --perf-plugin=item_payloads\.py .*",
        By("tests/harness/plugins/test_hook_examples.py"),
    ),
    (r"tailgate init( http://.*| --.*)?", By("tests/harness/cli/test_cli_init.py")),
    (r"TAILGATE_WEIGHTS=.* tailgate serve --replace .*", By("tests/service/http/test_replacing.py")),
    (r"tailgate serve --model torchvision:resnet18 .*", By("tests/service/models/test_model_weights.py")),
    (r"python -m benchmarks\.gate\.simulation .*", By("tests/harness/compare/test_comparison_simulation.py")),
    (
        r"python -m benchmarks\.gate\.(naive|coverage|estimators)",
        By("tests/harness/compare/test_comparison_simulation.py"),
    ),
    (r".*TAILGATE_ACCESS_LOG=.* tailgate serve", By("tests/service/http/test_access_log.py")),
    (r"TAILGATE_TRACES=.* tailgate serve", By("tests/service/http/test_traces_sent.py")),
    (
        r"mkdir /tmp/recordings|TAILGATE_PROFILE_DIR=.*|kill -USR2 .*",
        By("tests/service/execution/test_profiling.py"),
    ),
    (r"(tailgate run|pytest) .*haproxy:2:service:.*", By("tests/harness/target/fleet/test_fleet_target.py")),
    (
        r"ray start --head|TAILGATE_BIND=.* haproxy -f .*|.* python deploy/ray/replicas\.py .*",
        By("tests/deploy/test_ray.py"),
    ),
    (r"tailgate run .*--generators=(processes|ssh):.*", By("tests/harness/load/many/test_many_engines.py")),
    (r"tailgate run .*--generators=kubernetes:.*", By("tests/harness/load/many/test_many_deployed.py")),
    (r"tailgate run .*--generators=podman:.*", By("tests/harness/plugins/test_hook_examples.py")),
    (r"tailgate plan --batch-times=.*", Run("reader", says="replicas")),
    (r"tailgate plan( .*)?", By("tests/harness/cli/test_cli_plan.py")),
    (r"python deploy/grafana/dashboard\.py", By("tests/service/deploy/test_dashboard.py")),
    (r"tailgate compile", By("tests/service/execution/test_compiled.py")),
    (r"tailgate run( \[TARGET\])?", PART),
    (r"pytest --pyargs tailgate\.scenarios( -m perf( --perf-against=BASE --perf-head=HEAD)?)?", PART),
    (r"(python -P|uvicorn --factory|python -m tailgate\.harness\.load|curl -F file=@cat\.webp)", PART),
    (r".*(TAILGATE_DEVICE=cuda|gpu-fp16|benchmarks\.limits\.(cuda|gpu)).*", GPU),
    (r"tailgate compare( .*)?|pytest -m perf --perf-against=.*", LONG),
    (r"tailgate (calibrate|drill)( .*)?|pytest tailgate/scenarios .*", LONG),
    (r"python -m benchmarks\..*", LONG),
    (r"tailgate --install-completion", Not("it writes into the reader's shell")),
    (r"pip install .*|git clone .*|podman .*|docker .*", INSTALL),
)


def way_of(text: str) -> Run | By | Not | None:
    """Return how a command is shown to work, None for one that nobody thought of."""
    return next((way for pattern, way in WAYS if re.fullmatch(pattern, text)), None)
